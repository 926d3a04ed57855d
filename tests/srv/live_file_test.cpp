// SPDX-License-Identifier: MIT
// A file whose contents live at the other end of a link: before, while and after there is one.
#include "srv/ennead/live_file.h"

#include <sys/poll.h>

#include <set>

#include "p9/stream.h"
#include "srv/ennead/vm_link.h"
#include "synthfs/stream_file.h"
#include "synthfs/text_file.h"
#include "synthfs/tree.h"
#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::HandlePtr;
using synthfs::NodePtr;
using synthfs::StreamFile;

class LiveFileTest : public LoopTest {
  protected:
    LiveFileTest() {
        const auto regs = synthfs::make_text_file(
            {.mode = 0600,
             .name = "regs",
             .text = [this]() -> Checked<std::string> { return remote_text; },
             .write =
                 [this](synthfs::RequestPtr, synthfs::TextWrite write, CheckedReply<> reply) {
                     if (write.text == "bad\n") {
                         reply(synthfs::make_fault(EINVAL, "no such register"));
                         return;
                     }
                     remote_text = write.text;
                     reply(synthfs::success());
                 }});
        const auto list = synthfs::make_text_file(
            {.mode = 0600,
             .name = "bp",
             .text = [this]() -> Checked<std::string> { return remote_text; },
             .write = [](synthfs::RequestPtr, synthfs::TextWrite,
                         CheckedReply<> reply) { reply(synthfs::success()); },
             .truncate = [this]() -> Checked<> {
                 remote_text.clear();
                 return synthfs::success();
             }});
        const auto file = [](const char* name, NodePtr node) {
            return synthfs::Entry{
                .name = name, .mode = S_IFREG | 0600, .make = [node](mode_t) { return node; }};
        };
        tree = synthfs::Directory::make(
            {.entries = {file("regs", regs), file("com1", remote_stream), file("bp", list)}});
    }

    // A VM process comes up.
    void connect() {
        SocketPair sockets;
        ASSERT_EQ(::write(sockets.theirs.get(), "ok\n", 3), 3);
        server = p9::ServerConnection::start(p9::adopt_socket(io, sockets.theirs.release()), tree);
        link = std::make_unique<VmLink>(
            io, std::move(sockets.ours),
            VmLink::Hooks{[this](Checked<NodePtr> root) { remote = root.value(); }, [] {}});
        ASSERT_TRUE(run_until([this] { return remote != nullptr; }));
    }
    // It ends.
    void disconnect() {
        remote = nullptr;
        link = nullptr;
        server = nullptr;
    }

    synthfs::SynthNodePtr live(const char* name, bool stream = false) {
        return make_live_file(
            {.name = name,
             .stream = stream,
             .errors = [this](synthfs::ErrorRecord record) { told = std::move(record); },
             .tree = [this] { return remote; }});
    }

    std::string remote_text = "eax 0\n";
    std::shared_ptr<StreamFile> remote_stream = StreamFile::make({.mode = 0600, .name = "com1"});
    NodePtr tree;
    NodePtr remote;  // as the server sees it; null: no process
    std::shared_ptr<p9::ServerConnection> server;
    std::unique_ptr<VmLink> link;
    synthfs::ErrorRecord told;
};

TEST_F(LiveFileTest, open_without_a_process_is_busy_and_says_why) {
    EXPECT_EQ(open(live("regs"), O_RDONLY).errnum, EBUSY);
    EXPECT_EQ(told.errnum, EBUSY);
    EXPECT_EQ(told.file, "regs");
    EXPECT_NE(told.text.find("no process"), std::string::npos);
}

TEST_F(LiveFileTest, attributes_need_no_process) {
    auto node = make_live_file(
        {.mode = 0640, .name = "mem", .tree = [] { return nullptr; }, .size = [] { return 4096; }});
    const auto attr = synthfs::test::getattr(node);
    EXPECT_EQ(attr.mode, S_IFREG | 0640u);
    EXPECT_EQ(attr.size, 4096u);
    EXPECT_EQ(synthfs::test::getattr(live("regs")).size, 0u);
    EXPECT_FALSE(live("regs")->is_stream());
    EXPECT_TRUE(live("com1", true)->is_stream());
}

TEST_F(LiveFileTest, reads_and_writes_go_to_the_other_end) {
    connect();
    const auto node = live("regs");
    EXPECT_EQ(read_all(node), "eax 0\n");
    EXPECT_EQ(echo(node, "eax 1\n"), 0);
    EXPECT_EQ(remote_text, "eax 1\n");
    EXPECT_EQ(read_all(node), "eax 1\n");
}

TEST_F(LiveFileTest, refusals_of_the_other_end_come_back) {
    connect();
    EXPECT_EQ(echo(live("regs"), "bad\n"), EINVAL);
    EXPECT_EQ(remote_text, "eax 0\n");
    EXPECT_EQ(read_all(live("no_such_file")), "errno " + std::to_string(ENOENT));
}

TEST_F(LiveFileTest, open_mode_is_checked_here) {
    connect();
    const auto for_reading = open(live("regs"), O_RDONLY);
    EXPECT_EQ(write(for_reading.handle, "x"), EBADF);
    const auto for_writing = open(live("regs"), O_WRONLY);
    EXPECT_EQ(read(for_writing.handle), "errno " + std::to_string(EBADF));
    auto read_only =
        make_live_file({.mode = 0444, .name = "regs", .tree = [this] { return remote; }});
    EXPECT_EQ(open(read_only, O_WRONLY).errnum, EPERM);
}

TEST_F(LiveFileTest, truncation_means_nothing) {
    connect();
    const auto node = live("regs");
    EXPECT_EQ(resize(node, 0), 0);
    EXPECT_EQ(resize(node, 4096), 0);  // as dd(1) does before it writes
    EXPECT_EQ(read_all(node), "eax 0\n");
    const auto read_only =
        make_live_file({.mode = 0444, .name = "regs", .tree = [this] { return remote; }});
    EXPECT_EQ(resize(read_only, 0), EPERM);
}

TEST_F(LiveFileTest, truncation_clears_a_list) {
    const auto node = make_live_file(
        {.mode = 0600, .name = "bp", .list = true, .tree = [this] { return remote; }});
    EXPECT_EQ(resize(node, 0), EBUSY);
    connect();
    remote_text = "x 1\n";
    Asked<> asked;
    node->setattr(request(),
                  {.mode = {}, .uid = {}, .gid = {}, .size = 0, .atime = {}, .mtime = {}},
                  asked.reply());
    ASSERT_TRUE(run_until([&] { return asked.answered(); }));
    EXPECT_EQ(asked.errnum(), 0);
    EXPECT_EQ(remote_text, "");
    remote_text = "x 1\n";
    EXPECT_EQ(resize(node, 1), EPERM);
    EXPECT_EQ(remote_text, "x 1\n");
}

TEST_F(LiveFileTest, operations_wait_for_the_open_and_keep_their_order) {
    connect();
    remote_stream->append("abcdef");
    const auto opened = open(live("com1", true), O_RDONLY);
    ASSERT_NE(opened.handle, nullptr);
    const auto first = start_read(opened.handle, 0, 3);
    const auto second = start_read(opened.handle, 0, 3);
    EXPECT_FALSE(first->answered());  // the open has not been answered: the loop did not run
    ASSERT_TRUE(run_until([&] { return second->answered(); }));
    EXPECT_EQ(first->text(), "abc");
    EXPECT_EQ(second->text(), "def");
}

TEST_F(LiveFileTest, nonblocking_read_before_the_open_would_wait) {
    connect();
    const auto opened = open(live("com1", true), O_RDONLY);
    EXPECT_EQ(start_read(opened.handle, 0, 16, true)->errnum(), EAGAIN);
}

TEST_F(LiveFileTest, nonblocking_read_of_what_is_no_stream_waits_for_the_open) {
    connect();
    const auto opened = open(live("regs", false), O_RDONLY | O_NONBLOCK);
    const auto read = start_read(opened.handle, 0, 16, true);
    ASSERT_TRUE(run_until([&] { return read->answered(); }));
    EXPECT_EQ(read->text(), "eax 0\n");
}

TEST_F(LiveFileTest, queued_operation_is_cancelled_at_once) {
    connect();
    const auto opened = open(live("com1", true), O_RDONLY);
    const auto reading = start_read(opened.handle);
    reading->request->cancel();
    EXPECT_EQ(reading->errnum(), EINTR);  // though the other end has not said anything
    const auto next = start_read(opened.handle);
    remote_stream->append("for the next");
    ASSERT_TRUE(run_until([&] { return next->answered(); }));
    EXPECT_EQ(next->text(), "for the next");
}

TEST_F(LiveFileTest, operation_cancelled_before_it_began_is_answered) {
    connect();
    const auto opened = open(live("com1", true), O_RDONLY);
    const auto cancelled = request();
    cancelled->cancel();
    std::vector<std::byte> into(16);
    Asked<std::size_t> asked;
    opened.handle->read(cancelled, 0, into, asked.reply());
    EXPECT_EQ(asked.errnum(), EINTR);
    settle();
}

TEST_F(LiveFileTest, read_that_waits_at_the_other_end_is_cancelled) {
    connect();
    const auto opened = open(live("com1", true), O_RDONLY);
    const auto reading = start_read(opened.handle);
    settle();
    EXPECT_FALSE(reading->answered());
    reading->request->cancel();
    ASSERT_TRUE(run_until([&] { return reading->answered(); }));
    EXPECT_EQ(reading->errnum(), EINTR);
}

TEST_F(LiveFileTest, retirement_ends_what_waits_here_and_the_link_what_waits_there) {
    connect();
    const auto node = live("com1", true);
    const auto opened = open(node, O_RDONLY);
    const auto remote_read = start_read(opened.handle);
    settle();
    const auto fresh = open(node, O_RDONLY);
    const auto queued = start_read(fresh.handle);
    node->retire();
    EXPECT_EQ(queued->errnum(), ENODEV);
    disconnect();
    ASSERT_TRUE(run_until([&] { return remote_read->answered(); }));
    EXPECT_EQ(remote_read->errnum(), ENODEV);
    EXPECT_EQ(read(opened.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(open(node, O_RDONLY).errnum, ENODEV);
}

TEST_F(LiveFileTest, open_belongs_to_the_process_it_was_made_under) {
    connect();
    const auto node = live("regs");
    const auto old = open(node, O_RDWR);
    EXPECT_EQ(read(old.handle), "eax 0\n");
    const auto queued = open(node, O_RDWR);
    disconnect();
    EXPECT_EQ(read(old.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(write(old.handle, "eax 1\n"), ENODEV);
    EXPECT_EQ(read(queued.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(open(node, O_RDONLY).errnum, EBUSY);
    connect();
    EXPECT_EQ(read(old.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(read_all(node), "eax 0\n");
}

TEST_F(LiveFileTest, lost_link_ends_a_read_that_waits) {
    connect();
    const auto opened = open(live("com1", true), O_RDONLY);
    const auto reading = start_read(opened.handle);
    settle();
    server = nullptr;  // the process was killed
    ASSERT_TRUE(run_until([&] { return reading->answered(); }));
    EXPECT_EQ(reading->errnum(), ENODEV);
}

TEST_F(LiveFileTest, closing_before_the_open_is_answered_answers_what_waits) {
    connect();
    auto opened = open(live("com1", true), O_RDONLY);
    const auto reading = start_read(opened.handle);
    opened.handle = nullptr;
    EXPECT_EQ(reading->errnum(), ENODEV);
    settle();
    EXPECT_EQ(remote_stream->reader_count(), 0u);  // nor does the remote open leak
}

// --- directories

class LiveDirectoryTest : public LiveFileTest {
  protected:
    LiveDirectoryTest() {
        synthfs::DirectoryHooks hooks;
        hooks.find = [this](const std::string& name) -> NodePtr {
            return blocks.contains(name)
                       ? synthfs::make_text_file(
                             {.text = [name]() -> Checked<std::string> { return name + "\n"; }})
                       : nullptr;
        };
        hooks.names_later = [this](synthfs::RequestPtr,
                                   CheckedReply<std::vector<std::string>> reply) {
            reply(std::vector<std::string>(blocks.begin(), blocks.end()));
        };
        const NodePtr block = synthfs::Directory::make({.hooks = std::move(hooks)});
        const NodePtr jit = synthfs::Directory::make(
            {.entries = {{.name = "block", .mode = S_IFDIR | 0500, .make = [block](mode_t) {
                              return block;
                          }}}});
        tree = synthfs::Directory::make(
            {.entries = {
                 {.name = "jit", .mode = S_IFDIR | 0500, .make = [jit](mode_t) { return jit; }}}});
    }
    NodePtr directory = make_live_directory(
        {.files = {.mode = 0400,
                   .name = "jit/block",
                   .errors = [this](synthfs::ErrorRecord record) { told = std::move(record); },
                   .tree = [this] { return remote; }}});
    std::set<std::string> blocks;

    Asked<NodePtr> look_up(const std::string& name) {
        Asked<NodePtr> asked;
        directory->walk(request(), name, asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked;
    }
    std::vector<std::string> names(std::size_t at_once) {
        const auto handle = open(directory, O_RDONLY | O_DIRECTORY).handle;
        std::vector<std::string> all;
        for (std::uint64_t offset = 0;;) {
            Asked<std::vector<synthfs::DirEntry>> asked;
            handle->readdir(request(), offset, at_once, asked.reply());
            EXPECT_TRUE(run_until([&] { return asked.answered(); }));
            if (asked.errnum() != 0 || asked.value().empty()) {
                return all;
            }
            for (const auto& entry : asked.value()) {
                all.push_back(entry.name);
                offset = entry.next_offset;
            }
        }
    }
};

TEST_F(LiveDirectoryTest, has_the_files_of_the_other_end) {
    connect();
    blocks = {"0x00001000", "0x00002000"};
    EXPECT_EQ(names(1), (std::vector<std::string>{"0x00001000", "0x00002000"}));
    auto found = look_up("0x00001000");
    ASSERT_EQ(found.errnum(), 0);
    EXPECT_EQ(read_all(found.value()), "0x00001000\n");
    EXPECT_EQ(synthfs::test::getattr(found.value()).mode, S_IFREG | 0400u);
    EXPECT_EQ(look_up("0x00001000").value(), found.value());  // while it is in use
    EXPECT_EQ(look_up("0x00003000").errnum(), ENOENT);
}

TEST_F(LiveDirectoryTest, a_name_just_listed_is_not_asked_for_and_its_read_tells_the_truth) {
    connect();
    blocks = {"0x00001000"};
    auto before = look_up("0x00001000");
    blocks.clear();
    EXPECT_EQ(look_up("0x00001000").errnum(), ENOENT);
    blocks = {"0x00001000"};
    EXPECT_EQ(names(10).size(), 1u);
    blocks.clear();
    auto found = look_up("0x00001000");
    ASSERT_EQ(found.errnum(), 0);
    EXPECT_EQ(read_all(found.value()), "errno " + std::to_string(ENOENT));
}

TEST_F(LiveDirectoryTest, many_files_are_listed_whole) {
    connect();
    for (int n = 0; n < 50'000; ++n) {
        blocks.insert("0x" + std::to_string(10'000'000 + n));
    }
    EXPECT_EQ(names(500), (std::vector<std::string>(blocks.begin(), blocks.end())));
}

TEST_F(LiveDirectoryTest, without_a_process_it_is_empty_and_its_files_are_busy) {
    EXPECT_EQ(look_up("0x00001000").errnum(), EBUSY);
    EXPECT_NE(told.text.find("no process"), std::string::npos);
    EXPECT_EQ(told.file, "jit/block");
    EXPECT_TRUE(names(10).empty());
}

TEST_F(LiveFileTest, poll_tells_when_the_open_is_there) {
    connect();
    remote_stream->append("x");
    const auto opened = open(live("com1", true), O_RDONLY);
    int notified = 0;
    EXPECT_EQ(opened.handle->poll([&] { ++notified; }), 0u);
    EXPECT_TRUE(run_until([&] { return notified != 0; }));
    disconnect();
    EXPECT_TRUE(opened.handle->poll(nullptr) & (POLLERR | POLLHUP | POLLIN));
}

}  // namespace
}  // namespace ennead::srv::test
