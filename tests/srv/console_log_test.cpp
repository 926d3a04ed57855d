// SPDX-License-Identifier: MIT
// The console twice: `cons` follows it, `log` keeps it on disk.
#include "srv/ennead/console_log.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

class ConsoleLogTest : public LoopTest {
  protected:
    ConsoleLogTest() {
        const Fd directory = scratch.open_dir();
        auto made = ConsoleLog::make(
            directory.get(), [this](synthfs::ErrorRecord record) { errors.push_back(record); },
            [this](synthfs::RequestPtr, std::span<const std::byte> data,
                   synthfs::CheckedReply<std::size_t> reply) {
                typed += std::string(reinterpret_cast<const char*>(data.data()), data.size());
                reply(data.size());
            });
        EXPECT_TRUE(made);
        console = std::move(made.value());
    }
    [[nodiscard]] std::uint64_t log_size() const {
        return synthfs::test::getattr(console->log()).size;
    }
    std::string log_text() { return read_all(console->log()); }

    ScratchDir scratch;
    std::vector<synthfs::ErrorRecord> errors;
    std::string typed;
    std::unique_ptr<ConsoleLog> console;
};

TEST_F(ConsoleLogTest, output_goes_to_both) {
    console->append("hello\n");
    console->append("");
    console->append("world\n");
    EXPECT_EQ(log_size(), 12u);
    EXPECT_EQ(log_text(), "hello\nworld\n");
    EXPECT_EQ(read(open(console->stream(), O_RDONLY).handle), "hello\nworld\n");
    EXPECT_EQ(std::filesystem::file_size(scratch.path() + "/log"), 12u);
}

TEST_F(ConsoleLogTest, log_keeps_more_than_the_stream) {
    const std::string line(1023, 'x');
    for (int i = 0; i < 1024; i++) {
        console->append(line + '\n');
    }
    EXPECT_EQ(log_size(), 1u << 20);
    EXPECT_EQ(read(open(console->log(), O_RDONLY).handle, (1 << 20) - 2), "x\n");
    EXPECT_EQ(read(open(console->log(), O_RDONLY).handle, 1 << 20), "");
}

TEST_F(ConsoleLogTest, log_can_be_cleared_and_goes_on) {
    console->append("old");
    ASSERT_EQ(resize(console->log(), 0), 0);
    EXPECT_EQ(log_size(), 0u);
    EXPECT_EQ(log_text(), "");
    console->append("new");
    EXPECT_EQ(log_text(), "new");
    EXPECT_EQ(read(open(console->stream(), O_RDONLY).handle), "oldnew");
}

TEST_F(ConsoleLogTest, log_is_cleared_whole_or_not_at_all) {
    console->append("text");
    EXPECT_EQ(resize(console->log(), 2), EINVAL);
    EXPECT_EQ(resize(console->log(), 100), EINVAL);
    EXPECT_EQ(log_text(), "text");
}

TEST_F(ConsoleLogTest, log_cannot_be_written) {
    const auto opened = open(console->log(), O_WRONLY);
    EXPECT_TRUE(opened.errnum != 0 || write(opened.handle, "x") != 0);
    EXPECT_EQ(log_size(), 0u);
}

TEST_F(ConsoleLogTest, what_is_written_to_cons_is_input) {
    EXPECT_EQ(echo(console->stream(), "uname -a\n"), 0);
    EXPECT_EQ(typed, "uname -a\n");
    EXPECT_EQ(log_size(), 0u);
}

TEST_F(ConsoleLogTest, end_is_an_end_of_file_until_it_goes_on) {
    console->append("first\n");
    const auto opened = open(console->stream(), O_RDONLY);
    console->end();
    EXPECT_EQ(read(opened.handle), "first\n");
    EXPECT_EQ(read(opened.handle), "");
    console->go_on();
    console->append("second\n");
    EXPECT_EQ(read(opened.handle), "second\n");
    EXPECT_EQ(read(open(console->stream(), O_RDONLY).handle), "first\nsecond\n");
    EXPECT_EQ(log_text(), "first\nsecond\n");
}

TEST_F(ConsoleLogTest, question_for_the_cursor_goes_to_who_can_answer) {
    const auto terminal = open(console->stream(), O_RDWR).handle;
    console->append("vm1:~# \x1b[6nls\r\n\x1b[6n\x1b[6n");
    EXPECT_EQ(log_text(), "vm1:~# ls\r\n");
    EXPECT_EQ(read(open(console->stream(), O_RDONLY).handle), "vm1:~# ls\r\n");
    for (const char* piece : {"vm1:~# ", "\x1b[6n", "ls\r\n", "\x1b[6n", "\x1b[6n"}) {
        EXPECT_EQ(read(terminal), piece);
    }
    // Whoever comes later is not asked what was asked before.
    EXPECT_EQ(read(open(console->stream(), O_RDWR).handle), "vm1:~# ls\r\n");
}

TEST_F(ConsoleLogTest, question_may_come_in_pieces_and_nothing_else_is_held_up) {
    for (const char* piece : {"a\x1b", "[", "6", "nb", "\x1b[6", "mc", "\x1b\x1b[6nd", "\x1b[6"}) {
        console->append(piece);
    }
    EXPECT_EQ(log_text(),
              "ab\x1b[6mc\x1b"
              "d");
    console->end();
    EXPECT_EQ(log_text(),
              "ab\x1b[6mc\x1b"
              "d\x1b[6");
    console->go_on();
    console->append("n");
    EXPECT_EQ(log_text(),
              "ab\x1b[6mc\x1b"
              "d\x1b[6n");
}

TEST_F(ConsoleLogTest, old_log_of_the_directory_is_cleared) {
    console->append("old");
    const Fd directory = scratch.open_dir();
    const auto again = ConsoleLog::make(directory.get(), {}, {});
    ASSERT_TRUE(again);
    EXPECT_EQ(read_all(again.value()->log()), "");
}

TEST_F(ConsoleLogTest, lost_output_is_told_once_and_cons_goes_on) {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto with_room_for = [&](rlim_t size, const std::function<void()>& act) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit small{size, before.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        act();
        setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, SIG_DFL);
    };
    with_room_for(10, [&] {
        console->append("0123456789abc");
        console->append("def");
    });
    EXPECT_EQ(log_text(), "0123456789");
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].file, "log");
    EXPECT_EQ(errors[0].errnum, EFBIG);
    console->append("!");
    EXPECT_EQ(log_text(), "0123456789!");
    EXPECT_EQ(read(open(console->stream(), O_RDONLY).handle), "0123456789abcdef!");

    // Room for a line now and then is no reason to tell it again; that the disk was free is one.
    with_room_for(12, [&] { console->append("ghi"); });
    EXPECT_EQ(log_text(), "0123456789!g");
    EXPECT_EQ(errors.size(), 1u);
    console->append(std::string(64 * 1024, 'x'));
    with_room_for(12, [&] { console->append("jkl"); });
    EXPECT_EQ(errors.size(), 2u);
}

TEST(ConsoleLog, needs_a_directory_that_can_be_written) {
    const auto made = ConsoleLog::make(-1, {}, {});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().errnum, EBADF);
}

}  // namespace
}  // namespace ennead::srv::test
