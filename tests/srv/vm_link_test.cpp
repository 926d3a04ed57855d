// SPDX-License-Identifier: MIT
// The greeting of a VM process and what comes of it, and pumps that read its streams.
#include "srv/ennead/vm_link.h"

#include "p9/stream.h"
#include "synthfs/stream_file.h"
#include "synthfs/text_file.h"
#include "synthfs/tree.h"
#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

using synthfs::Checked;
using synthfs::NodePtr;
using synthfs::StreamFile;

class VmLinkTest : public LoopTest {
  protected:
    VmLinkTest() {
        make_link();
        tree = synthfs::Directory::make(
            {.entries = {{.name = "hello",
                          .mode = S_IFREG | 0444,
                          .make =
                              [](mode_t) {
                                  return synthfs::make_text_file(
                                      {.name = "hello", .text = []() -> Checked<std::string> {
                                           return std::string("world\n");
                                       }});
                              }},
                         {.name = "slow", .mode = S_IFREG | 0444, .make = [this](mode_t) {
                              return synthfs::make_text_file(
                                  {.name = "slow",
                                   .text_later = [this](synthfs::RequestPtr,
                                                        synthfs::CheckedReply<std::string> reply) {
                                       slow = std::move(reply);
                                   }});
                          }}}});
    }

    void make_link() {
        link =
            std::make_unique<VmLink>(io, std::move(sockets.ours),
                                     VmLink::Hooks{[this](Checked<NodePtr> outcome) {
                                                       ++told;
                                                       if (outcome) {
                                                           root = outcome.value();
                                                       } else {
                                                           fault = outcome.error();
                                                       }
                                                   },
                                                   [this] { ++lost; }, [this] { return stopped; }});
    }
    void greet(std::string_view text) {
        ASSERT_EQ(::write(sockets.theirs.get(), text.data(), text.size()),
                  static_cast<ssize_t>(text.size()));
    }
    // Serves `tree` on the other end from now on.
    void serve() {
        server = p9::ServerConnection::start(p9::adopt_socket(io, sockets.theirs.release()), tree);
    }
    bool answered() {
        return run_until([this] { return told != 0; });
    }

    SocketPair sockets;
    NodePtr tree, root;
    std::shared_ptr<p9::ServerConnection> server;
    std::unique_ptr<VmLink> link;
    synthfs::Fault fault;
    int told = 0, lost = 0;
    bool stopped = false;
    synthfs::CheckedReply<std::string> slow;
};

TEST_F(VmLinkTest, ok_leads_to_the_files) {
    greet("ok\n");
    serve();
    ASSERT_TRUE(answered());
    ASSERT_NE(root, nullptr) << fault.text;
    Asked<synthfs::HandlePtr> opened;
    open_file(root, "hello", O_RDONLY, opened.reply());
    ASSERT_TRUE(run_until([&] { return opened.answered(); }));
    EXPECT_EQ(read(opened.value()), "world\n");
    Asked<synthfs::HandlePtr> missing;
    open_file(root, "nothing", O_RDONLY, missing.reply());
    ASSERT_TRUE(run_until([&] { return missing.answered(); }));
    EXPECT_EQ(missing.errnum(), ENOENT);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(lost, 0);
}

TEST_F(VmLinkTest, what_is_slow_is_waited_for_and_what_is_stopped_is_not) {
    greet("ok\n");
    serve();
    ASSERT_TRUE(answered());
    Asked<synthfs::HandlePtr> opened;
    open_file(root, "slow", O_RDONLY, opened.reply());
    ASSERT_TRUE(run_until([&] { return opened.answered(); }));
    std::vector<std::byte> into(100);
    const auto begun = std::chrono::steady_clock::now();
    Asked<std::size_t> slowly, never;
    opened.value()->read(request(), 0, into, slowly.reply());
    run_until([&] {
        return slowly.answered() ||
               std::chrono::steady_clock::now() - begun > std::chrono::milliseconds(1500);
    });
    ASSERT_FALSE(slowly.answered());
    slow(std::string("text"));
    ASSERT_TRUE(run_until([&] { return slowly.answered(); }));
    EXPECT_EQ(slowly.value(), 4u);

    stopped = true;
    const auto asked = request();
    opened.value()->read(asked, 0, into, never.reply());
    ASSERT_TRUE(run_until([&] { return never.answered(); }));
    EXPECT_EQ(never.errnum(), ETIMEDOUT);
    EXPECT_EQ(asked->words(), kNoAnswer);
    // Once more, at once; and as soon as it says something all is well.
    Asked<synthfs::Attr> attr;
    root->getattr(request(), attr.reply());
    ASSERT_TRUE(attr.answered());
    EXPECT_EQ(attr.errnum(), ETIMEDOUT);
    stopped = false;
    slow(std::string("late"));
    ASSERT_TRUE(run_until([&] {
        Asked<synthfs::Attr> again;
        root->getattr(request(), again.reply());
        return !again.answered();
    }));
}

TEST_F(VmLinkTest, greeting_may_come_in_pieces) {
    greet("o");
    settle();
    EXPECT_EQ(told, 0);
    greet("k\n");
    serve();
    EXPECT_TRUE(answered());
    EXPECT_NE(root, nullptr);
}

TEST_F(VmLinkTest, error_is_told_with_its_number_and_words) {
    greet("error 8 'the kernel is a script, it''s not a bzImage'\n");
    ASSERT_TRUE(answered());
    EXPECT_EQ(root, nullptr);
    EXPECT_EQ(fault.errnum, ENOEXEC);
    EXPECT_EQ(fault.text, "the kernel is a script, it's not a bzImage");
    EXPECT_EQ(lost, 0);
}

TEST_F(VmLinkTest, error_with_an_impossible_number_is_an_io_error) {
    greet("error 70000 'per cent: %s %n'\n");
    ASSERT_TRUE(answered());
    EXPECT_EQ(fault.errnum, EIO);
    EXPECT_EQ(fault.text, "per cent: %s %n");
}

class Garbage : public VmLinkTest, public testing::WithParamInterface<const char*> {};

TEST_P(Garbage, is_an_io_error) {
    greet(GetParam());
    ASSERT_TRUE(answered());
    EXPECT_EQ(root, nullptr);
    EXPECT_EQ(fault.errnum, EIO);
    EXPECT_NE(fault.text.find("unintelligible"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Greetings, Garbage,
                         testing::Values("\n", "hello\n", "ok then\n", "error\n", "error 5\n",
                                         "error 5 a b\n", "error 5 'open\n", "OK\n", "# ok\n"));

TEST_F(VmLinkTest, end_before_the_greeting_is_a_lost_link) {
    greet("o");
    sockets.theirs = Fd();
    EXPECT_TRUE(run_until([this] { return lost != 0; }));
    EXPECT_EQ(told, 0);
    EXPECT_EQ(lost, 1);
}

TEST_F(VmLinkTest, greeting_without_an_end_is_a_lost_link) {
    ASSERT_EQ(fcntl(sockets.theirs.get(), F_SETFL, O_NONBLOCK), 0);
    const std::string much(16 * 1024, 'x');
    EXPECT_TRUE(run_until([&] {
        EXPECT_NE(::send(sockets.theirs.get(), much.data(), much.size(), MSG_NOSIGNAL), 0);
        return lost != 0;
    }));
    EXPECT_EQ(told, 0);
}

TEST_F(VmLinkTest, end_after_the_greeting_answers_enodev_from_then_on) {
    greet("ok\n");
    serve();
    ASSERT_TRUE(answered());
    server = nullptr;
    EXPECT_TRUE(run_until([this] { return lost != 0; }));
    Asked<synthfs::HandlePtr> opened;
    open_file(root, "hello", O_RDONLY, opened.reply());
    ASSERT_TRUE(run_until([&] { return opened.answered(); }));
    EXPECT_EQ(opened.errnum(), ENODEV);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(lost, 1);
}

TEST_F(VmLinkTest, end_inside_the_handshake_is_told) {
    greet("ok\n");
    settle();
    sockets.theirs = Fd();
    EXPECT_TRUE(answered());
    EXPECT_EQ(fault.errnum, ENODEV);
}

TEST_F(VmLinkTest, destruction_calls_nothing) {
    greet("ok\n");
    link = nullptr;
    settle();
    EXPECT_EQ(told, 0);
    EXPECT_EQ(lost, 0);
}

TEST_F(VmLinkTest, destruction_ends_what_waits_on_the_files) {
    auto stream = StreamFile::make({.name = "s"});
    tree = synthfs::Directory::make(
        {.entries = {
             {.name = "s", .mode = S_IFREG | 0444, .make = [stream](mode_t) { return stream; }}}});
    greet("ok\n");
    serve();
    ASSERT_TRUE(answered());
    Asked<synthfs::HandlePtr> opened;
    open_file(root, "s", O_RDONLY, opened.reply());
    ASSERT_TRUE(run_until([&] { return opened.answered(); }));
    const auto reading = start_read(opened.value());
    settle();
    EXPECT_FALSE(reading->answered());
    link = nullptr;
    settle();
    EXPECT_EQ(reading->errnum(), ENODEV);
    EXPECT_EQ(lost, 0);
}

TEST_F(VmLinkTest, link_may_be_destroyed_as_it_tells) {
    SocketPair other;
    link = std::make_unique<VmLink>(io, std::move(other.ours),
                                    VmLink::Hooks{[this](Checked<NodePtr>) {
                                                      ++told;
                                                      link = nullptr;
                                                  },
                                                  [this] { ++lost; }});
    ASSERT_EQ(::write(other.theirs.get(), "what\n", 5), 5);
    EXPECT_TRUE(answered());
    EXPECT_EQ(link, nullptr);
    settle();
    EXPECT_EQ(lost, 0);
}

class Pump : public testing::Test {
  protected:
    ~Pump() override {
        if (pump) {
            pump->stop();  // or its read would keep it
        }
    }
    void start() {
        pump = StreamPump::start(
            synthfs::test::open(stream, O_RDONLY).handle,
            [this](std::string_view bytes) { got += bytes; }, [this] { ++ends; });
    }

    std::shared_ptr<StreamFile> stream = StreamFile::make({.name = "s"});
    std::shared_ptr<StreamPump> pump;
    std::string got;
    int ends = 0;
};

TEST_F(Pump, gives_what_was_there_and_what_comes) {
    stream->append("before ");
    start();
    stream->append("after");
    EXPECT_EQ(got, "before after");
    EXPECT_EQ(ends, 0);
}

TEST_F(Pump, end_is_told_once_and_lets_go_of_the_stream) {
    start();
    stream->append("x");
    stream->set_eof();
    EXPECT_EQ(got, "x");
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(stream->reader_count(), 0u);
    pump->stop();
    EXPECT_EQ(ends, 1);
}

TEST_F(Pump, failure_is_an_end) {
    start();
    stream->retire();
    EXPECT_EQ(ends, 1);
}

TEST_F(Pump, stop_calls_nothing_any_more) {
    start();
    pump->stop();
    stream->append("x");
    stream->set_eof();
    EXPECT_EQ(got, "");
    EXPECT_EQ(ends, 0);
    EXPECT_EQ(stream->reader_count(), 0u);
}

TEST_F(Pump, may_be_stopped_from_within) {
    const auto captured = std::make_shared<std::string>("state of the function");
    pump = StreamPump::start(
        synthfs::test::open(stream, O_RDONLY).handle,
        [this, captured](std::string_view bytes) {
            pump->stop();
            got += *captured + bytes.data()[0];
        },
        [this] { ++ends; });
    stream->append("!");
    stream->append("more");
    EXPECT_EQ(got, "state of the function!");
    EXPECT_EQ(ends, 0);
}

TEST_F(Pump, carries_more_than_its_buffer) {
    std::string much;
    for (int i = 0; much.size() < 200'000; i++) {
        much += std::to_string(i) + ' ';
    }
    stream->append(much);
    start();
    EXPECT_EQ(got, much);
}

}  // namespace
}  // namespace ennead::srv::test
