// SPDX-License-Identifier: MIT
// The overlay as a guest sees it: merging, copy-up, whiteouts, links, renames, attributes, locks.
#include "synthfs/overlay.h"

#include <sys/resource.h>
#include <sys/sysmacros.h>

#include <csignal>

#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class OverlayTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!temp_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        temp_.dir("base");
        temp_.dir("scratch");
    }

    void TearDown() override { fs_.reset(); }

    // Opens the overlay, again if it is open.
    NodePtr mount(OverlayOptions options = {}) {
        fs_.reset();
        auto made = make_overlay({temp_.fd("base")}, temp_.fd("scratch"), options);
        // EBUSY: the test still holds something of the overlay it had open.
        fs_ = made.value();
        return fs_;
    }

    NodePtr get(const std::string& path) {
        auto node = walk(fs_, path);
        EXPECT_EQ(err(node), 0) << path;
        return node.value();
    }

    bool work_is_tidy() const {
        std::size_t left = 0;
        for ([[maybe_unused]] const auto& entry :
             std::filesystem::directory_iterator(temp_.path("scratch/work"))) {
            ++left;
        }
        return left == 1;  // the whiteout that is linked to removed names
    }

    TempDir temp_;
    NodePtr fs_;
};

TEST_F(OverlayTest, new_files_stay_out_of_the_base_and_survive_reopening) {
    temp_.file("base/etc/passwd", "root");
    mount();
    {
        const auto made = create(get("etc"), "motd", 0640, O_RDWR | O_EXCL, by(1000, 1001), 1001);
        ASSERT_EQ(err(made), 0);
        EXPECT_EQ(write(made.value().handle, 0, "hello").value(), 5u);
        EXPECT_FALSE(temp_.has("base/etc/motd"));
    }
    mount();
    EXPECT_EQ(contents(fs_, "etc/motd"), "hello");
    const auto seen = attr(get("etc/motd")).value();
    EXPECT_EQ(seen.mode, S_IFREG | 0640u);
    EXPECT_EQ(seen.uid, 1000u);
    EXPECT_EQ(seen.gid, 1001u);
    EXPECT_EQ(names(get("etc")), (Names{"motd", "passwd"}));
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, first_write_copies_up_and_open_readers_see_it) {
    temp_.file("base/f", "lower text", 0751);
    mount();
    const NodePtr node = get("f");
    const auto before = attr(node).value();
    const HandlePtr old = open(node, O_RDONLY).value();
    EXPECT_EQ(read(old).value(), "lower text");
    const HandlePtr writer = open(node, O_RDWR).value();
    EXPECT_FALSE(temp_.has("scratch/root/f")) << "opening alone copies nothing";
    EXPECT_EQ(write(writer, 0, "UPPER").value(), 5u);
    EXPECT_EQ(read(old).value(), "UPPER text");
    EXPECT_EQ(temp_.text("base/f"), "lower text");
    const auto after = attr(node).value();
    EXPECT_EQ(after.identity.path, before.identity.path);
    EXPECT_NE(after.identity.version, before.identity.version);
    EXPECT_NE(after.identity.version, 0u);
    EXPECT_EQ(after.mode, before.mode);
    struct stat host {};
    ASSERT_EQ(::lstat(temp_.path("scratch/root/f").c_str(), &host), 0);
    EXPECT_EQ(host.st_mode, S_IFREG | 0600u);
}

TEST_F(OverlayTest, number_of_a_copied_file_is_kept_over_reopening_and_matches_readdir) {
    temp_.file("base/d/f", "x");
    mount();
    const auto path = get("d/f")->identity().path;
    const auto dir_path = get("d")->identity().path;
    ASSERT_EQ(err(chmod(get("d/f"), 0600)), 0);
    EXPECT_EQ(get("d/f")->identity().path, path);
    mount();
    EXPECT_EQ(entries(get("d")).value().front().path, path);
    EXPECT_EQ(get("d/f")->identity().path, path);
    EXPECT_EQ(get("d")->identity().path, dir_path);
}

TEST_F(OverlayTest, copy_up_keeps_times_holes_attributes_and_the_directory_time) {
    temp_.file("base/d/f", "");
    ASSERT_EQ(::truncate(temp_.path("base/d/f").c_str(), 64 << 20), 0);
    ASSERT_EQ(::setxattr(temp_.path("base/d/f").c_str(), "user.note", "v", 1, 0), 0);
    const timespec times[2] = {{1000, 5}, {2000, 7}};
    ASSERT_EQ(::utimensat(AT_FDCWD, temp_.path("base/d/f").c_str(), times, 0), 0);
    ASSERT_EQ(::utimensat(AT_FDCWD, temp_.path("base/d").c_str(), times, 0), 0);
    mount();
    ASSERT_EQ(err(chmod(get("d/f"), 0644)), 0);
    const auto seen = attr(get("d/f")).value();
    EXPECT_EQ(seen.size, std::uint64_t{64} << 20);
    EXPECT_LT(seen.blocks, 100u);
    EXPECT_EQ(seen.mtime.tv_sec, 2000);
    EXPECT_EQ(seen.mtime.tv_nsec, 7);
    EXPECT_EQ(attr(get("d")).value().mtime.tv_sec, 2000);
    EXPECT_EQ(getxattr(get("d/f"), "user.note").value(), "v");
    EXPECT_EQ(listxattr(get("d/f")).value(), (Names{"user.note"}));
}

TEST_F(OverlayTest, removed_lower_names_stay_away) {
    temp_.file("base/d/a", "a");
    temp_.file("base/d/b", "b");
    mount();
    ASSERT_EQ(err(unlink(get("d"), "a")), 0);
    EXPECT_EQ(err(walk(fs_, "d/a")), ENOENT);
    EXPECT_EQ(names(get("d")), (Names{"b"}));
    mount();
    EXPECT_EQ(err(walk(fs_, "d/a")), ENOENT);
    EXPECT_EQ(names(get("d")), (Names{"b"}));
    EXPECT_EQ(err(unlink(get("d"), "a")), ENOENT);
    EXPECT_EQ(err(rmdir(fs_, "d")), ENOTEMPTY);
    ASSERT_EQ(err(unlink(get("d"), "b")), 0);
    ASSERT_EQ(err(rmdir(fs_, "d")), 0);
    EXPECT_EQ(err(walk(fs_, "d")), ENOENT);
    EXPECT_TRUE(temp_.has("base/d/a"));
    EXPECT_TRUE(work_is_tidy());
    mount();
    EXPECT_EQ(err(walk(fs_, "d")), ENOENT);
}

TEST_F(OverlayTest, directory_made_over_a_removed_one_is_opaque) {
    temp_.file("base/d/a", "a");
    mount();
    ASSERT_EQ(err(unlink(get("d"), "a")), 0);
    ASSERT_EQ(err(rmdir(fs_, "d")), 0);
    ASSERT_EQ(err(mkdir(fs_, "d")), 0);
    EXPECT_EQ(names(get("d")), Names{});
    ASSERT_EQ(err(create(get("d"), "new")), 0);
    mount();
    EXPECT_EQ(names(get("d")), (Names{"new"}));
    EXPECT_EQ(err(walk(fs_, "d/a")), ENOENT);
}

TEST_F(OverlayTest, file_made_over_a_whiteout_and_over_a_lower_directory) {
    temp_.file("base/f", "lower");
    temp_.file("base/d/a", "a");
    mount();
    ASSERT_EQ(err(unlink(fs_, "f")), 0);
    ASSERT_EQ(err(mkdir(fs_, "f")), 0);
    ASSERT_EQ(err(unlink(get("d"), "a")), 0);
    ASSERT_EQ(err(rmdir(fs_, "d")), 0);
    ASSERT_EQ(err(symlink(fs_, "d", "elsewhere")), 0);
    mount();
    EXPECT_TRUE(S_ISDIR(get("f")->type()));
    EXPECT_EQ(readlink(get("d")).value(), "elsewhere");
    ASSERT_EQ(err(unlink(fs_, "d")), 0);
    EXPECT_EQ(err(walk(fs_, "d")), ENOENT);
}

TEST_F(OverlayTest, lower_layers_merge_and_the_topmost_wins) {
    temp_.file("base/d/a", "base");
    temp_.file("base/d/b", "base");
    temp_.file("base/x/inside", "base");
    temp_.file("mid/d/b", "mid");
    temp_.file("mid/d/c", "mid");
    temp_.file("mid/x", "a file hides the directory below");
    fs_ = make_overlay({temp_.fd("mid"), temp_.fd("base")}, temp_.fd("scratch")).value();
    EXPECT_EQ(names(get("d")), (Names{"a", "b", "c"}));
    EXPECT_EQ(contents(fs_, "d/b"), "mid");
    EXPECT_TRUE(S_ISREG(get("x")->type()));
    ASSERT_EQ(err(unlink(get("d"), "b")), 0);
    EXPECT_EQ(names(get("d")), (Names{"a", "c"}));
}

TEST_F(OverlayTest, without_an_upper_layer_everything_is_read_only) {
    temp_.file("base/f", "text");
    fs_ = make_overlay({temp_.fd("base")}, -1).value();
    EXPECT_EQ(contents(fs_, "f"), "text");
    EXPECT_EQ(err(open(get("f"), O_RDWR)), EROFS);
    EXPECT_EQ(err(open(get("f"), O_RDONLY | O_TRUNC)), EROFS);
    EXPECT_EQ(err(create(fs_, "g")), EROFS);
    EXPECT_EQ(err(create(fs_, "f")), EEXIST);
    EXPECT_EQ(err(mkdir(fs_, "f")), EEXIST);
    EXPECT_EQ(err(unlink(fs_, "f")), EROFS);
    EXPECT_EQ(err(chmod(get("f"), 0)), EROFS);
    EXPECT_EQ(err(setxattr(get("f"), "user.a", "b")), EROFS);
    EXPECT_EQ(err(make_overlay({}, -1)), EINVAL);
}

TEST_F(OverlayTest, removed_file_works_on_while_it_is_held) {
    temp_.file("base/lower", "lower");
    mount();
    for (const std::string name : {"lower", "upper"}) {
        if (name == "upper") {
            ASSERT_EQ(err(write(create(fs_, name).value().handle, 0, name)), 0);
        }
        const NodePtr node = get(name);
        const HandlePtr handle = open(node, O_RDWR).value();
        ASSERT_EQ(err(unlink(fs_, name)), 0);
        EXPECT_EQ(read(handle).value(), name);
        EXPECT_EQ(attr(node).value().nlink, 0u);
        ASSERT_EQ(err(write(handle, 5, "!")), 0);
        EXPECT_EQ(read(handle).value(), name + "!");
        ASSERT_EQ(err(resize(node, 3)), 0);
        EXPECT_EQ(attr(node).value().size, 3u);
        EXPECT_EQ(attr(node).value().nlink, 0u);
        EXPECT_EQ(read(open(node, O_RDONLY).value()).value(), name.substr(0, 3));
        EXPECT_EQ(err(link(fs_, "again", node)), ENOENT);
        EXPECT_EQ(err(walk(fs_, name)), ENOENT);
        EXPECT_TRUE(work_is_tidy());
    }
}

TEST_F(OverlayTest, a_new_file_of_a_held_name_is_another_file) {
    mount();
    const auto first = create(fs_, "f").value();
    ASSERT_EQ(err(write(first.handle, 0, "first")), 0);
    ASSERT_EQ(err(unlink(fs_, "f")), 0);
    const auto second = create(fs_, "f").value();
    ASSERT_EQ(err(write(second.handle, 0, "second")), 0);
    EXPECT_EQ(read(first.handle).value(), "first");
    EXPECT_FALSE(first.node->identity().same_file(second.node->identity()));
}

TEST_F(OverlayTest, removed_directory_answers_enoent_but_still_tells_its_attributes) {
    temp_.dir("base/d");
    mount();
    const NodePtr dir = get("d");
    const HandlePtr handle = open(dir, O_RDONLY).value();
    ASSERT_EQ(err(rmdir(fs_, "d")), 0);
    EXPECT_EQ(attr(dir).value().nlink, 0u);
    EXPECT_EQ(err(create(dir, "f")), ENOENT);
    EXPECT_EQ(err(walk(dir, "f")), ENOENT);
    EXPECT_EQ(names(dir), Names{});
}

TEST_F(OverlayTest, hard_links_are_one_file) {
    temp_.file("base/f", "text");
    temp_.file("base/taken", "");
    mount();
    ASSERT_EQ(err(unlink(fs_, "taken")), 0);
    ASSERT_EQ(err(link(fs_, "g", get("f"))), 0);
    ASSERT_EQ(err(link(fs_, "taken", get("f"))), 0) << "over a whiteout";
    EXPECT_EQ(err(link(fs_, "g", get("f"))), EEXIST);
    EXPECT_EQ(get("f"), get("g"));
    EXPECT_EQ(attr(get("g")).value().nlink, 3u);
    mount();
    EXPECT_EQ(get("f")->identity().path, get("taken")->identity().path);
    ASSERT_EQ(err(chmod(get("f"), 0600)), 0);
    EXPECT_EQ(attr(get("taken")).value().mode, S_IFREG | 0600u);
    ASSERT_EQ(err(rename(fs_, "f", fs_, "g")), 0) << "does nothing";
    EXPECT_EQ(names(fs_), (Names{"f", "g", "taken"}));
    const NodePtr held = get("f");
    ASSERT_EQ(err(unlink(fs_, "f")), 0);
    EXPECT_EQ(attr(held).value().nlink, 2u);
    EXPECT_EQ(read(open(held, O_RDONLY).value()).value(), "text");
    EXPECT_EQ(get("g"), held);
    EXPECT_EQ(err(link(fs_, "d", fs_)), EPERM);
}

TEST_F(OverlayTest, link_of_a_file_whose_known_name_went) {
    mount();
    ASSERT_EQ(err(create(fs_, "f")), 0);
    ASSERT_EQ(err(link(fs_, "g", get("f"))), 0);
    mount();  // so that only one of the names is known
    const NodePtr held = get("f");
    ASSERT_EQ(err(unlink(fs_, "f")), 0);
    ASSERT_EQ(err(link(fs_, "h", held)), 0);
    EXPECT_EQ(get("h"), get("g"));
    EXPECT_EQ(attr(held).value().nlink, 2u);
}

TEST_F(OverlayTest, lower_links_are_separate_files) {
    temp_.file("base/f", "text");
    ASSERT_EQ(::link(temp_.path("base/f").c_str(), temp_.path("base/g").c_str()), 0);
    mount();
    EXPECT_EQ(attr(get("f")).value().nlink, 1u);
    EXPECT_NE(get("f")->identity().path, get("g")->identity().path);
    const auto listed = entries(fs_).value();
    for (const DirEntry& entry : listed) {
        EXPECT_EQ(entry.path, get(entry.name)->identity().path);
    }
    ASSERT_EQ(err(write(open(get("f"), O_RDWR).value(), 0, "F")), 0);
    EXPECT_EQ(contents(fs_, "g"), "text");
}

TEST_F(OverlayTest, rename_of_lower_files) {
    temp_.file("base/a", "a");
    temp_.file("base/b", "b");
    temp_.dir("base/d");
    mount();
    NodePtr a = get("a");
    HandlePtr b = open(get("b"), O_RDONLY).value();
    ASSERT_EQ(err(rename(fs_, "a", fs_, "b")), 0);
    EXPECT_EQ(read(b).value(), "b") << "the replaced file is still open";
    EXPECT_EQ(contents(fs_, "b"), "a");
    EXPECT_EQ(get("b"), a);
    EXPECT_EQ(names(fs_), (Names{"b", "d"}));
    ASSERT_EQ(err(rename(fs_, "b", get("d"), "c")), 0);
    a.reset();
    b.reset();
    mount();
    EXPECT_EQ(names(fs_), (Names{"d"}));
    EXPECT_EQ(contents(fs_, "d/c"), "a");
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, rename_of_a_lower_directory_carries_everything_along) {
    temp_.file("base/d/sub/f", "f");
    temp_.file("base/d/gone", "");
    temp_.symlink("base/d/sub/l", "f");
    temp_.file("base/e/only-lower", "");
    mount();
    NodePtr f = get("d/sub/f");
    const auto path = f->identity().path;
    NodePtr sub = get("d/sub");
    HandlePtr handle = open(f, O_RDWR).value();
    ASSERT_EQ(err(unlink(get("d"), "gone")), 0);
    ASSERT_EQ(err(rename(fs_, "d", fs_, "e")), ENOTEMPTY);
    ASSERT_EQ(err(unlink(get("e"), "only-lower")), 0);
    ASSERT_EQ(err(rename(fs_, "d", fs_, "e")), 0);
    EXPECT_EQ(names(fs_), (Names{"e"}));
    EXPECT_EQ(names(get("e")), (Names{"sub"}));
    EXPECT_EQ(get("e/sub/f"), f);
    EXPECT_EQ(f->identity().path, path);
    ASSERT_EQ(err(write(handle, 1, "!")), 0);
    EXPECT_EQ(contents(fs_, "e/sub/f"), "f!");
    ASSERT_EQ(err(create(sub, "new")), 0);
    f.reset();
    sub.reset();
    handle.reset();
    mount();
    EXPECT_EQ(names(fs_), (Names{"e"}));
    EXPECT_EQ(names(get("e/sub")), (Names{"f", "l", "new"}));
    EXPECT_EQ(readlink(get("e/sub/l")).value(), "f");
    EXPECT_EQ(temp_.text("base/d/sub/f"), "f");
}

TEST_F(OverlayTest, rename_of_directories_over_whiteouts_and_each_other) {
    temp_.file("base/x/in", "x");
    temp_.file("base/y/in", "y");
    mount();
    ASSERT_EQ(err(rename(fs_, "x", fs_, "z")), 0);
    ASSERT_EQ(err(rename(fs_, "y", fs_, "x")), 0) << "over the whiteout of x";
    ASSERT_EQ(err(rename(fs_, "z", fs_, "y")), 0);
    mount();
    EXPECT_EQ(names(fs_), (Names{"x", "y"}));
    EXPECT_EQ(contents(fs_, "x/in"), "y");
    EXPECT_EQ(contents(fs_, "y/in"), "x");
    ASSERT_EQ(err(mkdir(fs_, "up")), 0);
    ASSERT_EQ(err(rename(fs_, "up", get("x"), "moved")), 0);
    EXPECT_EQ(err(rename(fs_, "x", get("x/moved"), "self")), EINVAL);
    EXPECT_EQ(err(rename(get("x"), "in", fs_, "y")), EISDIR);
    EXPECT_EQ(err(rename(fs_, "y", get("x"), "in")), ENOTDIR);
    EXPECT_EQ(err(rename(fs_, "none", fs_, "y")), ENOENT);
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, rename_of_too_large_a_lower_directory_is_left_to_mv) {
    temp_.file("base/d/a", "a");
    temp_.file("base/d/b", "b");
    OverlayOptions options;
    options.rename_copy_files = 1;
    mount(options);
    EXPECT_EQ(err(rename(fs_, "d", fs_, "e")), EXDEV);
    EXPECT_EQ(names(get("d")), (Names{"a", "b"}));
}

TEST_F(OverlayTest, special_files_are_plain_files_on_the_host) {
    mount();
    ASSERT_EQ(err(mknod(fs_, "null", S_IFCHR | 0666, makedev(1, 3))), 0);
    ASSERT_EQ(err(mknod(fs_, "disk", S_IFBLK | 0660, makedev(8, 1))), 0);
    ASSERT_EQ(err(mknod(fs_, "pipe", S_IFIFO | 0600, 0)), 0);
    ASSERT_EQ(err(mknod(fs_, "sock", S_IFSOCK | 0755, 0)), 0);
    ASSERT_EQ(err(symlink(fs_, "link", "/etc/passwd")), 0);
    ASSERT_EQ(err(create(fs_, "suid", 04755)), 0);
    mount();
    const std::map<std::string, mode_t> expected = {
        {"null", S_IFCHR | 0666},  {"disk", S_IFBLK | 0660}, {"pipe", S_IFIFO | 0600},
        {"sock", S_IFSOCK | 0755}, {"link", S_IFLNK | 0777}, {"suid", S_IFREG | 04755}};
    for (const auto& [name, mode] : expected) {
        struct stat host {};
        ASSERT_EQ(::lstat(temp_.path("scratch/root/" + name).c_str(), &host), 0);
        EXPECT_EQ(host.st_mode, S_IFREG | 0600u) << name;
        EXPECT_EQ(host.st_uid, ::geteuid());
        EXPECT_EQ(attr(get(name)).value().mode, mode) << name;
    }
    const auto listed = entries(fs_).value();
    for (const DirEntry& entry : listed) {
        EXPECT_EQ(entry.type, expected.at(entry.name) & S_IFMT) << entry.name;
    }
    EXPECT_EQ(attr(get("null")).value().rdev, makedev(1, 3));
    EXPECT_EQ(attr(get("disk")).value().rdev, makedev(8, 1));
    EXPECT_EQ(readlink(get("link")).value(), "/etc/passwd");
    EXPECT_EQ(err(open(get("link"), O_RDONLY)), ELOOP);
    EXPECT_EQ(err(open(get("null"), O_RDWR)), ENXIO);
    EXPECT_EQ(err(readlink(get("null"))), EINVAL);
}

TEST_F(OverlayTest, the_servers_own_lower_files_belong_to_root) {
    temp_.file("base/f", "");
    if (::geteuid() == 0) {
        ASSERT_EQ(::chown(temp_.path("base/f").c_str(), 0, 42), 0);
    }
    mount();
    EXPECT_EQ(attr(get("f")).value().uid, 0u);
    EXPECT_EQ(attr(get("f")).value().gid, ::geteuid() == 0 ? 42u : 0u);
}

TEST_F(OverlayTest, group_and_its_bit_come_from_a_setgid_directory) {
    mount();
    const NodePtr dir = mkdir(fs_, "d").value();
    SetAttr change;
    change.gid = 77;
    change.mode = 02775;
    ASSERT_EQ(err(set(dir, change)), 0);
    const auto file = create(dir, "f", 0644, O_RDWR | O_EXCL, by(5, 6), 6).value();
    EXPECT_EQ(attr(file.node).value().gid, 77u);
    EXPECT_EQ(attr(file.node).value().uid, 5u);
    EXPECT_EQ(attr(mkdir(dir, "sub").value()).value().mode, S_IFDIR | 02755u);
    EXPECT_EQ(attr(get("d/sub")).value().gid, 77u);
}

TEST_F(OverlayTest, chown_and_foreign_writes_end_set_user_id) {
    mount();
    const auto made = create(fs_, "f", 06755).value();
    ASSERT_EQ(err(write(made.handle, 0, "root may")), 0);
    EXPECT_EQ(attr(made.node).value().mode & 07777, 06755u);
    ASSERT_EQ(err(setxattr(made.node, "security.capability", "cap")), 0);
    ASSERT_EQ(err(write(made.handle, 0, "x", by(1000))), 0);
    EXPECT_EQ(attr(made.node).value().mode & 07777, 0755u);
    EXPECT_EQ(err(getxattr(made.node, "security.capability")), ENODATA);
    ASSERT_EQ(err(chmod(made.node, 06745)), 0);
    SetAttr owner;
    owner.uid = 9;
    ASSERT_EQ(err(set(made.node, owner)), 0);
    EXPECT_EQ(attr(made.node).value().mode & 07777, 02745u) << "no group execution: a lock mark";
    EXPECT_EQ(attr(made.node).value().uid, 9u);
}

TEST_F(OverlayTest, sizes_and_times) {
    mount();
    const auto made = create(fs_, "f").value();
    ASSERT_EQ(err(resize(made.node, std::uint64_t{1} << 32)), 0);
    EXPECT_EQ(attr(made.node).value().size, std::uint64_t{1} << 32);
    EXPECT_LT(attr(made.node).value().blocks, 100u);
    EXPECT_EQ(err(resize(made.node, std::uint64_t{1} << 63)), EFBIG);
    EXPECT_EQ(err(write(made.handle, ~std::uint64_t{0} - 2, "x")), EFBIG);
    EXPECT_EQ(read(made.handle, ~std::uint64_t{0} - 2).value(), "");
    EXPECT_EQ(err(resize(fs_, 0)), EISDIR);
    SetAttr change;
    change.mtime = SetTime{false, {12345, 678}};
    ASSERT_EQ(err(set(made.node, change)), 0);
    EXPECT_EQ(attr(made.node).value().mtime.tv_sec, 12345);
    EXPECT_EQ(attr(made.node).value().mtime.tv_nsec, 678);
    change.mtime = SetTime{true, {}};
    ASSERT_EQ(err(set(made.node, change)), 0);
    EXPECT_GT(attr(made.node).value().mtime.tv_sec, 12345);
    EXPECT_EQ(
        answer<void>([&](auto reply) { made.handle->fsync(root(), false, reply); }).has_value(),
        true);
    const auto space = answer<StatFs>([&](auto reply) { fs_->statfs(root(), reply); });
    EXPECT_GT(space.value().blocks, 0u);
}

TEST_F(OverlayTest, open_flags) {
    temp_.file("base/f", "lower");
    mount();
    EXPECT_EQ(err(open(get("f"), O_RDONLY | O_DIRECTORY)), ENOTDIR);
    EXPECT_EQ(err(open(fs_, O_RDWR)), EISDIR);
    EXPECT_EQ(err(create(fs_, "f")), EEXIST);
    const auto again = create(fs_, "f", 0600, O_RDWR);
    ASSERT_EQ(err(again), 0);
    EXPECT_EQ(read(again.value().handle).value(), "lower");
    EXPECT_EQ(err(write(open(get("f"), O_RDONLY).value(), 0, "x")), EBADF);
    EXPECT_EQ(err(read(open(get("f"), O_WRONLY).value())), EBADF);
    const HandlePtr append = open(get("f"), O_WRONLY | O_APPEND).value();
    ASSERT_EQ(err(write(append, 0, "+1")), 0);
    EXPECT_EQ(contents(fs_, "f"), "lower+1");
    ASSERT_EQ(err(open(get("f"), O_WRONLY | O_TRUNC)), 0);
    EXPECT_EQ(contents(fs_, "f"), "");
    EXPECT_EQ(temp_.text("base/f"), "lower");
    EXPECT_EQ(err(create(fs_, std::string(256, 'n'))), ENAMETOOLONG);
    EXPECT_EQ(err(walk(fs_, std::string(256, 'n'))), ENAMETOOLONG);
    EXPECT_EQ(err(create(fs_, std::string(255, 'n'))), 0);
    EXPECT_EQ(err(create(get("f"), "below")), ENOTDIR);
}

TEST_F(OverlayTest, extended_attributes_of_the_guest_are_kept_apart_from_ours) {
    temp_.file("base/f", "");
    ASSERT_EQ(::setxattr(temp_.path("base/f").c_str(), "user.ennead.attr", "104755 0 0", 10, 0), 0);
    ASSERT_EQ(::setxattr(temp_.path("base/f").c_str(), "user.seen", "1", 1, 0), 0);
    mount();
    EXPECT_EQ(attr(get("f")).value().mode, S_IFREG | 0644u) << "means nothing in a lower layer";
    EXPECT_EQ(listxattr(get("f")).value(), (Names{"user.seen"}));
    EXPECT_EQ(err(getxattr(get("f"), "user.ennead.attr")), ENODATA);
    ASSERT_EQ(err(setxattr(get("f"), "user.ennead.attr", "guest's own")), 0);
    EXPECT_EQ(getxattr(get("f"), "user.ennead.attr").value(), "guest's own");
    EXPECT_EQ(attr(get("f")).value().mode, S_IFREG | 0644u);
    EXPECT_EQ(err(setxattr(get("f"), "user.seen", "2", XATTR_CREATE)), EEXIST);
    EXPECT_EQ(err(setxattr(get("f"), "user.none", "2", XATTR_REPLACE)), ENODATA);
    EXPECT_EQ(err(setxattr(get("f"), "trusted.overlay.opaque", "y")), EOPNOTSUPP);
    EXPECT_EQ(err(getxattr(get("f"), "system.posix_acl_access")), EOPNOTSUPP);
    EXPECT_EQ(err(setxattr(get("f"), "security.capability", "c")), 0);
    EXPECT_EQ(err(setxattr(get("f"), "user." + std::string(245, 'n'), "v")), ERANGE);
    EXPECT_EQ(
        err(answer<void>([&](auto reply) { get("f")->removexattr(root(), "user.seen", reply); })),
        0);
    mount();
    auto left = listxattr(get("f")).value();
    std::sort(left.begin(), left.end());
    EXPECT_EQ(left, (Names{"security.capability", "user.ennead.attr"}));
    ASSERT_EQ(err(symlink(fs_, "l", "x")), 0);
    EXPECT_EQ(err(setxattr(get("l"), "user.a", "b")), EPERM);
}

TEST_F(OverlayTest, locks_are_between_owners_and_end_with_the_handle) {
    mount();
    const NodePtr node = create(fs_, "f").value().node;
    HandlePtr first = open(node, O_RDWR).value();
    const HandlePtr second = open(node, O_RDWR).value();
    const auto lock = [](const HandlePtr& handle, Lock::Kind kind, std::uint64_t start,
                         std::uint64_t length, std::uint32_t pid) {
        return err(answer<void>([&](auto reply) {
            handle->lock(root(), Lock{kind, start, length, pid, "guest"}, reply);
        }));
    };
    EXPECT_EQ(lock(first, Lock::Kind::write, 10, 10, 1), 0);
    EXPECT_EQ(lock(second, Lock::Kind::read, 19, 1, 2), EAGAIN);
    EXPECT_EQ(lock(second, Lock::Kind::read, 20, 0, 2), 0);
    EXPECT_EQ(lock(first, Lock::Kind::unlock, 12, 2, 1), 0);
    EXPECT_EQ(lock(second, Lock::Kind::write, 12, 2, 2), 0);
    EXPECT_EQ(lock(first, Lock::Kind::write, 0, 0, 1), EAGAIN);
    const auto blocking = answer<Lock>([&](auto reply) {
        second->getlock(root(), Lock{Lock::Kind::read, 0, 100, 2, "guest"}, reply);
    });
    EXPECT_EQ(blocking.value().kind, Lock::Kind::write);
    EXPECT_EQ(blocking.value().pid, 1u);
    EXPECT_EQ(blocking.value().start, 10u);
    EXPECT_EQ(blocking.value().length, 2u);
    first.reset();
    EXPECT_EQ(lock(second, Lock::Kind::write, 0, 0, 2), 0);
    EXPECT_EQ(lock(second, Lock::Kind::write, ~std::uint64_t{0}, ~std::uint64_t{0}, 2), 0);
}

TEST_F(OverlayTest, names_that_stay_are_listed_once_whatever_happens) {
    for (int i = 0; i < 50; ++i) {
        temp_.file("base/l" + std::to_string(i), "");
    }
    mount();
    for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(err(create(fs_, "u" + std::to_string(i))), 0);
    }
    const HandlePtr handle = open(fs_, O_RDONLY).value();
    std::multiset<std::string> seen;
    for (std::uint64_t offset = 0;;) {
        const auto some = answer<std::vector<DirEntry>>(
            [&](auto reply) { handle->readdir(root(), offset, 3, reply); });
        if (some.value().empty()) {
            break;
        }
        for (const DirEntry& entry : some.value()) {
            seen.insert(entry.name);
            // Half of what was listed goes, as rm -r does.
            if (seen.size() % 2 == 0) {
                ASSERT_EQ(err(unlink(fs_, entry.name)), 0);
                ASSERT_EQ(err(create(fs_, "new" + entry.name)), 0);
            }
        }
        offset = some.value().back().next_offset;
    }
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(seen.count("l" + std::to_string(i)), 1u);
        EXPECT_EQ(seen.count("u" + std::to_string(i)), 1u);
    }
}

TEST_F(OverlayTest, what_a_crash_left_behind_is_removed) {
    temp_.file("base/f", "lower");
    mount();
    ASSERT_EQ(err(create(fs_, "g")), 0);
    fs_.reset();
    temp_.file("scratch/work/t7", "half a copy");
    temp_.file("scratch/work/t8/deep/deeper/x", "");
    temp_.file("scratch/work/stray", "");
    mount();
    EXPECT_EQ(names(fs_), (Names{"f", "g"}));
    EXPECT_EQ(contents(fs_, "f"), "lower");
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, a_copy_up_that_fails_changes_nothing) {
    if (::geteuid() == 0) {
        // Root reads everything, so the copy is made to fail by the size limit instead.
        temp_.file("base/f", std::string(100000, 'x'));
        mount();
        const NodePtr node = get("f");
        ASSERT_EQ(err(open(node, O_RDONLY)), 0);
        const auto old = ::signal(SIGXFSZ, SIG_IGN);
        rlimit before{}, low{};
        ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
        low = before;
        low.rlim_cur = 1000;
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
        const int failed = err(chmod(node, 0600));
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
        ::signal(SIGXFSZ, old);
        EXPECT_EQ(failed, EFBIG);
    } else {
        temp_.file("base/f", "x", 0000);
        mount();
        EXPECT_EQ(err(chmod(get("f"), 0600)), EACCES);
    }
    EXPECT_NE(attr(get("f")).value().mode & 0777, 0600u);
    EXPECT_FALSE(temp_.has("scratch/root/f"));
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, scratch_directory_is_for_one_at_a_time) {
    mount();
    EXPECT_EQ(err(make_overlay({temp_.fd("base")}, temp_.fd("scratch"))), EBUSY);
}

TEST_F(OverlayTest, descriptors_stay_few_and_depth_is_no_limit) {
    OverlayOptions options;
    options.max_descriptors = 8;
    mount(options);
    const auto open_now = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                             std::filesystem::directory_iterator());
    };
    const auto before = open_now();
    std::vector<HandlePtr> handles;
    NodePtr at = fs_;
    for (int i = 0; i < 300; ++i) {
        at = mkdir(at, std::string(40, 'd')).value();
        handles.push_back(create(at, "f").value().handle);
        ASSERT_EQ(err(write(handles.back(), 0, std::to_string(i))), 0);
    }
    EXPECT_LE(open_now(), before + 10);
    ASSERT_EQ(err(rename(fs_, std::string(40, 'd'), fs_, "short")), 0);
    for (int i = 0; i < 300; i += 37) {
        EXPECT_EQ(read(handles[static_cast<std::size_t>(i)]).value(), std::to_string(i));
    }
}

TEST_F(OverlayTest, a_deep_chain_of_nodes_is_let_go_without_recursion) {
    mount();
    NodePtr at = fs_;
    for (int i = 0; i < 6000; ++i) {
        auto next = mkdir(at, "d");
        ASSERT_EQ(err(next), 0);
        at = next.value();
    }
    at.reset();
    // Removed by the overlay itself, since few tools go that deep.
    ASSERT_EQ(err(rename(fs_, "d", fs_, "e")), 0);
    fs_.reset();
    std::filesystem::rename(temp_.path("scratch/root/e"), temp_.path("scratch/work/e"));
    mount();
    EXPECT_TRUE(work_is_tidy());
}

TEST_F(OverlayTest, hostile_upper_records_are_errors_or_shown_harmlessly) {
    temp_.file("base/f", "");
    mount();
    ASSERT_EQ(err(create(fs_, "broken")), 0);
    ASSERT_EQ(err(create(fs_, "dirmode")), 0);
    fs_.reset();
    ASSERT_EQ(
        ::setxattr(temp_.path("scratch/root/broken").c_str(), "user.ennead.attr", "nonsense", 8, 0),
        0);
    ASSERT_EQ(::setxattr(temp_.path("scratch/root/dirmode").c_str(), "user.ennead.attr",
                         "40755 0 0", 9, 0),
              0);
    temp_.symlink("scratch/root/out", "/etc");
    temp_.file("scratch/root/plain", "by hand");
    mount();
    EXPECT_EQ(err(walk(fs_, "broken")), EIO);
    EXPECT_EQ(err(walk(fs_, "dirmode")), EIO);
    EXPECT_EQ(err(walk(fs_, "out/passwd")), ENOTDIR);
    EXPECT_EQ(readlink(get("out")).value(), "/etc");
    EXPECT_EQ(contents(fs_, "plain"), "by hand");
    EXPECT_EQ(err(chmod(get("out"), 0600)), EOPNOTSUPP);
}

}  // namespace
}  // namespace ennead::synthfs::test
