// SPDX-License-Identifier: MIT
// What a caller may do by owner, group and mode, with the errno of Linux.
#include "synthfs/guarded.h"

#include "synthfs/ram_tree.h"
#include "synthfs/read_only.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

// User 1000 with groups 1000 and 50 owns what is theirs; 2000 is somebody else.
class Guarded : public testing::Test {
  protected:
    Guarded() {
        SetAttr owner;
        owner.uid = 1000;
        owner.gid = 50;
        owner.mode = 0755;
        const auto own = [&](const NodePtr& node, mode_t mode) {
            owner.mode = mode;
            EXPECT_EQ(err(set(node, owner)), 0);
        };
        own(tree, 0755);
        const auto made = create(tree, "file", 0640);
        EXPECT_EQ(err(write(made.value().handle, 0, "text")), 0);
        own(made.value().node, 0640);
        own(mkdir(tree, "private").value(), 0700);
        own(mkdir(tree, "shared").value(), 0777 | S_ISVTX);
        own(create(walk(tree, "private").value(), "in", 0666).value().node, 0666);
        own(create(walk(tree, "shared").value(), "theirs", 0666).value().node, 0666);
    }
    int open_as(unsigned uid, unsigned gid, const std::string& path, int flags) {
        return err(open(walk(top, path).value(), flags, by(uid, gid)));
    }
    int walk_as(unsigned uid, const NodePtr& from, const std::string& name) {
        return err(answer<NodePtr>([&](auto r) { from->walk(by(uid, uid), name, r); }));
    }
    int unlink_as(unsigned uid, const std::string& dir, const std::string& name) {
        const auto node = walk(top, dir).value();
        return err(answer<void>([&](auto r) { node->unlink(by(uid, uid), name, false, r); }));
    }
    int set_as(unsigned uid, const std::string& path, const SetAttr& change) {
        return err(set(walk(top, path).value(), change, by(uid, uid)));
    }
    mode_t mode_of(const std::string& path) {
        return attr(walk(tree, path).value()).value().mode & 07777;
    }

    NodePtr tree = make_ram_tree();
    NodePtr top = make_guarded(tree, {.uid = 1001, .groups = {50, 60}});
};

TEST_F(Guarded, opening_goes_by_owner_group_and_others) {
    EXPECT_EQ(open_as(1000, 1000, "file", O_RDWR), 0);
    EXPECT_EQ(open_as(2000, 50, "file", O_RDONLY), 0);
    EXPECT_EQ(open_as(2000, 50, "file", O_WRONLY), EACCES);
    EXPECT_EQ(open_as(2000, 50, "file", O_RDONLY | O_TRUNC), EACCES);
    EXPECT_EQ(open_as(2000, 2000, "file", O_RDONLY), EACCES);
    EXPECT_EQ(open_as(0, 0, "file", O_RDWR), 0);
    // By a further group, which is 1001's alone.
    EXPECT_EQ(open_as(1001, 1001, "file", O_RDONLY), 0);
    EXPECT_EQ(contents(top, "file"), "text");
}

TEST_F(Guarded, the_owner_s_bits_count_even_where_others_have_more) {
    EXPECT_EQ(err(chmod(walk(tree, "file").value(), 0066)), 0);
    EXPECT_EQ(open_as(1000, 50, "file", O_RDONLY), EACCES);
    EXPECT_EQ(open_as(2000, 2000, "file", O_RDWR), 0);
}

TEST_F(Guarded, a_directory_is_searched_and_listed_by_its_bits) {
    EXPECT_EQ(walk_as(2000, walk(top, "private").value(), "in"), EACCES);
    EXPECT_EQ(walk_as(2000, walk(top, "private").value(), "missing"), EACCES);
    EXPECT_EQ(open_as(2000, 2000, "private", O_RDONLY), EACCES);
    EXPECT_EQ(walk_as(1000, walk(top, "private").value(), "in"), 0);
    EXPECT_EQ(err(chmod(walk(tree, "private").value(), 0711)), 0);
    EXPECT_EQ(walk_as(2000, walk(top, "private").value(), "in"), 0);
    EXPECT_EQ(open_as(2000, 2000, "private", O_RDONLY), EACCES);
}

TEST_F(Guarded, making_takes_write_permission_of_the_directory) {
    const auto create_as = [&](unsigned uid, const std::string& dir, const std::string& name,
                               int flags) {
        return err(create(walk(top, dir).value(), name, 0644, flags, by(uid, uid)));
    };
    EXPECT_EQ(create_as(2000, "", "new", O_RDWR), EACCES);
    EXPECT_EQ(create_as(2000, "shared", "new", O_RDWR), 0);
    EXPECT_EQ(create_as(2000, "shared", "new", O_RDWR | O_EXCL), EEXIST);
    // What is there already is opened by its own bits.
    EXPECT_EQ(create_as(2000, "", "file", O_RDONLY), EACCES);
    EXPECT_EQ(create_as(2000, "shared", "theirs", O_RDWR), 0);
    EXPECT_EQ(create_as(1000, "", "file", O_RDONLY), 0);
    const auto make_as = [&](unsigned uid, auto make) {
        return err(answer<NodePtr>([&](auto r) { make(by(uid, uid), r); }));
    };
    for (const unsigned uid : {2000u, 1000u}) {
        const int expected = uid == 1000 ? 0 : EACCES;
        EXPECT_EQ(make_as(uid, [&](auto q, auto r) { top->mkdir(q, "d", 0755, 0, r); }), expected);
        EXPECT_EQ(make_as(uid, [&](auto q, auto r) { top->symlink(q, "l", "t", 0, r); }), expected);
        EXPECT_EQ(
            make_as(uid, [&](auto q, auto r) { top->mknod(q, "p", S_IFIFO | 0600, 0, 0, r); }),
            expected);
        EXPECT_EQ(
            make_as(uid, [&](auto q, auto r) { top->mknod(q, "c", S_IFCHR | 0600, 1, 0, r); }),
            EPERM);
    }
}

TEST_F(Guarded, removing_minds_the_sticky_bit) {
    EXPECT_EQ(unlink_as(2000, "", "file"), EACCES);
    EXPECT_EQ(unlink_as(2000, "shared", "theirs"), EPERM);
    EXPECT_EQ(unlink_as(2000, "shared", "missing"), ENOENT);
    const auto rename_as = [&](unsigned uid, const std::string& name, const std::string& to) {
        const auto from = walk(top, "shared").value();
        return err(answer<void>(
            [&](auto r) { from->rename(by(uid, uid), name, walk(top, to).value(), "moved", r); }));
    };
    EXPECT_EQ(rename_as(2000, "theirs", "shared"), EPERM);
    EXPECT_EQ(rename_as(1000, "theirs", "private"), 0);
    EXPECT_EQ(contents(tree, "private/moved"), "");
    EXPECT_EQ(unlink_as(1000, "private", "moved"), 0);
    EXPECT_EQ(unlink_as(0, "", "file"), 0);
}

TEST_F(Guarded, attributes_are_the_owner_s) {
    SetAttr mode, uid, group, size, now, then;
    mode.mode = 02755;
    uid.uid = 2000;
    group.gid = 60;
    size.size = 0;
    now.mtime = SetTime{.now = true};
    then.mtime = SetTime{.now = false, .value = {5, 0}};
    EXPECT_EQ(set_as(2000, "file", mode), EPERM);
    EXPECT_EQ(set_as(1000, "file", uid), EPERM);
    EXPECT_EQ(set_as(1000, "file", group), EPERM);  // not one of 1000's groups
    EXPECT_EQ(set_as(2000, "file", size), EACCES);
    EXPECT_EQ(set_as(2000, "file", now), EACCES);
    EXPECT_EQ(set_as(2000, "shared/theirs", now), 0);
    EXPECT_EQ(set_as(2000, "shared/theirs", then), EPERM);
    EXPECT_EQ(set_as(1000, "file", then), 0);
    EXPECT_EQ(set_as(1000, "file", mode), 0);
    EXPECT_EQ(mode_of("file"), 0755u);  // set-group-id only for a member of the group
    EXPECT_EQ(set_as(0, "file", mode), 0);
    EXPECT_EQ(mode_of("file"), 02755u);
    EXPECT_EQ(set_as(1000, "file", size), 0);
    EXPECT_EQ(set_as(0, "file", uid), 0);
    EXPECT_EQ(attr(walk(tree, "file").value()).value().uid, 2000u);
}

TEST_F(Guarded, extended_attributes_go_by_the_bits_too) {
    const auto node = walk(top, "file").value();
    const auto set_x = [&](unsigned uid, const char* name) {
        return err(answer<void>([&](auto r) { node->setxattr(by(uid, uid), name, "1", 0, r); }));
    };
    EXPECT_EQ(set_x(2000, "user.a"), EACCES);
    EXPECT_EQ(set_x(1000, "user.a"), 0);
    EXPECT_EQ(set_x(1000, "trusted.a"), EPERM);
    EXPECT_EQ(err(answer<std::string>([&](auto r) { node->getxattr(by(2000, 9), "user.a", r); })),
              EACCES);
    EXPECT_EQ(err(answer<void>([&](auto r) { node->removexattr(by(2000, 9), "user.a", r); })),
              EACCES);
    EXPECT_EQ(getxattr(node, "user.a").value(), "1");
}

TEST(ReadOnlyAsItIs, owners_and_modes_stay) {
    const NodePtr tree = make_ram_tree();
    EXPECT_EQ(err(chmod(tree, 0751)), 0);
    const NodePtr top = make_read_only(tree);
    EXPECT_EQ(attr(top).value().mode, S_IFDIR | 0751u);
    EXPECT_EQ(err(create(top, "new")), EROFS);
}

}  // namespace
}  // namespace ennead::synthfs::test
