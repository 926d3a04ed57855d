// SPDX-License-Identifier: MIT
// A tree shown read-only: all of it can be read, nothing changed.
#include "synthfs/read_only.h"

#include "synthfs/ram_tree.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class ReadOnly : public testing::Test {
  protected:
    ReadOnly() {
        const auto made = create(tree, "file", 0640);
        EXPECT_EQ(err(write(made.value().handle, 0, "text")), 0);
        EXPECT_EQ(err(setxattr(made.value().node, "user.a", "1")), 0);
        EXPECT_EQ(err(create(mkdir(tree, "dir").value(), "below", 0600, O_RDWR, by(7, 7), 8)), 0);
        EXPECT_EQ(err(symlink(tree, "link", "file")), 0);
    }
    NodePtr tree = make_ram_tree();
    NodePtr top = make_read_only(tree);
};

TEST_F(ReadOnly, everything_can_be_read) {
    EXPECT_EQ(names(top), (Names{"dir", "file", "link"}));
    EXPECT_EQ(contents(top, "file"), "text");
    EXPECT_EQ(names(walk(top, "dir").value()), (Names{"below"}));
    EXPECT_EQ(readlink(walk(top, "link").value()).value(), "file");
    EXPECT_EQ(getxattr(walk(top, "file").value(), "user.a").value(), "1");
    EXPECT_EQ(listxattr(walk(top, "file").value()).value(), (Names{"user.a"}));
    EXPECT_EQ(err(walk(top, "missing")), ENOENT);
    EXPECT_EQ(read(create(top, "file", 0, O_RDONLY).value().handle).value(), "text");
}

TEST_F(ReadOnly, owners_and_permissions_are_as_they_are) {
    const Attr file = attr(walk(top, "file").value()).value();
    EXPECT_EQ(file.mode, S_IFREG | 0640u);
    EXPECT_EQ(file.uid, 0u);
    EXPECT_EQ(file.gid, 0u);
    const Attr below = attr(walk(top, "dir/below").value()).value();
    EXPECT_EQ(below.uid, 7u);
    EXPECT_EQ(below.gid, 8u);
}

TEST_F(ReadOnly, nothing_can_be_changed) {
    const NodePtr file = walk(top, "file").value(), dir = walk(top, "dir").value();
    EXPECT_EQ(err(open(file, O_WRONLY)), EROFS);
    EXPECT_EQ(err(open(file, O_RDWR)), EROFS);
    EXPECT_EQ(err(open(file, O_RDONLY | O_TRUNC)), EROFS);
    EXPECT_EQ(err(open(dir, O_RDWR)), EISDIR);
    EXPECT_NE(err(write(open(file, O_RDONLY).value(), 0, "x")), 0);
    EXPECT_EQ(err(chmod(file, 0600)), EROFS);
    EXPECT_EQ(err(resize(file, 0)), EROFS);
    EXPECT_EQ(err(create(top, "new")), EROFS);
    EXPECT_EQ(err(create(top, "file")), EEXIST);
    EXPECT_EQ(err(create(top, "file", 0, O_RDWR)), EROFS);
    EXPECT_EQ(err(mkdir(dir, "new")), EROFS);
    EXPECT_EQ(err(mkdir(top, "dir")), EEXIST);
    EXPECT_EQ(err(symlink(top, "new", "x")), EROFS);
    EXPECT_EQ(err(mknod(top, "new", S_IFIFO | 0600, 0)), EROFS);
    EXPECT_EQ(err(link(top, "new", file)), EROFS);
    EXPECT_EQ(err(unlink(top, "file")), EROFS);
    EXPECT_EQ(err(rmdir(top, "dir")), EROFS);
    EXPECT_EQ(err(rename(top, "file", dir, "file")), EROFS);
    EXPECT_EQ(err(setxattr(file, "user.a", "2")), EROFS);
    EXPECT_EQ(err(answer<void>([&](auto r) { file->removexattr(test::root(), "user.a", r); })),
              EROFS);
    EXPECT_EQ(contents(tree, "file"), "text");
}

}  // namespace
}  // namespace ennead::synthfs::test
