// SPDX-License-Identifier: MIT
// Listening: sockets made and removed, clients let in with their rights, sent away, and sorted out.
#include "srv/ennead/exports.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "srv/ennead/nine_client.h"
#include "synthfs/clone_file.h"
#include "synthfs/text_file.h"
#include "synthfs/tree.h"
#include "synthfs/wait_file.h"
#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

using synthfs::NodePtr;
using synthfs::parse_address;

class ExportsTest : public LoopTest {
  protected:
    ExportsTest() {
        const auto text = [](const char* name, mode_t mode) {
            return synthfs::make_text_file(
                {.mode = mode, .name = name, .text = []() -> synthfs::Checked<std::string> {
                     return std::string("text\n");
                 }});
        };
        root->add("open", text("open", 0444));
        root->add("dir", below);
        below->add("file", text("file", 0600));
        synthfs::CloneFile clone;
        clone.mode = 0600;
        clone.name = "new";
        clone.make = [this](synthfs::RequestPtr, std::vector<synthfs::Setting>,
                            synthfs::CheckedReply<std::string> reply) {
            reply(std::to_string(++made) + '\n');
        };
        root->add("new", synthfs::make_clone_file(std::move(clone)));
        exports.attach(root);
    }
    // A client of ours; what it is attached to.
    NodePtr join(const std::string& address) {
        auto fd = dial(parse_address(address).value());
        EXPECT_TRUE(fd) << (fd ? "" : fd.error().text);
        if (!fd) {
            return nullptr;
        }
        NodePtr tree;
        bool answered = false;
        p9::ClientOptions options;
        options.lost_errno = EIO;
        options.on_end = [this](std::string_view) { ++ended; };
        connections.push_back(
            p9::ClientConnection::start(p9::adopt_socket(io, fd.value().release()),
                                        std::move(options), [&](synthfs::Result<NodePtr> result) {
                                            answered = true;
                                            tree = result ? result.value() : nullptr;
                                        }));
        EXPECT_TRUE(run_until([&] { return answered; }));
        return tree;
    }
    NodePtr find(const NodePtr& from, const std::string& name) {
        Asked<NodePtr> asked;
        from->walk(request(), name, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked.errnum() == 0 ? asked.value() : nullptr;
    }
    std::string text_of(const NodePtr& node) {
        Asked<synthfs::HandlePtr> asked;
        node->open(request(), O_RDONLY, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked.errnum() == 0 ? read(asked.value())
                                   : "errno " + std::to_string(asked.errnum());
    }
    int add(const std::string& address, const std::string& path = "/", bool read_only = false) {
        const auto added = exports.add(address, path, read_only);
        words = added ? "" : added.error().text;
        return added ? 0 : added.error().errnum;
    }

    ScratchDir scratch;
    std::string socket = "unix!" + scratch.path() + "/socket";
    std::shared_ptr<synthfs::Directory> root = synthfs::Directory::make({.mode = 0755});
    std::shared_ptr<synthfs::Directory> below = synthfs::Directory::make({.mode = 0755});
    HiddenPlaces hidden;
    std::vector<std::string> log;
    Exports exports{{.io = io, .hidden = hidden, .log = [this](std::string line) {
                         log.push_back(std::move(line));
                     }}};
    std::vector<std::shared_ptr<p9::ClientConnection>> connections;
    std::string words;
    int made = 0, ended = 0;
};

TEST_F(ExportsTest, many_clients_share_the_tree) {
    ASSERT_EQ(add(socket), 0) << words;
    struct stat st {};
    ASSERT_EQ(::stat((scratch.path() + "/socket").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode, mode_t{S_IFSOCK | 0600});
    std::vector<NodePtr> trees;
    for (int i = 0; i < 30; ++i) {
        trees.push_back(join(socket));
        ASSERT_TRUE(trees.back());
    }
    EXPECT_EQ(exports.clients(), 30u);
    for (const NodePtr& tree : trees) {
        EXPECT_EQ(text_of(find(tree, "open")), "text\n");
    }
    connections.clear();
    EXPECT_TRUE(run_until([&] { return exports.clients() == 0; }));
}

TEST_F(ExportsTest, a_socket_goes_with_its_server_and_a_dead_one_is_replaced) {
    const std::string path = scratch.path() + "/socket";
    {
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        path.copy(where.sun_path, sizeof where.sun_path - 1);
        const Fd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    }
    ASSERT_TRUE(std::filesystem::exists(path));
    ASSERT_EQ(add(socket), 0) << words;
    EXPECT_TRUE(join(socket));
    Exports other{{.io = io, .hidden = hidden, .log = [](std::string) {}}};
    other.attach(root);
    const auto second = other.add(socket, "/", false);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().errnum, EADDRINUSE);
    EXPECT_EQ(second.error().text, socket + ": a server listens there already");
    exports.close();
    EXPECT_FALSE(std::filesystem::exists(path));
    // One that has taken the name meanwhile keeps it.
    ASSERT_TRUE(other.add(socket, "/", false));
    std::filesystem::remove(path);
    scratch.file("socket", "not ours");
    other.close();
    EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(ExportsTest, what_cannot_be_had_is_refused_in_words) {
    scratch.file("file", "text");
    EXPECT_EQ(add("unix!" + scratch.path() + "/file"), EEXIST);
    EXPECT_EQ(add("unix!relative"), EINVAL);
    EXPECT_EQ(words, "unix!relative: the path must be absolute");
    EXPECT_EQ(add("unix!" + scratch.path() + "/"), EINVAL);
    EXPECT_EQ(add("unix!" + scratch.path() + "/none/socket"), ENOENT);
    EXPECT_EQ(add("tcp!0.0.0.0!0"), EACCES);
    EXPECT_EQ(add("tcp!*!0"), EACCES);
    EXPECT_EQ(add("tcp!::!0"), EACCES);
    EXPECT_EQ(add("tcp!example.org!0"), EINVAL);
    EXPECT_EQ(add(socket, "nothing"), ENOENT);
    EXPECT_EQ(words, "nothing: No such file or directory");
    EXPECT_EQ(add(socket, "dir/../open"), EINVAL);
    EXPECT_EQ(exports.text(), "");
    EXPECT_FALSE(std::filesystem::exists(scratch.path() + "/socket"));
    // A socket is never made in the tree that we show ourselves: who would answer?
    struct stat st {};
    ASSERT_EQ(::stat(scratch.path().c_str(), &st), 0);
    hidden.directories.emplace_back(st.st_dev, st.st_ino);
    EXPECT_EQ(add(socket), ELOOP);
}

TEST_F(ExportsTest, a_part_can_be_given_to_be_looked_at) {
    ASSERT_EQ(add(socket, "/", true), 0) << words;
    const NodePtr tree = join(socket);
    EXPECT_EQ(text_of(find(tree, "open")), "text\n");
    EXPECT_EQ(text_of(find(tree, "new")), "errno " + std::to_string(EROFS));
    EXPECT_EQ(made, 0);
    const std::string other = "unix!" + scratch.path() + "/part";
    ASSERT_EQ(add(other, "/dir//./"), 0) << words;
    const NodePtr part = join(other);
    EXPECT_EQ(text_of(find(part, "file")), "text\n");
    EXPECT_FALSE(find(part, "open"));
    const std::string third = "unix!" + scratch.path() + "/a file";
    ASSERT_EQ(add(third, "open"), 0) << words;
    EXPECT_EQ(text_of(join(third)), "text\n");
    EXPECT_EQ(exports.text(),
              "export " + socket + " -r\nexport " + other + " dir\nexport '" + third + "' open\n");
    // The same again is no failure, something else is.
    EXPECT_EQ(add(other, "dir"), 0);
    EXPECT_EQ(add(other, "dir", true), EEXIST);
}

TEST_F(ExportsTest, what_is_taken_back_ends_for_those_who_use_it) {
    ASSERT_EQ(add(socket), 0) << words;
    ASSERT_TRUE(join(socket));
    EXPECT_EQ(exports.remove("unix!/nowhere").error().errnum, ENOENT);
    EXPECT_TRUE(exports.remove(socket));
    EXPECT_TRUE(run_until([&] { return ended == 1; }));
    EXPECT_FALSE(dial(parse_address(socket).value()));
    EXPECT_EQ(exports.text(), "");
}

TEST_F(ExportsTest, tcp_of_this_host_is_known_by_the_kernel_s_table) {
    ASSERT_EQ(add("tcp!localhost!0"), 0) << words;
    const std::string line = exports.text();
    const std::string address = line.substr(7, line.size() - 8);
    EXPECT_TRUE(address.starts_with("tcp!localhost!"));
    const NodePtr tree = join(address);
    ASSERT_TRUE(tree);
    EXPECT_EQ(text_of(find(find(tree, "dir"), "file")), "text\n");
    EXPECT_EQ(add(address, "dir"), EEXIST);
    // A peer that has gone before it was looked at may have been anybody.
    log.clear();
    { const auto gone = dial(parse_address(address).value()); }
    EXPECT_TRUE(run_until([&] { return !log.empty(); }));
    EXPECT_NE(log.back().find("gone"), std::string::npos) << log.back();
}

TEST_F(ExportsTest, a_bad_frame_ends_its_own_connection_only) {
    ASSERT_EQ(add(socket), 0) << words;
    const NodePtr tree = join(socket);
    const auto bad = dial(parse_address(socket).value());
    ASSERT_TRUE(bad);
    EXPECT_TRUE(run_until([&] { return exports.clients() == 2; }));
    EXPECT_EQ(::write(bad.value().get(), "\0\0\0\377nonsense", 12), 12);
    EXPECT_TRUE(run_until([&] { return exports.clients() == 1; }));
    ASSERT_FALSE(log.empty());
    EXPECT_NE(log.back().find("reason=\"frame larger than msize\""), std::string::npos)
        << log.back();
    EXPECT_EQ(text_of(find(tree, "open")), "text\n");
}

}  // namespace
}  // namespace ennead::srv::test
