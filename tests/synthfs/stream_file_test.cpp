// SPDX-License-Identifier: MIT
// Streams: history, many readers, waiting and its ends, lost lines; and files that wait for a
// condition.
#include "synthfs/stream_file.h"

#include <sys/poll.h>

#include "synthfs/wait_file.h"
#include "tests/synthfs/ask.h"

namespace ennead::synthfs {
namespace {

using namespace test;

const std::string kAgain = "errno " + std::to_string(EAGAIN);

std::string read_now(const HandlePtr& handle, std::size_t size = 4096) {
    return read(handle, 0, size, true);
}

TEST(StreamFile, open_starts_with_history_and_follows) {
    const auto stream = StreamFile::make({.capacity = 8, .history = 4});
    stream->append("0123456789");
    const auto handle = open(stream, O_RDONLY).handle;
    EXPECT_EQ(read_now(handle), "6789");
    EXPECT_EQ(read_now(handle), kAgain);
    stream->append("ab");
    EXPECT_EQ(read_now(handle, 1), "a");
    EXPECT_EQ(read_now(handle), "b");
}

TEST(StreamFile, without_history_an_open_starts_now) {
    const auto stream = StreamFile::make({.capacity = 64, .history = 0});
    stream->append("past");
    const auto handle = open(stream, O_RDONLY).handle;
    EXPECT_EQ(read_now(handle), kAgain);
    stream->append("now");
    EXPECT_EQ(read_now(handle), "now");
}

TEST(StreamFile, waiting_read_gets_what_comes) {
    const auto stream = StreamFile::make({});
    const auto handle = open(stream, O_RDONLY).handle;
    const auto first = start_read(handle, 0, 2);
    const auto second = start_read(handle);
    EXPECT_FALSE(first->answered());
    EXPECT_EQ(read_now(handle), kAgain);
    stream->append("abcd");
    EXPECT_EQ(first->text(), "ab");
    EXPECT_EQ(second->text(), "cd");
}

// --- asides

const auto kTakesAll = [](RequestPtr, std::span<const std::byte> data,
                          CheckedReply<std::size_t> reply) { reply(data.size()); };

TEST(StreamFile, an_aside_reaches_in_its_place_who_can_answer) {
    const auto stream = StreamFile::make({.mode = 0644, .write = kTakesAll});
    stream->append("before ");
    stream->append_aside("too early ");
    const auto reader = open(stream, O_RDONLY).handle;
    const auto both = open(stream, O_RDWR).handle;
    stream->append("one ");
    stream->append_aside("who? ");
    stream->append_aside("where? ");
    stream->append("two");
    EXPECT_EQ(read_now(reader), "before one two");
    EXPECT_EQ(read_now(both), "before one ");
    EXPECT_EQ(read_now(both, 2), "wh");
    EXPECT_EQ(read_now(both), "o? ");
    EXPECT_EQ(read_now(both), "where? ");
    EXPECT_EQ(read_now(both), "two");
    EXPECT_EQ(read_now(both), kAgain);
    EXPECT_EQ(read_now(open(stream, O_RDWR).handle), "before one two");
}

TEST(StreamFile, an_aside_ends_a_waiting_read_and_a_poll) {
    const auto stream = StreamFile::make({.mode = 0644, .write = kTakesAll});
    const auto reader = open(stream, O_RDONLY).handle;
    const auto both = open(stream, O_RDWR).handle;
    const auto waiting = start_read(reader);
    const auto asked = start_read(both);
    stream->append_aside("who?");
    EXPECT_EQ(asked->text(), "who?");
    EXPECT_FALSE(waiting->answered());
    EXPECT_EQ(both->poll({}) & POLLIN, 0u);
    stream->append_aside("where?");
    EXPECT_EQ(both->poll({}) & POLLIN, static_cast<unsigned>(POLLIN));
    EXPECT_EQ(reader->poll({}) & POLLIN, 0u);
    stream->set_eof();
    EXPECT_EQ(read_now(both), "where?");
    EXPECT_EQ(read_now(both), "");
    EXPECT_EQ(waiting->text(), "");
}

TEST(StreamFile, asides_that_nobody_reads_do_not_pile_up) {
    const auto stream = StreamFile::make({.mode = 0644, .capacity = 4, .write = kTakesAll});
    const auto both = open(stream, O_RDWR).handle;
    for (std::size_t i = 0; i < StreamFile::kMaxAsides + 10; ++i) {
        stream->append_aside(std::to_string(i) + ' ');
    }
    stream->append("end of it");
    EXPECT_EQ(read_now(both), "10 ");
    std::string rest;
    for (std::string piece; (piece = read_now(both)) != kAgain;) {
        rest += piece;
    }
    EXPECT_TRUE(rest.ends_with("73 f it")) << rest;
}

// --- many readers

TEST(StreamFile, ten_readers_all_get_everything) {
    const auto stream = StreamFile::make({.capacity = 1000, .history = 1000});
    stream->append("begin ");
    std::vector<HandlePtr> handles;
    std::vector<std::string> got(10);
    for (int i = 0; i < 10; ++i) {
        handles.push_back(open(stream, O_RDONLY).handle);
    }
    std::string sent = "begin ";
    for (int round = 0; round < 500; ++round) {
        const std::string bytes = std::to_string(round * 7919) + " ";
        sent += bytes;
        stream->append(bytes);
        for (std::size_t i = 0; i < handles.size(); ++i) {
            if (round % (i + 1) == 0) {
                for (std::string piece; (piece = read_now(handles[i], 17)) != kAgain;) {
                    got[i] += piece;
                }
            }
        }
    }
    stream->set_eof();
    for (std::size_t i = 0; i < handles.size(); ++i) {
        for (std::string piece; !(piece = read_now(handles[i])).empty();) {
            got[i] += piece;
        }
        EXPECT_EQ(got[i], sent) << "reader " << i;
    }
}

TEST(StreamFile, reader_left_behind_goes_on_at_the_oldest_byte_kept) {
    const auto stream = StreamFile::make({.capacity = 4, .history = 4});
    const auto handle = open(stream, O_RDONLY).handle;
    stream->append("0123456789");
    EXPECT_EQ(read_now(handle), "6789");
}

TEST(StreamFile, slow_reader_of_lines_is_told_how_many_were_lost) {
    const auto stream = StreamFile::make({.capacity = 16, .history = 0, .lines = true});
    const auto handle = open(stream, O_RDONLY).handle;
    stream->append("line 0\n");
    EXPECT_EQ(read_now(handle), "line 0\n");
    for (int i = 1; i < 6; ++i) {
        stream->append("line " + std::to_string(i) + "\n");
    }
    EXPECT_EQ(read_now(handle), "lost 3\n");
    EXPECT_EQ(read_now(handle), "line 4\nline 5\n");
    EXPECT_EQ(read_now(handle), kAgain);
}

TEST(StreamFile, line_given_in_part_is_ended_before_the_loss_is_told) {
    const auto stream = StreamFile::make({.capacity = 16, .history = 0, .lines = true});
    const auto handle = open(stream, O_RDONLY).handle;
    stream->append("line 0\n");
    EXPECT_EQ(read_now(handle, 3), "lin");
    for (int i = 1; i < 4; ++i) {
        stream->append("line " + std::to_string(i) + "\n");
    }
    EXPECT_EQ(read_now(handle, 4), "\nlos");
    for (int i = 4; i < 6; ++i) {
        stream->append("line " + std::to_string(i) + "\n");
    }
    EXPECT_EQ(read_now(handle), "t 2\n");
    EXPECT_EQ(read_now(handle), "lost 2\n");
    EXPECT_EQ(read_now(handle), "line 4\nline 5\n");
}

TEST(StreamFile, lines_are_given_whole_while_they_fit) {
    const auto stream = StreamFile::make({.capacity = 64, .history = 64, .lines = true});
    stream->append("one\ntwo\nthree\n");
    const auto handle = open(stream, O_RDONLY).handle;
    EXPECT_EQ(read_now(handle, 10), "one\ntwo\n");
    EXPECT_EQ(read_now(handle, 3), "thr");
    EXPECT_EQ(read_now(handle, 3), "ee\n");
}

TEST(StreamFile, history_of_lines_begins_with_a_whole_one) {
    const auto stream = StreamFile::make({.capacity = 64, .history = 6, .lines = true});
    stream->append("one\ntwo\nthree\nfour\n");
    EXPECT_EQ(read_now(open(stream, O_RDONLY).handle), "four\n");
}

TEST(StreamFile, end_of_file_comes_after_the_rest_and_stays) {
    const auto stream = StreamFile::make({});
    const auto waiting = open(stream, O_RDONLY).handle;
    const auto read = start_read(waiting);
    stream->set_eof();
    EXPECT_EQ(read->text(), "");
    stream->append("late words");
    const auto handle = open(stream, O_RDONLY).handle;
    EXPECT_EQ(read_now(handle), "late words");
    EXPECT_EQ(read_now(handle), "");
    EXPECT_EQ(read_now(handle), "");
}

TEST(StreamFile, each_run_ends_for_those_who_saw_it_and_then_the_next_begins) {
    const auto stream = StreamFile::make({});
    const auto slow = open(stream, O_RDONLY).handle;
    const auto prompt = open(stream, O_RDONLY).handle;
    stream->append("run 1");
    EXPECT_EQ(read_now(prompt), "run 1");
    stream->set_eof();
    EXPECT_EQ(read_now(prompt), "");
    stream->reopen();
    stream->append("run 2");
    EXPECT_EQ(read_now(prompt), "run 2");
    EXPECT_EQ(read_now(prompt), kAgain);
    EXPECT_EQ(read_now(slow), "run 1");
    EXPECT_EQ(read_now(slow), "");
    EXPECT_EQ(read_now(slow), "run 2");
    EXPECT_EQ(read_now(slow), kAgain);
    EXPECT_EQ(read_now(open(stream, O_RDONLY).handle), "run 1run 2");
}

TEST(StreamFile, end_of_a_run_that_was_dropped_is_still_met) {
    const auto stream = StreamFile::make({.capacity = 4, .history = 4});
    const auto slow = open(stream, O_RDONLY).handle;
    stream->append("aaaa");
    stream->set_eof();
    stream->reopen();
    stream->append("bbbbcccc");
    EXPECT_EQ(read_now(slow), "");
    EXPECT_EQ(read_now(slow), "cccc");
}

TEST(StreamFile, blocked_read_ends_by_interrupt_retirement_or_close) {
    const auto stream = StreamFile::make({});
    auto handle = open(stream, O_RDONLY).handle;
    const auto interrupted = start_read(handle);
    interrupted->request->cancel();
    EXPECT_EQ(interrupted->errnum(), EINTR);
    stream->append("x");
    EXPECT_EQ(read_now(handle), "x");

    const auto closed = start_read(handle);
    handle.reset();
    EXPECT_EQ(closed->errnum(), EINTR);

    handle = open(stream, O_RDONLY).handle;
    EXPECT_EQ(read_now(handle), "x");
    const auto retired = start_read(handle);
    stream->retire();
    EXPECT_EQ(retired->errnum(), ENODEV);
    EXPECT_EQ(open(stream, O_RDONLY).errnum, ENODEV);
    stream->append("nobody");
}

TEST(StreamFile, read_cancelled_before_it_starts_is_interrupted) {
    const auto stream = StreamFile::make({});
    const auto handle = open(stream, O_RDONLY).handle;
    const RequestPtr asker = request();
    asker->cancel();
    Asked<std::size_t> asked;
    std::array<std::byte, 8> into{};
    handle->read(asker, 0, into, asked.reply());
    EXPECT_EQ(asked.errnum(), EINTR);
}

TEST(StreamFile, reply_may_close_the_last_handle) {
    auto stream = StreamFile::make({});
    auto handle = open(stream, O_RDONLY).handle;
    std::array<std::byte, 8> into{};
    bool replied = false;
    handle->read(request(), 0, into, [&](Result<std::size_t> got) {
        EXPECT_EQ(got.value(), 1u);
        replied = true;
        handle.reset();
    });
    const auto raw = stream.get();
    const std::weak_ptr<StreamFile> weak = stream;
    stream.reset();
    raw->append("x");
    EXPECT_TRUE(replied);
    EXPECT_TRUE(weak.expired());
}

TEST(StreamFile, writes_go_to_the_owner) {
    std::string taken;
    int fail = 0;
    const auto stream = StreamFile::make({.write = [&](RequestPtr, std::span<const std::byte> data,
                                                       CheckedReply<std::size_t> reply) {
        if (fail != 0) {
            reply(make_fault(fail, "full"));
            return;
        }
        taken.append(reinterpret_cast<const char*>(data.data()), data.size());
        reply(data.size());
    }});
    const auto handle = open(stream, O_RDWR).handle;
    const auto waiting = start_read(handle);
    EXPECT_EQ(write(handle, "ls\n"), 0);
    EXPECT_EQ(taken, "ls\n");
    EXPECT_FALSE(waiting->answered());
    fail = EAGAIN;
    EXPECT_EQ(write(handle, "ls\n"), EAGAIN);
    EXPECT_EQ(open(StreamFile::make({}), O_WRONLY).errnum, EPERM);
}

TEST(StreamFile, poll_tells_once_when_something_has_come) {
    bool can_take = false;
    const auto stream =
        StreamFile::make({.write = [](RequestPtr, std::span<const std::byte> data,
                                      CheckedReply<std::size_t> reply) { reply(data.size()); },
                          .can_take = [&] { return can_take; }});
    const auto handle = open(stream, O_RDWR).handle;
    int told = 0;
    const auto notify = [&] { ++told; };
    EXPECT_EQ(handle->poll(notify), 0u);
    stream->append("x");
    EXPECT_EQ(told, 1);
    stream->append("y");
    EXPECT_EQ(told, 1);
    EXPECT_EQ(handle->poll(notify), static_cast<unsigned>(POLLIN));
    stream->wake();
    EXPECT_EQ(told, 1);
    can_take = true;
    stream->wake();
    EXPECT_EQ(told, 2);
    EXPECT_EQ(handle->poll({}), static_cast<unsigned>(POLLIN | POLLOUT));
    can_take = false;
    EXPECT_EQ(read_now(handle), "xy");
    EXPECT_EQ(handle->poll(notify), 0u);
    stream->set_eof();
    EXPECT_EQ(told, 3);
    EXPECT_EQ(handle->poll({}), static_cast<unsigned>(POLLIN | POLLHUP));
}

TEST(StreamFile, owner_knows_how_many_read) {
    std::vector<std::size_t> counts;
    const auto stream =
        StreamFile::make({.write = [](RequestPtr, std::span<const std::byte> data,
                                      CheckedReply<std::size_t> reply) { reply(data.size()); },
                          .on_readers = [&](std::size_t count) { counts.push_back(count); }});
    {
        const auto first = open(stream, O_RDONLY).handle;
        const auto writer = open(stream, O_WRONLY).handle;
        const auto second = open(stream, O_RDWR).handle;
    }
    EXPECT_EQ(counts, (std::vector<std::size_t>{1, 2, 1, 0}));
    EXPECT_TRUE(stream->is_stream());
}

struct Ending {
    std::optional<std::string> text;
    std::shared_ptr<WaitFile> node =
        WaitFile::make({.name = "wait", .text = [this] { return text; }});
};

TEST(WaitFile, read_waits_for_the_condition_and_then_ends) {
    Ending ending;
    const auto handle = open(ending.node, O_RDONLY).handle;
    const auto other = open(ending.node, O_RDONLY).handle;
    const auto read_one = start_read(handle);
    const auto read_two = start_read(other);
    ending.node->wake();
    EXPECT_FALSE(read_one->answered());
    ending.text = "3 poweroff 0\n";
    ending.node->wake();
    EXPECT_EQ(read_one->text(), "3 poweroff 0\n");
    EXPECT_EQ(read_two->text(), "3 poweroff 0\n");
    ending.text.reset();
    EXPECT_EQ(read(handle, 13), "");
    EXPECT_EQ(read(handle, 0, 10, true), kAgain);
}

TEST(WaitFile, blocked_read_ends_by_interrupt_or_retirement) {
    Ending ending;
    const auto handle = open(ending.node, O_RDONLY).handle;
    const auto interrupted = start_read(handle);
    interrupted->request->cancel();
    EXPECT_EQ(interrupted->errnum(), EINTR);
    const auto retired = start_read(handle);
    ending.node->retire();
    EXPECT_EQ(retired->errnum(), ENODEV);
}

TEST(WaitFile, poll_tells_when_it_is_over) {
    Ending ending;
    const auto handle = open(ending.node, O_RDONLY).handle;
    int told = 0;
    EXPECT_EQ(handle->poll([&] { ++told; }), 0u);
    ending.node->wake();
    EXPECT_EQ(told, 0);
    ending.text = "1\n";
    ending.node->wake();
    EXPECT_EQ(told, 1);
    EXPECT_EQ(handle->poll({}), static_cast<unsigned>(POLLIN));
}

}  // namespace
}  // namespace ennead::synthfs
