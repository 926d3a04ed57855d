// SPDX-License-Identifier: MIT
// A tree shown as another user's: owners there and back, everything else as it is.
#include "synthfs/shown_as.h"

#include "synthfs/ram_tree.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class Shown : public testing::Test {
  protected:
    Shown() {
        EXPECT_EQ(err(create(tree, "file", 0640)), 0);
        EXPECT_EQ(err(create(mkdir(tree, "dir").value(), "below", 0600, O_RDWR, by(7, 7), 8)), 0);
    }
    [[nodiscard]] static int chown(const NodePtr& node, uid_t uid, gid_t gid) {
        SetAttr change;
        change.uid = uid;
        change.gid = gid;
        return err(answer<void>([&](auto r) { node->setattr(test::root(), change, r); }));
    }
    NodePtr tree = make_ram_tree();
    NodePtr top = make_shown_as(tree, {.mode = 0700, .uid = 1000, .gid = 50});
};

TEST_F(Shown, root_shows_as_the_user_and_the_top_is_closed_to_others) {
    const Attr shown = attr(top).value();
    EXPECT_EQ(shown.mode, S_IFDIR | 0700u);
    EXPECT_EQ(shown.uid, 1000u);
    EXPECT_EQ(shown.gid, 50u);
    const Attr file = attr(walk(top, "file").value()).value();
    EXPECT_EQ(file.mode, S_IFREG | 0640u);
    EXPECT_EQ(file.uid, 1000u);
    EXPECT_EQ(file.gid, 50u);
    const Attr below = attr(walk(top, "dir/below").value()).value();
    EXPECT_EQ(below.uid, 7u);
    EXPECT_EQ(below.gid, 8u);
}

// A directory for which nobody answers, at times.
class Hanging final : public Node {
  public:
    Identity identity() const override { return {77, 1, 0}; }
    mode_t type() const override { return S_IFDIR; }
    void getattr(RequestPtr, Reply<Attr> reply) override {
        Attr attr;
        attr.mode = S_IFDIR | 0755;
        attr.nlink = 5;
        attr.identity = identity();
        failure != 0 ? reply(error(failure)) : reply(attr);
    }
    void open(RequestPtr, int, Reply<HandlePtr> reply) override { reply(error(failure)); }
    int failure = 0;
};

TEST_F(Shown, the_top_shows_as_it_was_while_nobody_answers) {
    const auto hanging = std::make_shared<Hanging>();
    const NodePtr shown = make_shown_as(hanging, {.mode = 0700, .uid = 1000, .gid = 50});
    hanging->failure = ETIMEDOUT;
    EXPECT_EQ(attr(shown).value().mode, S_IFDIR | 0700u);  // never asked before
    EXPECT_EQ(attr(shown).value().identity.source, 77u);
    EXPECT_EQ(attr(shown).value().uid, 1000u);
    hanging->failure = 0;
    EXPECT_EQ(attr(shown).value().nlink, 5u);
    hanging->failure = ETIMEDOUT;
    EXPECT_EQ(attr(shown).value().nlink, 5u);
    EXPECT_EQ(attr(shown).value().gid, 50u);
    hanging->failure = EIO;
    EXPECT_EQ(err(attr(shown)), EIO);
}

TEST_F(Shown, what_is_made_is_roots_and_shows_as_the_users) {
    const auto made = create(top, "new", 0644, O_RDWR, test::root(), 50);
    ASSERT_EQ(err(made), 0);
    EXPECT_EQ(err(write(made.value().handle, 0, "text")), 0);
    EXPECT_EQ(contents(tree, "new"), "text");
    EXPECT_EQ(attr(made.value().node).value().uid, 1000u);
    EXPECT_EQ(attr(made.value().node).value().gid, 50u);
    EXPECT_EQ(attr(walk(tree, "new").value()).value().uid, 0u);
    EXPECT_EQ(attr(walk(tree, "new").value()).value().gid, 0u);
    EXPECT_EQ(attr(mkdir(top, "more").value()).value().uid, 1000u);
    EXPECT_EQ(err(symlink(top, "link", "new")), 0);
    EXPECT_EQ(err(mknod(top, "fifo", S_IFIFO | 0600, 0)), 0);
    EXPECT_EQ(readlink(walk(tree, "link").value()).value(), "new");
    EXPECT_EQ(names(tree), (Names{"dir", "fifo", "file", "link", "more", "new"}));
}

TEST_F(Shown, changes_of_owner_mean_what_is_shown) {
    const NodePtr file = walk(top, "file").value(), inner = walk(tree, "file").value();
    EXPECT_EQ(chown(file, 7, 8), 0);
    EXPECT_EQ(attr(inner).value().uid, 7u);
    EXPECT_EQ(attr(inner).value().gid, 8u);
    EXPECT_EQ(chown(file, 1000, 50), 0);
    EXPECT_EQ(attr(inner).value().uid, 0u);
    EXPECT_EQ(attr(inner).value().gid, 0u);
    EXPECT_EQ(err(chmod(file, 0600)), 0);
    EXPECT_EQ(attr(inner).value().mode, S_IFREG | 0600u);
    EXPECT_EQ(chown(top, 1000, 50), EPERM);
    EXPECT_EQ(err(chmod(top, 0755)), EPERM);
}

TEST_F(Shown, names_are_moved_linked_and_removed) {
    const NodePtr dir = walk(top, "dir").value();
    EXPECT_EQ(err(link(top, "hard", walk(top, "file").value())), 0);
    EXPECT_EQ(err(rename(top, "file", dir, "moved")), 0);
    EXPECT_EQ(names(walk(tree, "dir").value()), (Names{"below", "moved"}));
    EXPECT_EQ(err(unlink(top, "hard")), 0);
    EXPECT_EQ(err(setxattr(walk(dir, "moved").value(), "user.a", "1")), 0);
    EXPECT_EQ(getxattr(walk(tree, "dir/moved").value(), "user.a").value(), "1");
    // Of another tree, even if it shows the same.
    const NodePtr other = make_shown_as(tree, {.mode = 0700, .uid = 1, .gid = 1});
    EXPECT_EQ(err(rename(dir, "moved", other, "x")), EXDEV);
    EXPECT_EQ(err(link(dir, "x", walk(other, "dir/moved").value())), EXDEV);
}

}  // namespace
}  // namespace ennead::synthfs::test
