// SPDX-License-Identifier: MIT
// A host folder shown as it is: real attributes and links, a host that changes it meanwhile, and no
// way out of it.
#include "synthfs/host_dir.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::synthfs::test {
namespace {

class HostDirTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!temp_.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        temp_.dir("share");
        temp_.file("secret", "outside");
        mount();
    }

    void mount(HostDirOptions options = {}) {
        fs_.reset();
        fs_ = make_host_dir(temp_.fd("share"), options).value();
    }

    NodePtr get(const std::string& path) {
        auto node = walk(fs_, path);
        EXPECT_EQ(err(node), 0) << path;
        return node.value();
    }

    struct stat host(const std::string& name) {
        struct stat st {};
        EXPECT_EQ(::lstat(temp_.path("share/" + name).c_str(), &st), 0) << name;
        return st;
    }

    TempDir temp_;
    NodePtr fs_;
};

TEST_F(HostDirTest, what_is_made_is_on_the_host_as_it_is) {
    const ::mode_t old = ::umask(077);
    const auto made = create(fs_, "f", 0664, O_RDWR | O_EXCL);
    ASSERT_EQ(err(mkdir(fs_, "d", 0775)), 0);
    ::umask(old);
    ASSERT_EQ(err(made), 0);
    ASSERT_EQ(err(write(made.value().handle, 0, "text")), 0);
    ASSERT_EQ(err(symlink(fs_, "l", "../secret")), 0);
    ASSERT_EQ(err(mknod(get("d"), "p", S_IFIFO | 0600, 0)), 0);
    EXPECT_EQ(temp_.text("share/f"), "text");
    EXPECT_EQ(host("f").st_mode, S_IFREG | 0664u) << "the server's umask has no part in it";
    EXPECT_EQ(host("d").st_mode, S_IFDIR | 0775u);
    EXPECT_TRUE(S_ISLNK(host("l").st_mode));
    EXPECT_EQ(readlink(get("l")).value(), "../secret");
    EXPECT_TRUE(S_ISFIFO(host("d/p").st_mode));
    EXPECT_EQ(names(fs_), (Names{"d", "f", "l"}));
    EXPECT_EQ(attr(get("f")).value().nlink, 1u);
    EXPECT_EQ(attr(get("f")).value().size, 4u);
}

TEST_F(HostDirTest, device_nodes_cannot_be_made) {
    EXPECT_EQ(err(mknod(fs_, "null", S_IFCHR | 0666, makedev(1, 3))), EPERM);
    EXPECT_EQ(err(mknod(fs_, "disk", S_IFBLK | 0666, makedev(8, 0))), EPERM);
    EXPECT_EQ(names(fs_), Names{});
}

TEST_F(HostDirTest, set_user_id_files_only_if_allowed) {
    ASSERT_EQ(err(create(fs_, "f", 04755)), 0);
    EXPECT_EQ(host("f").st_mode & 07777, 0755u);
    EXPECT_EQ(err(chmod(get("f"), 04755)), EPERM);
    EXPECT_EQ(err(chmod(get("f"), 0700)), 0);
    mount({.allow_set_id = true});
    ASSERT_EQ(err(chmod(get("f"), 06755)), 0);
    EXPECT_EQ(host("f").st_mode & 07777, 06755u);
    ASSERT_EQ(err(write(open(get("f"), O_WRONLY).value(), 0, "x", by(1000))), 0);
    EXPECT_EQ(host("f").st_mode & 07777, 0755u);
}

TEST_F(HostDirTest, read_only_refuses_every_change) {
    temp_.file("share/f", "text");
    temp_.dir("share/d");
    mount({.read_only = true});
    EXPECT_EQ(contents(fs_, "f"), "text");
    EXPECT_EQ(err(open(get("f"), O_WRONLY)), EROFS);
    EXPECT_EQ(err(create(fs_, "g")), EROFS);
    EXPECT_EQ(err(mkdir(fs_, "g")), EROFS);
    EXPECT_EQ(err(symlink(fs_, "g", "f")), EROFS);
    EXPECT_EQ(err(link(fs_, "g", get("f"))), EROFS);
    EXPECT_EQ(err(unlink(fs_, "f")), EROFS);
    EXPECT_EQ(err(rmdir(fs_, "d")), EROFS);
    EXPECT_EQ(err(rename(fs_, "f", fs_, "g")), EROFS);
    EXPECT_EQ(err(chmod(get("f"), 0)), EROFS);
    EXPECT_EQ(err(resize(get("f"), 0)), EROFS);
    EXPECT_EQ(err(setxattr(get("f"), "user.a", "b")), EROFS);
}

TEST_F(HostDirTest, attributes_are_set_on_the_host) {
    temp_.file("share/f", "text");
    SetAttr change;
    change.mode = 0640;
    change.mtime = SetTime{false, {77, 5}};
    change.size = 100;
    ASSERT_EQ(err(set(get("f"), change)), 0);
    EXPECT_EQ(host("f").st_mode & 07777, 0640u);
    EXPECT_EQ(host("f").st_mtim.tv_sec, 77);
    EXPECT_EQ(host("f").st_size, 100);
    SetAttr owner;
    owner.uid = 12;
    owner.gid = 34;
    const int expected = ::geteuid() == 0 ? 0 : EPERM;
    EXPECT_EQ(err(set(get("f"), owner)), expected);
    EXPECT_EQ(host("f").st_uid, expected == 0 ? 12u : ::geteuid());
    ASSERT_EQ(err(setxattr(get("f"), "user.a", "b")), 0);
    EXPECT_EQ(getxattr(get("f"), "user.a").value(), "b");
    EXPECT_EQ(listxattr(get("f")).value(), (Names{"user.a"}));
    EXPECT_EQ(err(setxattr(get("f"), "security.capability", "c")), EOPNOTSUPP);
    EXPECT_EQ(err(getxattr(get("f"), "trusted.x")), EOPNOTSUPP);
}

TEST_F(HostDirTest, owner_of_a_links_target_is_never_touched) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    temp_.symlink("share/l", temp_.path("secret"));
    SetAttr owner;
    owner.uid = 12;
    owner.mtime = SetTime{false, {77, 5}};
    ASSERT_EQ(err(set(get("l"), owner)), 0);
    EXPECT_EQ(host("l").st_uid, 12u);
    EXPECT_EQ(host("../secret").st_uid, 0u);
    EXPECT_NE(host("../secret").st_mtim.tv_sec, 77);
    EXPECT_EQ(err(chmod(get("l"), 0777)), EOPNOTSUPP);
}

TEST_F(HostDirTest, links_lead_nowhere) {
    temp_.symlink("share/up", "..");
    temp_.symlink("share/abs", temp_.path());
    temp_.symlink("share/file", temp_.path("secret"));
    temp_.symlink("share/magic", "/proc/self/root");
    for (const char* const name : {"up", "abs", "magic"}) {
        EXPECT_EQ(err(walk(fs_, std::string(name) + "/secret")), ENOTDIR) << name;
        EXPECT_EQ(err(create(get(name), "x")), ENOTDIR) << name;
        EXPECT_EQ(err(open(get(name), O_RDONLY)), ELOOP) << name;
    }
    EXPECT_EQ(err(open(get("file"), O_RDONLY)), ELOOP);
    EXPECT_EQ(err(open(get("file"), O_WRONLY | O_TRUNC)), ELOOP);
    EXPECT_EQ(err(resize(get("file"), 0)), EINVAL);
    EXPECT_EQ(err(create(fs_, "file", 0600, O_RDWR)), ELOOP);
    for (const char* const name : {"..", ".", "", "a/b", "up/secret"}) {
        EXPECT_EQ(err(answer<NodePtr>([&](auto reply) { fs_->walk(root(), name, reply); })), EINVAL)
            << name;
        EXPECT_EQ(err(create(fs_, name)), EINVAL) << name;
        EXPECT_EQ(err(rename(fs_, "up", fs_, name)), EINVAL) << name;
        EXPECT_EQ(err(unlink(fs_, name)), EINVAL) << name;
    }
    EXPECT_EQ(err(walk(fs_, std::string("a\0b", 3))), EINVAL);
    EXPECT_EQ(temp_.text("secret"), "outside");
}

TEST_F(HostDirTest, a_directory_swapped_for_a_link_does_not_lead_out) {
    temp_.file("share/d/secret", "inside");
    mount({.max_descriptors = 4});
    const NodePtr dir = get("d");
    const NodePtr file = get("d/secret");
    const HandlePtr handle = open(file, O_RDWR).value();
    // Pushes the directory's descriptor out of the cache.
    for (const char* const name : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
        ASSERT_EQ(err(create(mkdir(fs_, name).value(), "x")), 0);
    }
    std::filesystem::rename(temp_.path("share/d"), temp_.path("share/moved"));
    temp_.symlink("share/d", "..");
    EXPECT_NE(err(walk(dir, "secret")), 0);
    EXPECT_NE(err(create(dir, "new")), 0);
    EXPECT_NE(err(unlink(dir, "secret")), 0);
    EXPECT_EQ(read(handle).value(), "inside") << "what is open stays open";
    EXPECT_EQ(err(walk(fs_, "d/secret")), ENOTDIR);
    EXPECT_EQ(temp_.text("secret"), "outside");
    EXPECT_FALSE(temp_.has("new"));
    EXPECT_EQ(get("moved/secret"), file) << "the same inode is the same node";
}

TEST_F(HostDirTest, a_file_swapped_for_a_link_is_stale) {
    temp_.file("share/f", "inside");
    const NodePtr node = get("f");
    std::filesystem::rename(temp_.path("share/f"), temp_.path("share/g"));
    temp_.symlink("share/f", "../secret");
    EXPECT_EQ(err(chmod(node, 0777)), ESTALE);
    EXPECT_EQ(err(resize(node, 0)), ESTALE);
    EXPECT_EQ(err(open(node, O_RDWR)), ESTALE);
    EXPECT_EQ(temp_.text("secret"), "outside");
    EXPECT_NE(get("f"), node);
}

TEST_F(HostDirTest, special_files_are_never_opened) {
    ASSERT_EQ(::mkfifo(temp_.path("share/fifo").c_str(), 0666), 0);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = temp_.path("share/sock");
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::copy(path.begin(), path.end(), address.sun_path);
    ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    for (const char* const name : {"fifo", "sock"}) {
        EXPECT_EQ(err(open(get(name), O_RDONLY)), ENXIO);
        EXPECT_EQ(err(open(get(name), O_WRONLY)), ENXIO);
        EXPECT_EQ(err(create(fs_, name, 0600, O_RDWR)), ENXIO);
        EXPECT_EQ(err(chmod(get(name), 0640)), 0);
        EXPECT_EQ(attr(get(name)).value().mode & 07777, 0640u);
        EXPECT_EQ(err(unlink(fs_, name)), 0);
    }
    ::close(listener);
}

TEST_F(HostDirTest, host_changes_are_seen) {
    temp_.file("share/f", "one");
    EXPECT_EQ(contents(fs_, "f"), "one");
    const auto version = get("f")->identity().version;
    const NodePtr node = get("f");
    temp_.file("share/f", "longer");
    EXPECT_EQ(attr(node).value().size, 6u);
    EXPECT_NE(node->identity().version, version);
    temp_.file("share/g", "");
    EXPECT_EQ(names(fs_), (Names{"f", "g"}));
    std::filesystem::remove(temp_.path("share/f"));
    EXPECT_EQ(err(walk(fs_, "f")), ENOENT);
}

TEST_F(HostDirTest, rename_carries_open_files_along) {
    temp_.file("share/d/sub/f", "text");
    const NodePtr file = get("d/sub/f");
    const HandlePtr handle = open(file, O_RDWR).value();
    ASSERT_EQ(err(rename(fs_, "d", fs_, "e")), 0);
    ASSERT_EQ(err(write(handle, 4, "!")), 0);
    EXPECT_EQ(temp_.text("share/e/sub/f"), "text!");
    EXPECT_EQ(get("e/sub/f"), file);
    EXPECT_EQ(err(rename(fs_, "e", get("e/sub"), "x")), EINVAL);
    ASSERT_EQ(err(create(fs_, "g")), 0);
    const NodePtr g = get("g");
    ASSERT_EQ(err(rename(get("e/sub"), "f", fs_, "g")), 0);
    EXPECT_EQ(attr(g).value().nlink, 0u);
    EXPECT_EQ(contents(fs_, "g"), "text!");
    ASSERT_EQ(err(link(get("e"), "h", get("g"))), 0);
    EXPECT_EQ(get("e/h"), get("g"));
    ASSERT_EQ(err(rename(get("e"), "h", fs_, "g")), 0);
    EXPECT_EQ(names(get("e")), (Names{"h", "sub"})) << "two links of one file both stay";
}

TEST_F(HostDirTest, removed_file_works_on_while_it_is_held) {
    temp_.file("share/f", "text");
    const NodePtr node = get("f");
    const HandlePtr handle = open(node, O_RDWR).value();
    ASSERT_EQ(err(unlink(fs_, "f")), 0);
    ASSERT_EQ(err(write(handle, 4, "!")), 0);
    EXPECT_EQ(read(handle).value(), "text!");
    ASSERT_EQ(err(chmod(node, 0600)), 0);
    EXPECT_EQ(attr(node).value().mode, S_IFREG | 0600u);
    EXPECT_EQ(attr(node).value().nlink, 0u);
    EXPECT_EQ(read(open(node, O_RDONLY).value()).value(), "text!");
    temp_.dir("share/d");
    const NodePtr dir = get("d");
    ASSERT_EQ(err(rmdir(fs_, "d")), 0);
    EXPECT_EQ(err(create(dir, "x")), ENOENT);
    temp_.file("share/full/x", "");
    EXPECT_EQ(err(rmdir(fs_, "full")), ENOTEMPTY);
}

TEST_F(HostDirTest, nodes_of_two_trees_do_not_mix) {
    temp_.file("share/f", "");
    temp_.dir("other");
    const NodePtr other = make_host_dir(temp_.fd("other")).value();
    EXPECT_EQ(err(link(other, "f", get("f"))), EXDEV);
    EXPECT_EQ(err(rename(fs_, "f", other, "f")), EXDEV);
    EXPECT_NE(other->identity().source, fs_->identity().source);
    EXPECT_EQ(err(make_host_dir(-1)), EBADF);
    EXPECT_EQ(err(make_host_dir(::open(temp_.path("secret").c_str(), O_PATH | O_CLOEXEC))),
              ENOTDIR);
}

TEST_F(HostDirTest, many_open_files_need_few_descriptors) {
    mount({.max_descriptors = 8});
    std::vector<HandlePtr> handles;
    for (int i = 0; i < 200; ++i) {
        handles.push_back(create(fs_, std::to_string(i)).value().handle);
        ASSERT_EQ(err(write(handles.back(), 0, std::to_string(i))), 0);
    }
    const auto open_now = std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                        std::filesystem::directory_iterator());
    EXPECT_LE(open_now, 40);
    for (int i = 0; i < 200; i += 13) {
        EXPECT_EQ(read(handles[static_cast<std::size_t>(i)]).value(), std::to_string(i));
    }
}

TEST_F(HostDirTest, files_held_after_their_removal_are_bounded) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit few{80, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    mount();
    std::vector<HandlePtr> handles;
    std::vector<int> errors;
    for (int i = 0; i < 12; ++i) {
        handles.push_back(create(fs_, std::to_string(i)).value().handle);
        errors.push_back(err(unlink(fs_, std::to_string(i))));
    }
    handles.erase(handles.begin(), handles.begin() + 3);
    const int after = err(unlink(fs_, "11"));
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(std::count(errors.begin(), errors.begin() + 10, 0), 10);
    EXPECT_EQ(errors[10], ENFILE);
    EXPECT_EQ(errors[11], ENFILE);
    EXPECT_EQ(after, 0);
}

}  // namespace
}  // namespace ennead::synthfs::test
