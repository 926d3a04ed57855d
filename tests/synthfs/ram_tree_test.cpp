// SPDX-License-Identifier: MIT
// A file system in memory behaves as one on disk, and takes no more than it may.
#include "synthfs/ram_tree.h"

#include <sys/sysmacros.h>

#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class RamTreeTest : public testing::Test {
  protected:
    NodePtr top = make_ram_tree();

    NodePtr make(const std::string& name, const std::string& text = "") {
        const auto made = create(top, name);
        EXPECT_EQ(err(made), 0) << name;
        if (!text.empty()) {
            EXPECT_EQ(err(write(made.value().handle, 0, text)), 0);
        }
        return made.value().node;
    }
    std::uint64_t free_bytes() {
        const auto figures = answer<StatFs>([&](auto reply) { top->statfs(test::root(), reply); });
        return figures.value().blocks_free * figures.value().block_size;
    }
};

TEST_F(RamTreeTest, is_an_empty_directory_at_first) {
    EXPECT_EQ(names(top), Names());
    EXPECT_EQ(attr(top).value().mode, S_IFDIR | 0755u);
    EXPECT_EQ(err(walk(top, "x")), ENOENT);
}

TEST_F(RamTreeTest, files_keep_what_is_written) {
    make("f", "hello");
    EXPECT_EQ(contents(top, "f"), "hello");
    const auto handle = open(walk(top, "f").value(), O_RDWR).value();
    EXPECT_EQ(err(write(handle, 3, "p!")), 0);
    EXPECT_EQ(read(handle).value(), "help!");
    EXPECT_EQ(read(handle, 4, 100).value(), "!");
    EXPECT_EQ(read(handle, 5).value(), "");
    EXPECT_EQ(attr(walk(top, "f").value()).value().size, 5u);
}

TEST_F(RamTreeTest, holes_read_as_zeroes_and_take_nothing) {
    const NodePtr file = make("f");
    const std::uint64_t before = free_bytes();
    const auto handle = open(file, O_RDWR).value();
    ASSERT_EQ(err(write(handle, std::uint64_t{1} << 40, "end")), 0);
    EXPECT_EQ(attr(file).value().size, (std::uint64_t{1} << 40) + 3);
    EXPECT_LE(before - free_bytes(), 2 * 4096u);
    EXPECT_EQ(read(handle, 12345, 4).value(), std::string(4, '\0'));
    EXPECT_EQ(read(handle, (std::uint64_t{1} << 40) - 2).value(), std::string("\0\0end", 5));
    EXPECT_EQ(attr(file).value().blocks, 8u);
}

TEST_F(RamTreeTest, what_was_cut_off_reads_as_zeroes_when_the_file_grows) {
    const NodePtr file = make("f", std::string(10000, 'x'));
    ASSERT_EQ(err(resize(file, 5000)), 0);
    ASSERT_EQ(err(resize(file, 10000)), 0);
    const std::string text = contents(top, "f");
    EXPECT_EQ(text, std::string(5000, 'x') + std::string(5000, '\0'));
}

TEST_F(RamTreeTest, open_flags_mean_what_they_do) {
    const NodePtr file = make("f", "text");
    EXPECT_EQ(err(write(open(file, O_RDONLY).value(), 0, "x")), EBADF);
    EXPECT_EQ(err(read(open(file, O_WRONLY).value())), EBADF);
    EXPECT_EQ(err(write(open(file, O_WRONLY | O_APPEND).value(), 0, "!")), 0);
    EXPECT_EQ(contents(top, "f"), "text!");
    EXPECT_EQ(err(open(file, O_WRONLY | O_TRUNC)), 0);
    EXPECT_EQ(contents(top, "f"), "");
    EXPECT_EQ(err(open(file, O_RDONLY | O_DIRECTORY)), ENOTDIR);
    EXPECT_EQ(err(open(top, O_WRONLY)), EISDIR);
    EXPECT_EQ(err(write(open(file, O_WRONLY).value(), ~std::uint64_t{0}, "x")), EFBIG);
    EXPECT_EQ(err(create(top, "f")), EEXIST);
    EXPECT_EQ(err(create(top, "f", 0644, O_RDWR)), 0);
}

TEST_F(RamTreeTest, every_kind_of_file_can_be_made) {
    EXPECT_EQ(err(mkdir(top, "d", 0750)), 0);
    EXPECT_EQ(err(symlink(top, "s", "a/b")), 0);
    EXPECT_EQ(err(mknod(top, "null", S_IFCHR | 0666, makedev(1, 3))), 0);
    EXPECT_EQ(err(mknod(top, "fifo", S_IFIFO | 0600, 7)), 0);
    EXPECT_EQ(err(mknod(top, "plain", 0600, 0)), 0);
    EXPECT_EQ(readlink(walk(top, "s").value()).value(), "a/b");
    EXPECT_EQ(attr(walk(top, "s").value()).value().size, 3u);
    EXPECT_EQ(attr(walk(top, "null").value()).value().rdev, makedev(1, 3));
    EXPECT_EQ(attr(walk(top, "fifo").value()).value().rdev, 0u);
    EXPECT_EQ(attr(walk(top, "plain").value()).value().mode, S_IFREG | 0600u);
    EXPECT_EQ(err(open(walk(top, "s").value(), O_RDONLY)), ELOOP);
    EXPECT_EQ(err(open(walk(top, "null").value(), O_RDONLY)), ENXIO);
    EXPECT_EQ(err(mknod(top, "d2", S_IFDIR | 0700, 0)), EPERM);
    EXPECT_EQ(err(mkdir(top, "s")), EEXIST);
    EXPECT_EQ(err(symlink(top, "e", "")), ENOENT);
    EXPECT_EQ(err(symlink(top, "e", std::string(5000, 'a'))), ENAMETOOLONG);
    EXPECT_EQ(err(readlink(top)), EINVAL);
    EXPECT_EQ(err(mkdir(top, std::string(256, 'n'))), ENAMETOOLONG);
    EXPECT_EQ(err(walk(walk(top, "plain").value(), "x")), ENOTDIR);
    EXPECT_EQ(attr(top).value().nlink, 3u);
}

TEST_F(RamTreeTest, removed_files_live_as_long_as_they_are_open) {
    const auto made = create(top, "f");
    ASSERT_EQ(err(write(made.value().handle, 0, "kept")), 0);
    ASSERT_EQ(err(unlink(top, "f")), 0);
    EXPECT_EQ(err(walk(top, "f")), ENOENT);
    EXPECT_EQ(read(made.value().handle).value(), "kept");
    EXPECT_EQ(attr(made.value().node).value().nlink, 0u);
    EXPECT_EQ(err(link(top, "g", made.value().node)), ENOENT);
    const NodePtr d = mkdir(top, "d").value();
    EXPECT_EQ(err(unlink(top, "d")), EISDIR);
    EXPECT_EQ(err(mkdir(d, "e")), 0);
    EXPECT_EQ(err(rmdir(top, "d")), ENOTEMPTY);
    EXPECT_EQ(err(rmdir(d, "e")), 0);
    EXPECT_EQ(err(rmdir(top, "d")), 0);
    EXPECT_EQ(err(mkdir(d, "late")), ENOENT);
}

TEST_F(RamTreeTest, links_are_the_same_file) {
    const NodePtr f = make("f", "text");
    ASSERT_EQ(err(link(top, "g", f)), 0);
    EXPECT_EQ(attr(f).value().nlink, 2u);
    EXPECT_TRUE(walk(top, "g").value()->identity().same_file(f->identity()));
    EXPECT_EQ(err(link(top, "g", f)), EEXIST);
    EXPECT_EQ(err(link(top, "d", mkdir(top, "dir").value())), EPERM);
    EXPECT_EQ(err(link(make_ram_tree(), "f", f)), EXDEV);
    ASSERT_EQ(err(unlink(top, "f")), 0);
    EXPECT_EQ(contents(top, "g"), "text");
}

TEST_F(RamTreeTest, rename_replaces_as_rename_2_does) {
    make("f", "f");
    make("g", "g");
    const NodePtr d = mkdir(top, "d").value(), e = mkdir(d, "e").value();
    EXPECT_EQ(err(rename(top, "f", top, "g")), 0);
    EXPECT_EQ(contents(top, "g"), "f");
    EXPECT_EQ(err(rename(top, "g", e, "h")), 0);
    EXPECT_EQ(contents(top, "d/e/h"), "f");
    EXPECT_EQ(err(rename(top, "d", e, "x")), EINVAL);
    EXPECT_EQ(err(rename(top, "d", d, "x")), EINVAL);
    EXPECT_EQ(err(rename(top, "missing", top, "x")), ENOENT);
    make("f");
    EXPECT_EQ(err(rename(top, "f", top, "d")), EISDIR);
    EXPECT_EQ(err(rename(top, "d", top, "f")), ENOTDIR);
    ASSERT_EQ(err(mkdir(top, "other")), 0);
    EXPECT_EQ(err(rename(top, "other", top, "d")), ENOTEMPTY);
    EXPECT_EQ(err(rename(top, "d", top, "other")), 0);
    EXPECT_EQ(contents(top, "other/e/h"), "f");
    ASSERT_EQ(err(link(top, "f2", walk(top, "f").value())), 0);
    EXPECT_EQ(err(rename(top, "f", top, "f2")), 0);
    EXPECT_EQ(names(top), (Names{"f", "f2", "other"}));
    EXPECT_EQ(err(rename(top, "f", make_ram_tree(), "f")), EXDEV);
}

TEST_F(RamTreeTest, owners_modes_and_times) {
    const NodePtr f = make("f");
    SetAttr change;
    change.mode = 04755;
    change.uid = 1000;
    change.gid = 50;
    change.mtime = SetTime{.now = false, .value = {86400, 7}};
    ASSERT_EQ(err(set(f, change)), 0);
    const Attr now = attr(f).value();
    EXPECT_EQ(now.mode, S_IFREG | 04755u);
    EXPECT_EQ(now.uid, 1000u);
    EXPECT_EQ(now.gid, 50u);
    EXPECT_EQ(now.mtime.tv_sec, 86400);
    EXPECT_EQ(now.mtime.tv_nsec, 7);
    const auto handle = open(f, O_RDWR).value();
    ASSERT_EQ(err(write(handle, 0, "x", by(1000))), 0);
    EXPECT_EQ(attr(f).value().mode, S_IFREG | 0755u) << "written by others than root";
    EXPECT_NE(attr(f).value().identity.version, now.identity.version);
    EXPECT_EQ(err(resize(top, 1)), EISDIR);
    const auto mine = create(top, "mine", 0600, O_RDWR, by(7, 7), 8);
    EXPECT_EQ(attr(mine.value().node).value().uid, 7u);
    EXPECT_EQ(attr(mine.value().node).value().gid, 8u);
    ASSERT_EQ(err(symlink(top, "s", "x")), 0);
    EXPECT_EQ(err(chmod(walk(top, "s").value(), 0600)), EOPNOTSUPP);
}

TEST_F(RamTreeTest, groups_are_inherited_where_the_directory_says_so) {
    const NodePtr d = mkdir(top, "d", 02775).value();
    SetAttr change;
    change.gid = 50;
    ASSERT_EQ(err(set(d, change)), 0);
    EXPECT_EQ(attr(create(d, "f").value().node).value().gid, 50u);
    EXPECT_EQ(attr(mkdir(d, "e").value()).value().mode, S_IFDIR | 02755u);
}

TEST_F(RamTreeTest, extended_attributes) {
    const NodePtr f = make("f");
    EXPECT_EQ(err(getxattr(f, "user.a")), ENODATA);
    ASSERT_EQ(err(setxattr(f, "user.a", "1")), 0);
    ASSERT_EQ(err(setxattr(f, "security.capability", "caps")), 0);
    EXPECT_EQ(getxattr(f, "user.a").value(), "1");
    EXPECT_EQ(listxattr(f).value(), (Names{"security.capability", "user.a"}));
    EXPECT_EQ(err(setxattr(f, "user.a", "2", XATTR_CREATE)), EEXIST);
    EXPECT_EQ(err(setxattr(f, "user.b", "2", XATTR_REPLACE)), ENODATA);
    EXPECT_EQ(err(setxattr(f, "trusted.a", "2")), EOPNOTSUPP);
    EXPECT_EQ(err(setxattr(f, "user.", "2")), EOPNOTSUPP);
    EXPECT_EQ(err(setxattr(f, "user.big", std::string(65537, 'x'))), E2BIG);
    ASSERT_EQ(err(write(open(f, O_WRONLY).value(), 0, "x")), 0);
    EXPECT_EQ(listxattr(f).value(), (Names{"user.a"})) << "a capability goes with a write";
    EXPECT_EQ(err(answer<void>([&](auto r) { f->removexattr(test::root(), "user.a", r); })), 0);
    EXPECT_EQ(err(answer<void>([&](auto r) { f->removexattr(test::root(), "user.a", r); })),
              ENODATA);
    ASSERT_EQ(err(symlink(top, "s", "x")), 0);
    EXPECT_EQ(err(setxattr(walk(top, "s").value(), "user.a", "1")), EPERM);
}

TEST_F(RamTreeTest, a_listing_meets_each_name_that_stays_once) {
    for (int i = 0; i < 20; ++i) {
        make("f" + std::to_string(i));
    }
    const auto handle = open(top, O_RDONLY | O_DIRECTORY).value();
    std::map<std::string, int> seen;
    for (std::uint64_t offset = 0, round = 0;; ++round) {
        const auto some = answer<std::vector<DirEntry>>(
            [&](auto reply) { handle->readdir(test::root(), offset, 3, reply); });
        if (some.value().empty()) {
            break;
        }
        for (const DirEntry& entry : some.value()) {
            ++seen[entry.name];
        }
        offset = some.value().back().next_offset;
        if (round < 3) {
            ASSERT_EQ(err(unlink(top, "f" + std::to_string(round))), 0);
            make("new" + std::to_string(round));
        }
    }
    for (int i = 3; i < 20; ++i) {
        EXPECT_EQ(seen["f" + std::to_string(i)], 1) << i;
    }
}

TEST_F(RamTreeTest, locks_keep_others_out) {
    const NodePtr f = make("f");
    const auto mine = open(f, O_RDWR).value();
    const auto lock = [](const HandlePtr& handle, std::uint32_t pid) {
        const Lock wanted{Lock::Kind::write, 0, 0, pid, "guest"};
        return err(answer<void>([&](auto reply) { handle->lock(test::root(), wanted, reply); }));
    };
    auto other = open(f, O_RDWR).value();
    EXPECT_EQ(lock(mine, 1), 0);
    EXPECT_EQ(lock(other, 2), EAGAIN);
}

// --- the limit -----------------------------------------------------------------------------------

class SmallRamTree : public RamTreeTest {
  protected:
    SmallRamTree() { top = make_ram_tree({.limit = 64 * 1024}); }
};

TEST_F(SmallRamTree, a_full_tree_says_so_and_goes_on) {
    const NodePtr f = make("f");
    const auto handle = open(f, O_RDWR).value();
    const auto written = write(handle, 0, std::string(100 * 1024, 'x'));
    ASSERT_EQ(err(written), 0);
    EXPECT_LT(written.value(), 64 * 1024u);
    EXPECT_GT(written.value(), 50 * 1024u);
    EXPECT_EQ(err(write(handle, written.value(), "x")), ENOSPC);
    EXPECT_EQ(err(write(handle, 0, "y")), 0) << "takes no further memory";
    ASSERT_EQ(err(unlink(top, "f")), 0);
    EXPECT_EQ(err(write(handle, written.value(), "x")), ENOSPC) << "still open";
}

TEST_F(SmallRamTree, everything_is_given_back) {
    const std::uint64_t before = free_bytes();
    for (int round = 0; round < 20; ++round) {
        const NodePtr d = mkdir(top, "d").value();
        NodePtr deep = d;
        for (int i = 0; i < 5; ++i) {
            deep = mkdir(deep, "deeper" + std::to_string(i)).value();
        }
        const NodePtr f = make("f", std::string(20000, 'x'));
        ASSERT_EQ(err(setxattr(f, "user.a", std::string(2000, 'a'))), 0);
        ASSERT_EQ(err(setxattr(f, "user.a", std::string(1000, 'b'))), 0);
        ASSERT_EQ(err(link(top, "a longer name for the same", f)), 0);
        ASSERT_EQ(err(rename(top, "f", top, "g")), 0);
        ASSERT_EQ(err(rename(top, "g", top, "a longer one")), 0);
        ASSERT_EQ(err(symlink(top, "s", std::string(500, 's'))), 0);
        EXPECT_LT(free_bytes(), before);
        ASSERT_EQ(err(unlink(top, "a longer one")), 0);
        ASSERT_EQ(err(unlink(top, "a longer name for the same")), 0);
        ASSERT_EQ(err(unlink(top, "s")), 0);
        NodePtr at = d;
        for (int i = 4; i >= 0; --i) {
            NodePtr parent = d;
            for (int j = 0; j < i; ++j) {
                parent = walk(parent, "deeper" + std::to_string(j)).value();
            }
            ASSERT_EQ(err(rmdir(parent, "deeper" + std::to_string(i))), 0);
        }
        ASSERT_EQ(err(rmdir(top, "d")), 0);
    }
    EXPECT_EQ(free_bytes(), before);
}

TEST_F(SmallRamTree, names_and_files_count_too) {
    int made = 0;
    while (err(create(top, "f" + std::to_string(made))) == 0) {
        ASSERT_LT(++made, 70);
    }
    EXPECT_GT(made, 50);
    EXPECT_EQ(err(mkdir(top, "d")), ENOSPC);
    EXPECT_EQ(err(symlink(top, "s", "x")), ENOSPC);
    EXPECT_EQ(err(setxattr(walk(top, "f0").value(), "user.a", std::string(4096, 'x'))), ENOSPC);
    ASSERT_EQ(err(unlink(top, "f0")), 0);
    EXPECT_EQ(err(mkdir(top, "d")), 0);
}

TEST(RamTree, read_only_it_stays_empty) {
    const NodePtr top = make_ram_tree({.read_only = true});
    EXPECT_EQ(err(create(top, "f")), EROFS);
    EXPECT_EQ(err(mkdir(top, "d")), EROFS);
    EXPECT_EQ(err(chmod(top, 0700)), EROFS);
    EXPECT_EQ(err(setxattr(top, "user.a", "1")), EROFS);
    EXPECT_EQ(err(unlink(top, "f")), EROFS);
    EXPECT_EQ(names(top), Names());
}

// A guest chooses the depth; the stack is not to be its measure.
TEST(RamTree, deep_trees_end_without_recursion) {
    NodePtr top = make_ram_tree({.limit = std::uint64_t{1} << 30});
    NodePtr deep = top;
    for (int i = 0; i < 200'000; ++i) {
        deep = mkdir(deep, "d").value();
    }
    deep = nullptr;
    top = nullptr;
    top = make_ram_tree({.limit = std::uint64_t{1} << 30});
    deep = top;
    for (int i = 0; i < 200'000; ++i) {
        deep = mkdir(deep, "d").value();
    }
    top->revoke();
    EXPECT_EQ(err(mkdir(deep, "x")), ESTALE);
}

TEST(RamTree, revoking_frees_it_and_leaves_nothing_to_use) {
    const NodePtr top = make_ram_tree({.limit = 1 << 20});
    const NodePtr d = mkdir(top, "d").value();
    const auto made = create(d, "f");
    ASSERT_EQ(err(write(made.value().handle, 0, "text")), 0);
    d->revoke();
    EXPECT_EQ(err(read(made.value().handle)), ESTALE);
    EXPECT_EQ(err(write(made.value().handle, 0, "x")), ESTALE);
    EXPECT_EQ(err(attr(d)), ESTALE);
    EXPECT_EQ(err(chmod(d, 0700)), ESTALE);
    EXPECT_EQ(err(walk(top, "d")), ESTALE);
    EXPECT_EQ(err(create(top, "x")), ESTALE);
    EXPECT_EQ(err(entries(top)), ESTALE);
    EXPECT_EQ(err(listxattr(top)), ESTALE);
    EXPECT_EQ(err(setxattr(top, "user.a", "1")), ESTALE);
}

}  // namespace
}  // namespace ennead::synthfs::test
