// SPDX-License-Identifier: MIT
// A composed tree over real directories: unions, overlays, binds over and below each other, and
// what becomes of those who are in a directory when it changes.
#include "synthfs/namespace.h"

#include <sys/sysmacros.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "synthfs/host_dir.h"
#include "synthfs/overlay.h"
#include "synthfs/ram_tree.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class NamespaceTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!host.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        host.file("base/etc/hosts", "base hosts");
        host.file("base/bin/ls", "base ls");
        host.file("base/bin/sh", "base sh");
        host.dir("base/empty");
        host.symlink("base/link", "bin");
        host.file("a/bin/ls", "ls of a");
        host.file("a/one", "one of a");
        host.file("a/both", "both of a");
        host.file("a/dir/in_a", "in a");
        host.file("b/two", "two of b");
        host.file("b/both", "both of b");
        host.file("b/dir/in_b", "in b");
        host.dir("scratch");
        base = dir("base");
    }

    NodePtr dir(const std::string& name, bool read_only = false) const {
        return make_host_dir(host.fd(name), {.read_only = read_only}).value();
    }
    NodePtr overlay(std::vector<std::string> layers, const std::string& scratch = "scratch") const {
        std::vector<int> fds;
        for (const std::string& layer : layers) {
            fds.push_back(host.fd(layer));
        }
        return make_overlay(std::move(fds), scratch.empty() ? -1 : host.fd(scratch)).value();
    }
    // 0, or the errno.
    int set(std::vector<NamespacePoint> points) {
        if (points.empty() || points.front().target != "/") {
            points.insert(points.begin(), {"/", {{base}}, std::nullopt});
        }
        int errnum = -1;
        space->set(std::move(points), [&](Checked<> done) {
            EXPECT_EQ(errnum, -1) << "answered twice";
            errnum = done ? 0 : done.error().errnum;
            text = done ? "" : done.error().text;
        });
        return errnum;
    }
    NodePtr root() { return space->root(); }
    NodePtr at(const std::string& path) {
        const auto found = walk(root(), path);
        EXPECT_EQ(err(found), 0) << path;
        return found ? found.value() : nullptr;
    }
    int look(const std::string& path) { return err(walk(root(), path)); }
    std::string cat(const std::string& path) { return contents(root(), path); }

    TempDir host;
    NodePtr base;
    std::shared_ptr<Namespace> space = Namespace::make();
    std::string text;
};

NamespacePoint replaced(const std::string& target, std::vector<NamespaceElement> elements) {
    return {target, std::move(elements), std::nullopt};
}

TEST_F(NamespaceTest, is_empty_and_read_only_at_first) {
    EXPECT_EQ(names(root()), Names());
    EXPECT_EQ(err(mkdir(root(), "d")), EROFS);
    EXPECT_EQ(err(create(root(), "f")), EROFS);
    EXPECT_EQ(look("x"), ENOENT);
    EXPECT_TRUE(S_ISDIR(attr(root()).value().mode));
}

TEST_F(NamespaceTest, one_tree_at_the_root_is_that_tree) {
    ASSERT_EQ(set({}), 0);
    EXPECT_EQ(names(root()), (Names{"bin", "empty", "etc", "link"}));
    EXPECT_EQ(cat("bin/ls"), "base ls");
    EXPECT_EQ(err(create(root(), "made")), 0);
    EXPECT_TRUE(host.has("base/made"));
    EXPECT_EQ(err(mkdir(at("bin"), "d")), 0);
    EXPECT_TRUE(host.has("base/bin/d"));
    EXPECT_EQ(err(rename(at("bin"), "d", root(), "moved")), 0);
    EXPECT_TRUE(host.has("base/moved"));
    EXPECT_EQ(err(rmdir(root(), "moved")), 0);
    EXPECT_EQ(err(unlink(root(), "made")), 0);
    EXPECT_EQ(readlink(at("link")).value(), "bin");
}

// A file's own node is handed out, so reading and writing cost nothing more.
TEST_F(NamespaceTest, files_are_not_wrapped) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}})}), 0);
    EXPECT_EQ(at("bin/ls").get(), walk(base, "bin/ls").value().get());
}

TEST_F(NamespaceTest, a_bind_hides_what_was_there_and_unbinding_shows_it_again) {
    ASSERT_EQ(set({replaced("/bin", {{dir("a")}})}), 0);
    EXPECT_EQ(names(at("bin")), (Names{"bin", "both", "dir", "one"}));
    EXPECT_EQ(cat("bin/one"), "one of a");
    EXPECT_EQ(look("bin/sh"), ENOENT);
    EXPECT_EQ(names(root()), (Names{"bin", "empty", "etc", "link"}));
    ASSERT_EQ(set({}), 0);
    EXPECT_EQ(cat("bin/ls"), "base ls");
}

TEST_F(NamespaceTest, a_missing_target_shows_while_something_is_bound) {
    ASSERT_EQ(set({replaced("/usr/local/src", {{dir("a")}})}), 0);
    EXPECT_EQ(names(root()), (Names{"bin", "empty", "etc", "link", "usr"}));
    EXPECT_EQ(names(at("usr")), (Names{"local"}));
    EXPECT_EQ(names(at("usr/local")), (Names{"src"}));
    EXPECT_EQ(cat("usr/local/src/one"), "one of a");
    EXPECT_EQ(err(mkdir(root(), "usr")), EEXIST);
    EXPECT_EQ(err(mkdir(at("usr"), "share")), EROFS);
    EXPECT_EQ(err(rmdir(root(), "usr")), EBUSY);
    EXPECT_EQ(err(rmdir(at("usr/local"), "src")), EBUSY);
    ASSERT_EQ(set({}), 0);
    EXPECT_EQ(look("usr"), ENOENT);
    EXPECT_FALSE(host.has("base/usr"));
}

TEST_F(NamespaceTest, at_a_file_or_a_link_nothing_can_be_bound) {
    EXPECT_EQ(set({replaced("/bin/ls", {{dir("a")}})}), ENOTDIR);
    EXPECT_NE(text.find("/bin/ls"), text.npos) << text;
    EXPECT_EQ(set({replaced("/bin/ls/below", {{dir("a")}})}), ENOTDIR);
    EXPECT_EQ(set({replaced("/link", {{dir("a")}})}), ENOTDIR);
    EXPECT_NE(text.find("symbolic link"), text.npos) << text;
}

TEST_F(NamespaceTest, a_refused_change_changes_nothing) {
    ASSERT_EQ(set({replaced("/bin", {{dir("a")}})}), 0);
    EXPECT_EQ(set({replaced("/etc", {{dir("b")}}), replaced("/etc/hosts", {{dir("a")}}),
                   replaced("/link", {{dir("b")}})}),
              ENOTDIR);
    EXPECT_EQ(cat("bin/one"), "one of a");
    EXPECT_EQ(cat("etc/hosts"), "base hosts");
}

// --- unions --------------------------------------------------------------------------------------

TEST_F(NamespaceTest, a_union_shows_each_name_once_in_the_order_of_its_members) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}, {dir("b")}})}), 0);
    EXPECT_EQ(names(at("empty")), (Names{"bin", "both", "dir", "one", "two"}));
    EXPECT_EQ(cat("empty/both"), "both of a");
    EXPECT_EQ(cat("empty/two"), "two of b");
    const auto listed = entries(at("empty"));
    EXPECT_EQ(listed.value().back().name, "two") << "what the first has comes first";
}

TEST_F(NamespaceTest, a_union_is_one_level_deep) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}, {dir("b")}})}), 0);
    EXPECT_EQ(names(at("empty/dir")), (Names{"in_a"}));
    EXPECT_EQ(look("empty/dir/in_b"), ENOENT);
}

TEST_F(NamespaceTest, before_and_after_what_is_there) {
    ASSERT_EQ(set({{"/bin", {{dir("a")}, {dir("b")}}, 1}}), 0);
    EXPECT_EQ(names(at("bin")), (Names{"bin", "both", "dir", "ls", "one", "sh", "two"}));
    EXPECT_EQ(cat("bin/ls"), "base ls");
    ASSERT_EQ(set({{"/bin", {{walk(dir("a"), "bin").value()}}, 1}}), 0);
    EXPECT_EQ(cat("bin/ls"), "ls of a");
    EXPECT_EQ(cat("bin/sh"), "base sh");
    ASSERT_EQ(set({{"/bin", {{walk(dir("a"), "bin").value()}}, 0}}), 0);
    EXPECT_EQ(cat("bin/ls"), "base ls");
}

TEST_F(NamespaceTest, number_and_type_of_an_entry_are_those_of_the_file) {
    ASSERT_EQ(set({{"/bin", {{dir("a")}, {dir("b")}}, 1}, replaced("/new/x", {{dir("a")}})}), 0);
    for (const std::string& path : {std::string("bin"), std::string(""), std::string("new")}) {
        const NodePtr parent = at(path);
        const auto listed = entries(parent);
        for (const DirEntry& entry : listed.value()) {
            const NodePtr child = walk(parent, entry.name).value();
            EXPECT_EQ(entry.type, child->type()) << entry.name;
            EXPECT_EQ(entry.path, child->identity().path) << entry.name;
            const std::uint64_t source =
                entry.source != 0 ? entry.source : parent->identity().source;
            EXPECT_EQ(source, child->identity().source) << entry.name;
            EXPECT_EQ(attr(child).value().identity.path, child->identity().path) << entry.name;
            EXPECT_EQ(attr(child).value().identity.source, child->identity().source) << entry.name;
        }
    }
}

TEST_F(NamespaceTest, new_files_go_to_the_first_member_that_takes_them) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}, {dir("b"), true}})}), 0);
    EXPECT_EQ(err(create(at("empty"), "made")), 0);
    EXPECT_EQ(err(mkdir(at("empty"), "d")), 0);
    EXPECT_EQ(err(symlink(at("empty"), "s", "x")), 0);
    EXPECT_EQ(err(mknod(at("empty"), "p", S_IFIFO | 0600, 0)), 0);
    EXPECT_EQ(err(link(at("empty"), "l", at("empty/two"))), 0);
    for (const char* name : {"made", "d", "s", "p", "l"}) {
        EXPECT_TRUE(host.has(std::string("b/") + name)) << name;
        EXPECT_FALSE(host.has(std::string("a/") + name)) << name;
    }
    // Below the union every directory is itself again.
    EXPECT_EQ(err(create(at("empty/dir"), "below")), 0);
    EXPECT_TRUE(host.has("a/dir/below"));
}

TEST_F(NamespaceTest, without_such_a_member_nothing_can_be_made) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}, {dir("b")}})}), 0);
    EXPECT_EQ(err(create(at("empty"), "made")), EPERM);
    EXPECT_EQ(err(mkdir(at("empty"), "d")), EPERM);
    EXPECT_EQ(err(symlink(at("empty"), "s", "x")), EPERM);
    EXPECT_EQ(err(mknod(at("empty"), "p", S_IFIFO | 0600, 0)), EPERM);
    EXPECT_EQ(err(link(at("empty"), "l", at("empty/two"))), EPERM);
    // What is there can be written all the same.
    EXPECT_EQ(err(write(open(at("empty/two"), O_WRONLY).value(), 0, "TWO")), 0);
    EXPECT_EQ(host.text("b/two"), "TWO of b");
    // And what is there under the target takes nothing either, as in Plan 9.
    ASSERT_EQ(set({{"/bin", {{dir("a")}}, 1}}), 0);
    EXPECT_EQ(err(create(at("bin"), "made")), EPERM);
}

TEST_F(NamespaceTest, a_single_member_needs_no_flag) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}})}), 0);
    EXPECT_EQ(err(create(at("empty"), "made")), 0);
    EXPECT_TRUE(host.has("a/made"));
}

TEST_F(NamespaceTest, creating_what_is_there_opens_it_or_is_refused) {
    ASSERT_EQ(set({{"/bin", {{dir("a"), true}}, 1}}), 0);
    EXPECT_EQ(err(create(at("bin"), "sh", 0644, O_RDWR | O_EXCL)), EEXIST);
    const auto opened = create(at("bin"), "sh", 0644, O_RDWR);
    ASSERT_EQ(err(opened), 0);
    EXPECT_EQ(read(opened.value().handle).value(), "base sh");
    EXPECT_FALSE(host.has("a/sh"));
    ASSERT_EQ(err(create(at("bin"), "sh", 0644, O_RDWR | O_TRUNC)), 0);
    EXPECT_EQ(host.text("base/bin/sh"), "");
    EXPECT_EQ(err(create(at("bin"), "dir", 0644, O_RDWR)), EISDIR);
    EXPECT_EQ(err(mkdir(at("bin"), "sh")), EEXIST);
}

TEST_F(NamespaceTest, a_read_only_member_is_read_only) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a", true)}, {dir("b"), true}})}), 0);
    EXPECT_EQ(err(open(at("empty/one"), O_WRONLY)), EROFS);
    EXPECT_EQ(err(unlink(at("empty"), "one")), EROFS);
    EXPECT_EQ(err(chmod(at("empty/one"), 0600)), EROFS);
    EXPECT_EQ(err(create(at("empty/dir"), "x")), EROFS);
    EXPECT_EQ(err(rename(at("empty"), "one", at("empty"), "uno")), EROFS);
    EXPECT_EQ(err(open(at("empty/two"), O_WRONLY)), 0);
    ASSERT_EQ(set({replaced("/empty", {{dir("a", true)}})}), 0);
    EXPECT_EQ(err(create(at("empty"), "x")), EROFS);
    EXPECT_EQ(err(mkdir(at("empty"), "x")), EROFS);
    EXPECT_EQ(err(chmod(at("empty"), 0700)), EROFS);
    EXPECT_EQ(host.text("a/one"), "one of a");
}

TEST_F(NamespaceTest, removing_shows_what_it_hid) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}, {dir("b")}})}), 0);
    EXPECT_EQ(err(unlink(at("empty"), "both")), 0);
    EXPECT_EQ(cat("empty/both"), "both of b");
    EXPECT_EQ(err(unlink(at("empty"), "both")), 0);
    EXPECT_EQ(err(unlink(at("empty"), "both")), ENOENT);
    EXPECT_EQ(err(rmdir(at("empty"), "dir")), ENOTEMPTY);
    EXPECT_EQ(err(rmdir(at("empty"), "one")), ENOTDIR);
    EXPECT_EQ(err(unlink(at("empty"), "dir")), EISDIR);
}

TEST_F(NamespaceTest, renaming_stays_inside_a_member) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a"), true}, {dir("b")}})}), 0);
    const NodePtr u = at("empty");
    EXPECT_EQ(err(rename(u, "one", u, "uno")), 0);
    EXPECT_TRUE(host.has("a/uno"));
    EXPECT_EQ(err(rename(u, "two", u, "due")), 0) << "needs no member that takes new files";
    EXPECT_TRUE(host.has("b/due"));
    EXPECT_EQ(err(rename(u, "due", u, "uno")), EXDEV) << "replaces a file of another member";
    EXPECT_EQ(err(rename(u, "uno", at("empty/dir"), "uno")), 0);
    EXPECT_EQ(err(rename(u, "due", at("empty/dir"), "due")), EXDEV);
    EXPECT_EQ(err(rename(at("empty/dir"), "uno", u, "uno")), 0) << "back to the member with -c";
    EXPECT_EQ(err(rename(u, "missing", u, "x")), ENOENT);
    EXPECT_EQ(err(rename(u, "uno", root(), "uno")), EXDEV);
    EXPECT_EQ(err(rename(root(), "etc", u, "etc")), EXDEV);
    EXPECT_TRUE(host.has("a/uno"));
    EXPECT_TRUE(host.has("b/due"));
}

TEST_F(NamespaceTest, links_stay_inside_a_tree) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a"), true}, {dir("b")}})}), 0);
    EXPECT_EQ(err(link(root(), "one", at("empty/one"))), EXDEV);
    EXPECT_EQ(err(link(at("empty"), "ls", at("bin/ls"))), EXDEV);
    EXPECT_EQ(err(link(at("empty"), "two2", at("empty/two"))), EXDEV);
    EXPECT_EQ(err(link(at("empty"), "one2", at("empty/one"))), 0);
    EXPECT_EQ(err(link(at("empty"), "two", at("empty/one"))), EEXIST);
    EXPECT_EQ(err(link(root(), "d", at("bin"))), EPERM);
}

TEST_F(NamespaceTest, a_target_and_what_leads_to_it_cannot_be_moved) {
    host.dir("base/p/q");
    ASSERT_EQ(set({replaced("/p/q", {{dir("a")}})}), 0);
    EXPECT_EQ(err(rename(root(), "p", root(), "r")), EBUSY);
    EXPECT_EQ(err(rename(at("p"), "q", root(), "r")), EBUSY);
    EXPECT_EQ(err(rename(root(), "bin", at("p"), "q")), EBUSY);
    EXPECT_EQ(err(rmdir(at("p"), "q")), EBUSY);
    EXPECT_EQ(err(unlink(at("p"), "q")), EBUSY);
    EXPECT_EQ(err(create(at("p"), "beside")), 0);
    EXPECT_TRUE(host.has("base/p/beside"));
}

// --- binds over and below each other -------------------------------------------------------------

TEST_F(NamespaceTest, binds_nest) {
    ASSERT_EQ(set({replaced("/empty", {{dir("a")}}), replaced("/empty/dir", {{dir("b")}}),
                   replaced("/empty/dir/dir/deep", {{dir("a")}})}),
              0);
    EXPECT_EQ(cat("empty/one"), "one of a");
    EXPECT_EQ(cat("empty/dir/two"), "two of b");
    EXPECT_EQ(look("empty/dir/in_a"), ENOENT);
    EXPECT_EQ(names(at("empty/dir/dir")), (Names{"deep", "in_b"}));
    EXPECT_EQ(cat("empty/dir/dir/deep/one"), "one of a");
    // The name keeps what is bound to it when something else comes above.
    ASSERT_EQ(set({replaced("/empty", {{dir("b")}}), replaced("/empty/dir", {{dir("b")}})}), 0);
    EXPECT_EQ(cat("empty/dir/two"), "two of b");
}

TEST_F(NamespaceTest, the_same_directory_twice_is_two_trees) {
    ASSERT_EQ(set({replaced("/x", {{dir("a")}}), replaced("/y", {{dir("a")}})}), 0);
    EXPECT_FALSE(at("x/one")->identity().same_file(at("y/one")->identity()));
    EXPECT_EQ(err(write(open(at("x/one"), O_WRONLY).value(), 0, "ONE")), 0);
    EXPECT_EQ(cat("y/one"), "ONE of a");
    EXPECT_EQ(err(rename(at("x"), "one", at("y"), "uno")), EXDEV);
}

TEST_F(NamespaceTest, the_root_can_be_a_union_too) {
    ASSERT_EQ(set({replaced("/", {{dir("a"), true}, {base}})}), 0);
    EXPECT_EQ(cat("one"), "one of a");
    EXPECT_EQ(cat("bin/ls"), "ls of a");
    EXPECT_EQ(look("bin/sh"), ENOENT);
    EXPECT_EQ(cat("etc/hosts"), "base hosts");
    EXPECT_EQ(err(create(root(), "made")), 0);
    EXPECT_TRUE(host.has("a/made"));
}

// --- overlays and memory
// ---------------------------------------------------------------------------

TEST_F(NamespaceTest, an_overlay_merges_all_the_way_down_and_keeps_its_layers) {
    ASSERT_EQ(set({replaced("/empty", {{overlay({"a", "b"}), true}})}), 0);
    EXPECT_EQ(names(at("empty/dir")), (Names{"in_a", "in_b"}));
    EXPECT_EQ(cat("empty/both"), "both of a");
    EXPECT_EQ(err(unlink(at("empty/dir"), "in_b")), 0);
    EXPECT_EQ(err(write(open(at("empty/one"), O_WRONLY | O_TRUNC).value(), 0, "changed")), 0);
    EXPECT_EQ(names(at("empty/dir")), (Names{"in_a"}));
    EXPECT_EQ(cat("empty/one"), "changed");
    EXPECT_EQ(host.text("a/one"), "one of a");
    EXPECT_TRUE(host.has("b/dir/in_b"));
}

TEST_F(NamespaceTest, removing_from_an_overlay_in_a_union_shows_the_next_member) {
    ASSERT_EQ(set({replaced("/empty", {{overlay({"a"}), true}, {dir("b")}})}), 0);
    EXPECT_EQ(cat("empty/both"), "both of a");
    EXPECT_EQ(err(unlink(at("empty"), "both")), 0);
    EXPECT_EQ(cat("empty/both"), "both of b");
    EXPECT_TRUE(host.has("a/both"));
}

TEST_F(NamespaceTest, an_overlay_without_a_scratch_directory_is_read_only) {
    ASSERT_EQ(set({replaced("/empty", {{overlay({"a", "b"}, "")}})}), 0);
    EXPECT_EQ(names(at("empty/dir")), (Names{"in_a", "in_b"}));
    EXPECT_EQ(err(create(at("empty"), "x")), EROFS);
    EXPECT_EQ(err(open(at("empty/one"), O_WRONLY)), EROFS);
}

TEST_F(NamespaceTest, a_memory_tree_can_be_bound) {
    ASSERT_EQ(set({replaced("/empty", {{make_ram_tree()}})}), 0);
    EXPECT_EQ(err(create(at("empty"), "f")), 0);
    EXPECT_EQ(err(mkdir(at("empty"), "d")), 0);
    EXPECT_EQ(names(at("empty")), (Names{"d", "f"}));
    EXPECT_EQ(names(base), (Names{"bin", "empty", "etc", "link"}));
}

// --- changes seen by those who are inside
// ----------------------------------------------------------

TEST_F(NamespaceTest, a_directory_held_shows_what_is_bound_there_later) {
    ASSERT_EQ(set({}), 0);
    const NodePtr held = at("bin"), held_root = root();
    ASSERT_EQ(set({replaced("/bin", {{dir("a")}}), replaced("/etc/deep", {{dir("b")}})}), 0);
    EXPECT_EQ(contents(held, "one"), "one of a");
    EXPECT_EQ(names(held), (Names{"bin", "both", "dir", "one"}));
    EXPECT_EQ(contents(held_root, "etc/deep/two"), "two of b");
    ASSERT_EQ(set({}), 0);
    EXPECT_EQ(contents(held, "ls"), "base ls");
    EXPECT_EQ(contents(held_root, "etc/deep/two"), "errno 2");
}

TEST_F(NamespaceTest, a_target_is_the_same_file_before_and_after) {
    ASSERT_EQ(set({}), 0);
    const Identity before = at("bin")->identity();
    ASSERT_EQ(set({replaced("/bin", {{dir("a")}})}), 0);
    EXPECT_TRUE(at("bin")->identity().same_file(before));
}

TEST_F(NamespaceTest, a_listing_under_way_goes_on_with_what_it_began) {
    ASSERT_EQ(set({{"/bin", {{dir("a")}}, 1}}), 0);
    const HandlePtr handle = open(at("bin"), O_RDONLY | O_DIRECTORY).value();
    const auto next = [&](std::uint64_t offset) {
        return answer<std::vector<DirEntry>>(
                   [&](auto reply) { handle->readdir(test::root(), offset, 2, reply); })
            .value();
    };
    auto some = next(0);
    ASSERT_EQ(some.size(), 2u);
    Names seen{some[0].name, some[1].name};
    ASSERT_EQ(set({}), 0);
    host.file("base/bin/zz", "new");
    for (some = next(some.back().next_offset); !some.empty();
         some = next(some.back().next_offset)) {
        for (const DirEntry& entry : some) {
            seen.push_back(entry.name);
        }
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (Names{"bin", "both", "dir", "ls", "one", "sh"}));
    // From the start again it is what is there now.
    EXPECT_EQ(next(0).size(), 2u);
    EXPECT_EQ(next(2).size(), 1u);
}

TEST_F(NamespaceTest, what_is_revoked_is_gone_for_those_who_hold_it) {
    const NodePtr a = dir("a");
    ASSERT_EQ(set({replaced("/empty", {{a}})}), 0);
    const NodePtr file = at("empty/one"), below = at("empty/dir");
    const HandlePtr reading = open(file, O_RDWR).value();
    const HandlePtr listing = open(below, O_RDONLY | O_DIRECTORY).value();
    ASSERT_EQ(read(reading).value(), "one of a");
    ASSERT_EQ(set({}), 0);
    EXPECT_EQ(read(reading).value(), "one of a") << "forgotten is not revoked";
    a->revoke();
    EXPECT_EQ(err(read(reading)), ESTALE);
    EXPECT_EQ(err(write(reading, 0, "x")), ESTALE);
    EXPECT_EQ(err(open(file, O_RDONLY)), ESTALE);
    EXPECT_EQ(err(attr(file)), ESTALE);
    EXPECT_EQ(err(chmod(file, 0600)), ESTALE);
    EXPECT_EQ(err(getxattr(file, "user.x")), ESTALE);
    EXPECT_EQ(err(setxattr(file, "user.x", "y")), ESTALE);
    EXPECT_EQ(err(walk(below, "in_a")), ESTALE);
    EXPECT_EQ(err(create(below, "x")), ESTALE);
    EXPECT_EQ(err(mkdir(below, "x")), ESTALE);
    EXPECT_EQ(err(unlink(below, "in_a")), ESTALE);
    EXPECT_EQ(err(rename(below, "in_a", below, "x")), ESTALE);
    EXPECT_EQ(err(link(below, "x", file)), ESTALE);
    EXPECT_EQ(err(entries(below)), ESTALE);
    EXPECT_EQ(err(answer<std::vector<DirEntry>>(
                  [&](auto reply) { listing->readdir(test::root(), 0, 9, reply); })),
              ESTALE);
    EXPECT_EQ(cat("bin/ls"), "base ls");
    EXPECT_EQ(host.text("a/one"), "one of a");
}

TEST_F(NamespaceTest, a_revoked_overlay_lets_go_of_its_scratch_directory) {
    const NodePtr first = overlay({"a"});
    ASSERT_EQ(set({replaced("/empty", {{first, true}})}), 0);
    const NodePtr held = at("empty/one");
    EXPECT_EQ(err(write(open(held, O_WRONLY).value(), 0, "ONE")), 0);
    EXPECT_EQ(err(make_overlay({host.fd("a")}, host.fd("scratch"))), EBUSY);
    ASSERT_EQ(set({}), 0);
    first->revoke();
    EXPECT_EQ(err(open(held, O_RDONLY)), ESTALE);
    EXPECT_EQ(err(unlink(walk(first, "").value(), "one")), ESTALE);
    ASSERT_EQ(set({replaced("/empty", {{overlay({"a"}), true}})}), 0);
    EXPECT_EQ(cat("empty/one"), "ONE of a");
}

// --- the host changes
// ------------------------------------------------------------------------------

TEST_F(NamespaceTest, a_target_may_go_and_come_back_on_the_host) {
    host.dir("base/p/q");
    ASSERT_EQ(set({replaced("/p/q", {{dir("a")}})}), 0);
    std::filesystem::remove_all(host.path("base/p"));
    EXPECT_EQ(names(root()), (Names{"bin", "empty", "etc", "link", "p"}));
    EXPECT_EQ(cat("p/q/one"), "one of a");
    EXPECT_EQ(names(at("p")), (Names{"q"}));
    host.file("base/p/beside", "beside");
    EXPECT_EQ(names(at("p")), (Names{"beside", "q"}));
    std::filesystem::remove_all(host.path("base/p"));
    host.file("base/p", "a file now");
    EXPECT_EQ(cat("p/q/one"), "one of a");
}

TEST_F(NamespaceTest, hidden_directories_are_not_entered) {
    host.file("a/secret/key", "key");
    struct stat secret {};
    ASSERT_EQ(::stat(host.path("a/secret").c_str(), &secret), 0);
    const auto hiding = make_host_dir(host.fd("a"), {.hidden = {{secret.st_dev, secret.st_ino}}});
    ASSERT_EQ(set({replaced("/empty", {{hiding.value()}})}), 0);
    EXPECT_EQ(look("empty/secret"), EACCES);
    EXPECT_EQ(look("empty/secret/key"), EACCES);
    EXPECT_EQ(err(rename(at("empty"), "secret", at("empty"), "open")), EACCES);
    EXPECT_EQ(err(rmdir(at("empty"), "secret")), EACCES);
    EXPECT_EQ(cat("empty/one"), "one of a");
    const auto under = make_overlay({host.fd("a")}, host.fd("scratch"),
                                    {.hidden = {{secret.st_dev, secret.st_ino}}});
    EXPECT_EQ(err(walk(under.value(), "secret")), EACCES);
    const auto device = make_host_dir(host.fd("a"), {.hidden_device = secret.st_dev});
    EXPECT_EQ(err(walk(device.value(), "one")), EACCES);
}

// While another thread swaps directories for links that lead outside, and names for others, the
// guest meets files of what is bound, or a refusal.
TEST_F(NamespaceTest, nothing_outside_is_reached_while_the_host_changes) {
    host.file("outside/secret", "secret");
    host.dir("a/swap");
    host.file("a/swap/secret", "mine");
    ASSERT_EQ(set({{"/empty", {{dir("a"), true}, {dir("b")}}, 2}}), 0);
    std::atomic<bool> stop{false};
    std::thread attacker([&] {
        const std::string swap = host.path("a/swap"), away = host.path("a/away");
        while (!stop) {
            std::error_code ignored;
            std::filesystem::rename(swap, away, ignored);
            std::filesystem::create_directory_symlink("../outside", swap, ignored);
            std::filesystem::remove(swap, ignored);
            std::filesystem::create_directory_symlink(host.path("outside"), swap, ignored);
            std::filesystem::remove(swap, ignored);
            std::filesystem::rename(away, swap, ignored);
        }
    });
    int mine = 0, refused = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
    while (std::chrono::steady_clock::now() < until) {
        const std::string found = cat("empty/swap/secret");
        EXPECT_NE(found, "secret");
        found == "mine" ? ++mine : ++refused;
        // The name space changes too.
        ASSERT_EQ(set({{"/empty", {{dir("a"), true}, {dir("b")}}, 2}}), 0);
        EXPECT_NE(contents(at("empty"), "swap/secret"), "secret");
        const auto made = create(at("empty"), "made");
        if (made) {
            (void)rename(at("empty"), "made", at("empty"), "renamed");
            (void)unlink(at("empty"), "renamed");
        }
    }
    stop = true;
    attacker.join();
    EXPECT_GT(mine, 0);
    EXPECT_GT(refused, 0);
    EXPECT_EQ(host.text("outside/secret"), "secret");
    EXPECT_FALSE(host.has("outside/made"));
}

}  // namespace
}  // namespace ennead::synthfs::test
