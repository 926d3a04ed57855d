// SPDX-License-Identifier: MIT
// Text captured per open, messages, data at offsets.
#include "synthfs/text_file.h"

#include <sys/stat.h>

#include <cstring>

#include "synthfs/data_file.h"
#include "synthfs/words.h"
#include "tests/synthfs/ask.h"

namespace ennead::synthfs {
namespace {

using namespace test;

TEST(TextFile, captures_at_offset_0_and_again_when_rewound) {
    int calls = 0;
    const auto node =
        make_text_file({.text = [&] { return "call " + std::to_string(++calls) + "\n"; }});
    const auto first = open(node, O_RDONLY).handle;
    EXPECT_EQ(calls, 0);
    EXPECT_EQ(read(first, 0, 3), "cal");
    EXPECT_EQ(read(first, 3), "l 1\n");
    EXPECT_EQ(read(first, 7), "");
    EXPECT_EQ(read(first, 1000), "");
    const auto second = open(node, O_RDONLY).handle;
    EXPECT_EQ(read(second, 0), "call 2\n");
    EXPECT_EQ(read(first, 5), "1\n");
    EXPECT_EQ(read(first, 0), "call 3\n");
}

TEST(TextFile, read_is_never_torn) {
    std::string text = "aaaaaaaaaa";
    const auto node = make_text_file({.text = [&] { return text; }});
    const auto handle = open(node, O_RDONLY).handle;
    EXPECT_EQ(read(handle, 0, 5), "aaaaa");
    text = "bbbbbbbbbb";
    EXPECT_EQ(read(handle, 5, 5), "aaaaa");
    EXPECT_EQ(read_all(node), "bbbbbbbbbb");
}

TEST(TextFile, failure_reaches_reader_and_error_file) {
    const auto log = error_log();
    const auto node =
        make_text_file({.name = "vmem", .errors = log->sink(), .text = [] {
                            return Checked<std::string>(make_fault(EFAULT, "not mapped"));
                        }});
    EXPECT_EQ(read_all(node), "errno " + std::to_string(EFAULT));
    EXPECT_EQ(log->text(), "1000 42 EFAULT vmem 'not mapped'\n");
}

struct Later {
    std::vector<std::pair<RequestPtr, CheckedReply<std::string>>> asked;
    SynthNodePtr node =
        make_text_file({.text_later = [this](RequestPtr request, CheckedReply<std::string> reply) {
            asked.emplace_back(std::move(request), std::move(reply));
        }});
};

TEST(TextFile, readers_of_one_open_share_a_capture_that_comes_later) {
    Later later;
    const auto handle = open(later.node, O_RDONLY).handle;
    const auto first = start_read(handle, 0, 2);
    const auto second = start_read(handle, 2, 2);
    EXPECT_FALSE(first->answered());
    ASSERT_EQ(later.asked.size(), 1u);
    later.asked[0].second(std::string("abcd"));
    EXPECT_EQ(first->text(), "ab");
    EXPECT_EQ(second->text(), "cd");
    EXPECT_EQ(read(handle, 1, 2), "bc");
}

TEST(TextFile, last_waiting_reader_takes_the_capture_along) {
    Later later;
    const auto handle = open(later.node, O_RDONLY).handle;
    const auto first = start_read(handle);
    const auto second = start_read(handle);
    first->request->cancel();
    EXPECT_EQ(first->errnum(), EINTR);
    EXPECT_FALSE(later.asked[0].first->cancelled());
    second->request->cancel();
    EXPECT_EQ(second->errnum(), EINTR);
    EXPECT_TRUE(later.asked[0].first->cancelled());

    const auto third = start_read(handle);
    ASSERT_EQ(later.asked.size(), 2u);
    later.asked[0].second(std::string("late"));
    EXPECT_FALSE(third->answered());
    later.asked[1].second(std::string("right"));
    EXPECT_EQ(third->text(), "right");
}

TEST(TextFile, answer_after_the_open_has_gone_goes_nowhere) {
    Later later;
    auto handle = open(later.node, O_RDONLY).handle;
    const auto pending = start_read(handle);
    handle.reset();
    EXPECT_EQ(pending->errnum(), EINTR);
    later.asked[0].second(std::string("late"));
}

struct Written {
    std::vector<TextWrite> messages;
    std::shared_ptr<ErrorLog> log = error_log();
    int fail = 0;
    SynthNodePtr node =
        make_text_file({.mode = 0644,
                        .name = "conf",
                        .errors = log->sink(),
                        .text = [] { return std::string("x\n"); },
                        .write =
                            [this](RequestPtr, TextWrite write, CheckedReply<> reply) {
                                messages.push_back(std::move(write));
                                if (fail != 0) {
                                    reply(make_fault(fail, "no"));
                                } else {
                                    reply(success());
                                }
                            }});
};

TEST(TextFile, write_tells_replace_from_append) {
    Written file;
    EXPECT_EQ(write_once(file.node, "a\n", O_WRONLY | O_TRUNC), 0);
    EXPECT_EQ(write_once(file.node, "b\n", O_WRONLY | O_APPEND), 0);
    EXPECT_EQ(write_once(file.node, "c\n", O_WRONLY), 0);
    ASSERT_EQ(file.messages.size(), 3u);
    EXPECT_TRUE(file.messages[0].truncate);
    EXPECT_FALSE(file.messages[0].append);
    EXPECT_FALSE(file.messages[1].truncate);
    EXPECT_TRUE(file.messages[1].append);
    EXPECT_FALSE(file.messages[2].truncate);
    EXPECT_FALSE(file.messages[2].append);
}

TEST(TextFile, long_text_in_pieces_replaces_once_and_then_adds) {
    Written file;
    std::string text;
    while (text.size() < 9'000) {
        text += "key value " + std::to_string(text.size()) + "\n";
    }
    const auto handle = open(file.node, O_WRONLY | O_TRUNC).handle;
    for (std::size_t at = 0; at < text.size(); at += 4096) {
        EXPECT_EQ(write(handle, text.substr(at, 4096)), 0);
    }
    std::string joined;
    for (const TextWrite& message : file.messages) {
        EXPECT_EQ(message.truncate, joined.empty());
        EXPECT_EQ(message.append, !joined.empty());
        joined += message.text;
    }
    EXPECT_EQ(joined, text);
}

TEST(TextFile, cut_last_line_is_told_when_the_writer_goes) {
    Written file;
    {
        const auto handle = open(file.node, O_WRONLY).handle;
        EXPECT_EQ(write(handle, std::string(1024, 'z')), 0);
    }
    EXPECT_TRUE(file.messages.empty());
    EXPECT_NE(file.log->text().find("EINVAL conf 'the last line was cut"), std::string::npos);
}

TEST(TextFile, refusals_carry_their_errno) {
    Written file;
    file.fail = EBUSY;
    EXPECT_EQ(write_once(file.node, "a\n"), EBUSY);
    EXPECT_EQ(write_once(file.node, std::string(kMaxMessage + 1, 'a')), E2BIG);
    EXPECT_NE(file.log->text().find("E2BIG conf"), std::string::npos);
    const auto read_only = make_text_file({.text = [] { return std::string(); }});
    EXPECT_EQ(open(read_only, O_WRONLY).errnum, EPERM);
    EXPECT_EQ(open(read_only, O_RDONLY | O_DIRECTORY).errnum, ENOTDIR);
    const auto handle = open(file.node, O_RDONLY).handle;
    EXPECT_EQ(write(handle, "x"), EBADF);
}

TEST(TextFile, retired_file_answers_enodev_everywhere) {
    Later later;
    const auto handle = open(later.node, O_RDONLY).handle;
    const auto waiting = start_read(handle);
    later.node->retire();
    EXPECT_EQ(waiting->errnum(), ENODEV);
    EXPECT_TRUE(later.asked[0].first->cancelled());
    EXPECT_EQ(read(handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(open(later.node, O_RDONLY).errnum, ENODEV);
    EXPECT_EQ(getattr_errnum(later.node), ENODEV);
}

TEST(TextFile, attributes_are_kept_in_the_node) {
    Written file;
    SetAttr change;
    change.mode = 0600;
    change.uid = 7;
    change.gid = 8;
    EXPECT_EQ(setattr(file.node, change), 0);
    const Attr attr = getattr(file.node);
    EXPECT_EQ(attr.mode, static_cast<mode_t>(S_IFREG | 0600));
    EXPECT_EQ(attr.uid, 7u);
    EXPECT_EQ(attr.gid, 8u);
    EXPECT_EQ(attr.identity.version, 0u);

    SetAttr mode, owner;
    mode.mode = 0640;
    owner.uid = 9;
    EXPECT_EQ(setattr(file.node, mode, 9), EPERM);
    EXPECT_EQ(setattr(file.node, mode, 7), 0);
    EXPECT_EQ(setattr(file.node, owner, 7), EPERM);
}

TEST(TextFile, truncating_clears_or_is_harmless_or_is_refused) {
    Written file;
    SetAttr zero, some;
    zero.size = 0;
    some.size = 5;
    EXPECT_EQ(setattr(file.node, zero), 0);
    EXPECT_EQ(setattr(file.node, some), EPERM);
    const auto fixed = make_text_file({.text = [] { return std::string(); }});
    EXPECT_EQ(setattr(fixed, zero), EPERM);
}

TEST(DataFile, reads_writes_and_truncates_at_offsets) {
    std::string bytes = "0123456789";
    const auto node = make_data_file(
        {.mode = 0644,
         .name = "mem",
         .size = [&] { return bytes.size(); },
         .read = [&](RequestPtr, std::uint64_t offset, std::span<std::byte> into,
                     CheckedReply<std::size_t> reply) { reply(copy_out(bytes, offset, into)); },
         .write =
             [&](RequestPtr, std::uint64_t offset, std::span<const std::byte> data,
                 CheckedReply<std::size_t> reply) {
                 bytes.resize(std::max<std::size_t>(bytes.size(), offset + data.size()));
                 std::memcpy(bytes.data() + offset, data.data(), data.size());
                 reply(data.size());
             },
         .truncate = [&](std::uint64_t size) -> Checked<> {
             bytes.resize(size);
             return success();
         }});
    EXPECT_EQ(getattr(node).size, 10u);
    const auto handle = open(node, O_RDWR).handle;
    EXPECT_EQ(read(handle, 3, 4), "3456");
    EXPECT_EQ(write(handle, "ab"), 0);
    EXPECT_EQ(bytes, "ab23456789");
    EXPECT_EQ(write_once(node, "end", O_WRONLY | O_APPEND), 0);
    EXPECT_EQ(bytes, "ab23456789end");
    EXPECT_EQ(open(node, O_WRONLY | O_TRUNC).errnum, 0);
    EXPECT_EQ(bytes, "");
}

}  // namespace
}  // namespace ennead::synthfs
