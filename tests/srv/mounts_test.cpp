// SPDX-License-Identifier: MIT
// Other trees under n/: nothing waits for them, and they come back.
#include "srv/ennead/mounts.h"

#include <sys/un.h>

#include "srv/ennead/exports.h"
#include "synthfs/error_log.h"
#include "synthfs/stream_file.h"
#include "synthfs/text_file.h"
#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

using synthfs::NodePtr;
using synthfs::parse_address;

// A tree of another server, which runs on the same loop here.
struct Host {
    Host(boost::asio::io_context& io, const std::string& path, const std::string& text)
        : address("unix!" + path),
          exports(std::make_unique<Exports>(
              Exports::Options{.io = io, .hidden = hidden, .log = [](const std::string&) {}})) {
        root->add(
            "name",
            synthfs::make_text_file(
                {.mode = 0444, .name = "name", .text = [text]() -> synthfs::Checked<std::string> {
                     return text;
                 }}));
        root->add("stream", stream);
        root->add(text, synthfs::Directory::make({.mode = 0755}));
        exports->attach(root);
        const auto added = exports->add(address, "/", false);
        EXPECT_TRUE(added) << added.error().text;
    }
    std::string address;
    HiddenPlaces hidden;
    std::shared_ptr<synthfs::Directory> root = synthfs::Directory::make({.mode = 0755});
    std::shared_ptr<synthfs::StreamFile> stream =
        synthfs::StreamFile::make({.mode = 0444, .name = "stream"});
    std::unique_ptr<Exports> exports;
};

class MountsTest : public LoopTest {
  protected:
    ~MountsTest() override {
        mounts.close();
        settle();
    }
    // A line of ctl: 0 or the errno.
    int say(const std::string& line) {
        const auto commands = synthfs::parse_commands(line);
        const synthfs::Command& command = commands.value().front();
        for (const synthfs::Verb& verb : mounts.verbs()) {
            if (verb.name == command.verb()) {
                if (const auto checked = verb.check(command); !checked) {
                    words = checked.error().text;
                    return checked.error().errnum;
                }
                Checked outcome = synthfs::success();
                bool answered = false;
                verb.run(request(), command, [&](Checked done) {
                    outcome = std::move(done);
                    answered = true;
                });
                EXPECT_TRUE(answered) << "the write waits";
                words = outcome ? "" : outcome.error().text;
                return outcome ? 0 : outcome.error().errnum;
            }
        }
        return -1;
    }
    struct Found {
        NodePtr node;
        int errnum = 0;
    };
    Found find(const std::string& path) {
        NodePtr at = mounts.directory();
        for (std::size_t begin = 0; begin < path.size();) {
            const std::size_t end = std::min(path.find('/', begin), path.size());
            Asked<NodePtr> asked;
            const auto asking = request();
            at->walk(asking, path.substr(begin, end - begin), asked.reply());
            EXPECT_TRUE(run_until([&] { return asked.answered(); }));
            if (asked.errnum() != 0) {
                words = asking->words();
                return {nullptr, asked.errnum()};
            }
            at = asked.value();
            begin = end + 1;
        }
        return {at, 0};
    }
    synthfs::HandlePtr open_at(const std::string& path, int flags = O_RDONLY) {
        const Found found = find(path);
        if (!found.node) {
            return nullptr;
        }
        Asked<synthfs::HandlePtr> asked;
        found.node->open(request(), flags, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked.errnum() == 0 ? asked.value() : nullptr;
    }
    std::string text_at(const std::string& path) {
        const auto handle = open_at(path);
        return handle ? read(handle) : "errno " + std::to_string(find(path).errnum);
    }
    std::vector<std::string> names_at(const std::string& path) {
        const auto handle = open_at(path, O_RDONLY | O_DIRECTORY);
        if (!handle) {
            return {"cannot be opened"};
        }
        Asked<std::vector<synthfs::DirEntry>> asked;
        handle->readdir(request(), 0, 100, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        if (asked.errnum() != 0) {
            return {"errno " + std::to_string(asked.errnum())};
        }
        std::vector<std::string> names;
        for (const auto& entry : asked.value()) {
            names.push_back(entry.name);
        }
        std::ranges::sort(names);
        return names;
    }
    bool comes_up(const std::string& name) {
        return run_until(
            [&] { return text_at(name + "/name").find("errno") == std::string::npos; });
    }

    using Checked = synthfs::Checked<>;
    ScratchDir scratch;
    HiddenPlaces hidden;
    std::shared_ptr<synthfs::ErrorLog> errors = synthfs::ErrorLog::make(16);
    Mounts mounts{{.io = io,
                   .hidden = hidden,
                   .errors = errors->sink(),
                   .log = [this](const std::string& line) { log.push_back(line); }}};
    std::vector<std::string> log;
    std::string words;
};

TEST_F(MountsTest, a_tree_appears_and_goes) {
    Host host(io, scratch.path() + "/host", "host");
    EXPECT_EQ(names_at(""), std::vector<std::string>{});
    ASSERT_EQ(say("mount " + host.address + " n/host"), 0) << words;
    ASSERT_TRUE(comes_up("host"));
    EXPECT_EQ(text_at("host/name"), "host");
    EXPECT_EQ(names_at(""), (std::vector<std::string>{"host"}));
    EXPECT_EQ(names_at("host"), (std::vector<std::string>{"host", "name", "stream"}));
    EXPECT_EQ(mounts.text(), "mount " + host.address + " n/host\n");
    const auto open_file = open_at("host/name");
    ASSERT_EQ(say("unmount n/host"), 0) << words;
    EXPECT_EQ(find("host").errnum, ENOENT);
    EXPECT_EQ(read(open_file), "errno " + std::to_string(EIO));
    EXPECT_EQ(mounts.text(), "");
    EXPECT_TRUE(run_until([&] { return host.exports->clients() == 0; }));
}

TEST_F(MountsTest, without_a_connection_everything_fails_at_once_and_says_why) {
    ASSERT_EQ(say("mount unix!" + scratch.path() + "/nobody n/none"), 0) << words;
    // Not even the first attempt is waited for.
    Asked<NodePtr> early;
    const NodePtr none = find("none").node;
    ASSERT_TRUE(none);
    none->walk(request(), "name", early.reply());
    EXPECT_EQ(early.errnum(), EIO);
    EXPECT_TRUE(run_until([&] { return !log.empty(); }));
    EXPECT_EQ(find("none/name").errnum, EIO);
    EXPECT_TRUE(words.ends_with("No such file or directory")) << words;
    EXPECT_EQ(names_at("none"), (std::vector<std::string>{"errno " + std::to_string(EIO)}));
    EXPECT_NE(errors->text().find("EIO n/none 'unix!" + scratch.path()), std::string::npos)
        << errors->text();
    EXPECT_NE(mounts.text().find("\n# not connected: socket "), std::string::npos) << mounts.text();
    Asked<synthfs::Attr> attr;
    none->getattr(request(), attr.reply());
    ASSERT_EQ(attr.errnum(), 0);
    EXPECT_EQ(attr.value().mode, mode_t{S_IFDIR | 0555});
    // What reads back sets up the same.
    const std::string text = mounts.text();
    ASSERT_EQ(say("unmount n/none"), 0);
    EXPECT_EQ(say(text), 0) << words;
}

TEST_F(MountsTest, a_lost_peer_ends_what_waits_and_the_mount_comes_back) {
    auto host = std::make_unique<Host>(io, scratch.path() + "/host", "first");
    ASSERT_EQ(say("mount " + host->address + " n/host"), 0) << words;
    ASSERT_TRUE(comes_up("host"));
    const auto stream = open_at("host/stream");
    const auto waiting = start_read(stream);
    settle();
    EXPECT_FALSE(waiting->answered());
    host.reset();
    EXPECT_TRUE(run_until([&] { return waiting->answered(); }));
    EXPECT_EQ(waiting->errnum(), EIO);
    EXPECT_EQ(find("host/name").errnum, EIO);
    host = std::make_unique<Host>(io, scratch.path() + "/host", "second");
    ASSERT_TRUE(comes_up("host"));
    EXPECT_EQ(text_at("host/name"), "second");
    // What was opened before belonged to the peer that has gone.
    EXPECT_EQ(read(stream), "errno " + std::to_string(EIO));
    const auto again = start_read(open_at("host/stream"));
    host->stream->append("news");
    EXPECT_TRUE(run_until([&] { return again->answered(); }));
    EXPECT_EQ(again->text(), "news");
}

TEST_F(MountsTest, unions_search_one_after_the_other_and_pass_over_who_is_not_there) {
    Host one(io, scratch.path() + "/one", "one");
    auto two = std::make_unique<Host>(io, scratch.path() + "/two", "two");
    const std::string second = two->address;
    ASSERT_EQ(say("mount " + one.address + " n/all"), 0) << words;
    ASSERT_EQ(say("mount -b " + second + " n/all"), 0) << words;
    ASSERT_EQ(say("mount -ac unix!" + scratch.path() + "/none n/all"), 0) << words;
    ASSERT_TRUE(run_until([&] { return text_at("all/name") == "two"; }));
    ASSERT_TRUE(run_until([&] { return names_at("all").size() == 4; }));
    EXPECT_EQ(names_at("all"), (std::vector<std::string>{"name", "one", "stream", "two"}));
    two.reset();
    ASSERT_TRUE(run_until([&] { return text_at("all/name") == "one"; }));
    EXPECT_EQ(names_at("all"), (std::vector<std::string>{"name", "one", "stream"}));
    EXPECT_EQ(say("mount -a " + one.address + " n/all"), EEXIST);
    EXPECT_TRUE(mounts.text().starts_with("mount " + second + " n/all\n# not connected: "));
    EXPECT_NE(mounts.text().find("mount -a " + one.address + " n/all\nmount -ac unix!"),
              std::string::npos)
        << mounts.text();
    ASSERT_EQ(say("unmount " + second + " n/all"), 0) << words;
    EXPECT_EQ(say("unmount " + second + " n/all"), ENOENT);
    // One that goes on being wanted is not connected anew.
    ASSERT_EQ(say("mount " + one.address + " n/all"), 0) << words;
    EXPECT_EQ(text_at("all/name"), "one");
    EXPECT_EQ(mounts.text(), "mount " + one.address + " n/all\n");
}

TEST_F(MountsTest, a_server_that_mounts_itself_does_not_hang) {
    Host host(io, scratch.path() + "/host", "host");
    host.root->add("n", mounts.directory());
    ASSERT_EQ(say("mount " + host.address + " n/self"), 0) << words;
    ASSERT_TRUE(comes_up("self"));
    std::string path = "self";
    for (unsigned depth = 1; depth < RemoteTree::kMostHops; ++depth) {
        path += "/n/self";
        EXPECT_EQ(text_at(path + "/name"), "host") << path;
        EXPECT_EQ(names_at(path), names_at("self")) << path;
    }
    EXPECT_EQ(text_at(path + "/name"), "host");
    const auto waiting = start_read(open_at(path + "/stream"));
    host.stream->append("through all of it");
    EXPECT_TRUE(run_until([&] { return waiting->answered(); }));
    EXPECT_EQ(waiting->text(), "through all of it");

    // There is an end to it: the directory is there, and nothing in it.
    path += "/n/self";
    EXPECT_NE(find(path).node, nullptr);
    EXPECT_EQ(text_at(path + "/name"), "errno " + std::to_string(ELOOP));
    EXPECT_EQ(names_at(path), std::vector<std::string>{"errno " + std::to_string(ELOOP)});
    EXPECT_EQ(find(path + "/n").errnum, ELOOP);
}

TEST_F(MountsTest, a_peer_that_is_silent_or_no_9p_server_is_tried_again) {
    const std::string path = scratch.path() + "/odd";
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    const Fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    ASSERT_EQ(listen(listening.get(), 5), 0);
    std::vector<std::string> told;
    const auto tree =
        RemoteTree::start(parse_address("unix!" + path).value(),
                          {.io = io,
                           .hidden = hidden,
                           .changed = [&](const std::string& text, bool) { told.push_back(text); },
                           .patience = std::chrono::milliseconds(50),
                           .first_retry = std::chrono::milliseconds(1),
                           .last_retry = std::chrono::milliseconds(5)});
    EXPECT_TRUE(run_until([&] { return !told.empty(); }));
    EXPECT_EQ(told.back(), "unix!" + path + ": no answer");
    std::vector<Fd> clients;
    EXPECT_TRUE(run_until([&] {
        if (Fd client(accept(listening.get(), nullptr, nullptr)); client) {
            EXPECT_EQ(::write(client.get(), "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
            clients.push_back(std::move(client));
        }
        return told.size() > 1;
    }));
    EXPECT_EQ(told[1], "unix!" + path + ": frame larger than msize");
    tree->close();
}

TEST_F(MountsTest, lines_that_mean_nothing_are_refused_in_words) {
    EXPECT_EQ(say("mount unix!/a host"), EINVAL);
    EXPECT_EQ(words, "host: trees are mounted at n/ and one name");
    for (const auto* line :
         {"mount unix!/a n/", "mount unix!/a n/a/b", "mount unix!/a n/..", "mount unix!a n/x",
          "mount tcp!h!0 n/x", "mount ftp!h n/x", "mount -x unix!/a n/x", "mount -ab unix!/a n/x",
          "mount - unix!/a n/x", "mount -a n/x", "mount unix!/a n/x y", "unmount unix!a n/x",
          "unmount x"}) {
        EXPECT_EQ(say(line), EINVAL) << line;
    }
    EXPECT_EQ(say("unmount n/x"), ENOENT);
    EXPECT_EQ(words, "nothing is mounted at n/x");
    EXPECT_EQ(mounts.text(), "");
}

}  // namespace
}  // namespace ennead::srv::test
