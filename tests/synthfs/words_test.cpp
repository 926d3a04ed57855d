// SPDX-License-Identifier: MIT
// Splitting, quoting, numbers, and texts that come in pieces.
#include "synthfs/words.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ennead::synthfs {
namespace {

std::vector<std::string> split(std::string_view line) {
    auto words = split_words(line);
    std::vector<std::string> texts;
    if (words) {
        for (const Word& word : words.value()) {
            texts.push_back(word.text);
        }
    } else {
        texts.push_back("fault: " + words.error().text);
    }
    return texts;
}

using Texts = std::vector<std::string>;

TEST(Words, split_at_blanks_and_tabs) {
    EXPECT_EQ(split("  set\tmem  128M "), (Texts{"set", "mem", "128M"}));
    EXPECT_EQ(split(""), Texts{});
    EXPECT_EQ(split(" \t "), Texts{});
}

TEST(Words, quotes_protect_and_double_to_themselves) {
    EXPECT_EQ(split("'a b' c"), (Texts{"a b", "c"}));
    EXPECT_EQ(split("it''s"), (Texts{"its"}));
    EXPECT_EQ(split("'it''s'"), (Texts{"it's"}));
    EXPECT_EQ(split("append='console=ttyS0 quiet'x"), (Texts{"append=console=ttyS0 quietx"}));
    EXPECT_EQ(split("set name ''"), (Texts{"set", "name", ""}));
    EXPECT_EQ(split("''''"), (Texts{"'"}));
}

TEST(Words, open_quote_names_its_column) {
    const auto words = split_words("set append 'abc");
    ASSERT_FALSE(words);
    EXPECT_EQ(words.error().errnum, EINVAL);
    EXPECT_EQ(words.error().text, "quote not closed");
    EXPECT_EQ(words.error().column, 11u);
    EXPECT_EQ(words.error().command, "set append 'abc");
}

TEST(Words, nul_bytes_are_refused) {
    const auto words = split_words(std::string_view("a\0b", 3));
    ASSERT_FALSE(words);
    EXPECT_EQ(words.error().column, 1u);
}

TEST(Words, words_know_their_columns) {
    const auto words = split_words("  a 'b c' d");
    ASSERT_TRUE(words);
    EXPECT_EQ(words.value()[0].column, 2u);
    EXPECT_EQ(words.value()[1].column, 4u);
    EXPECT_EQ(words.value()[2].column, 10u);
}

TEST(Words, quote_is_read_back) {
    for (const std::string text : {"", "a", "a b", "it's", "'", "''", "#x", "\t", "x=y z", "a#"}) {
        const auto words = split(quote(text));
        EXPECT_EQ(words, Texts{text}) << quote(text);
        EXPECT_EQ(parse_commands(quote(text) + "\n").value().size(), 1u) << quote(text);
    }
    EXPECT_EQ(quote("plain"), "plain");
}

TEST(Words, comments_and_blank_lines_are_left_out) {
    const auto commands = parse_commands("# first\n\n  start\n \t\n  # x\nset mem 1G");
    ASSERT_TRUE(commands);
    ASSERT_EQ(commands.value().size(), 2u);
    EXPECT_EQ(commands.value()[0].line, "  start");
    EXPECT_EQ(commands.value()[0].words[0].column, 2u);
    EXPECT_EQ(commands.value()[1].verb(), "set");
    EXPECT_EQ(commands.value()[1].arg_count(), 2u);
    EXPECT_EQ(commands.value()[1].rest(), "mem 1G");
    EXPECT_EQ(commands.value()[1].rest(1), "1G");
}

Word word(std::string text) {
    return {std::move(text), 3};
}

TEST(Words, numbers_are_strict) {
    EXPECT_EQ(parse_number(word("0")).value(), 0u);
    EXPECT_EQ(parse_number(word("0x1fF")).value(), 0x1ffu);
    EXPECT_EQ(parse_number(word("18446744073709551615")).value(), ~0ull);
    for (const char* bad :
         {"", "-1", "+1", "1x", "x1", "0x", "18446744073709551616", " 1", "0x-1", "0X10", "1.5"}) {
        const auto number = parse_number(word(bad));
        ASSERT_FALSE(number) << bad;
        EXPECT_EQ(number.error().errnum, EINVAL);
        EXPECT_EQ(number.error().column, 3u);
    }
    EXPECT_EQ(parse_number(word("5"), {1, 4}).error().text, "5: from 1 to 4");
    EXPECT_EQ(parse_number(word("0"), {.min = 1}).error().text, "0: at least 1");
}

TEST(Words, sizes_take_units) {
    EXPECT_EQ(parse_size(word("4096")).value(), 4096u);
    EXPECT_EQ(parse_size(word("64K")).value(), 65536u);
    EXPECT_EQ(parse_size(word("128M")).value(), 128u << 20);
    EXPECT_EQ(parse_size(word("2G")).value(), 2ull << 30);
    for (const char* bad : {"", "K", "1k", "1KB", "1T", "17179869184G", "-1M", "1.5G"}) {
        EXPECT_FALSE(parse_size(word(bad))) << bad;
    }
    EXPECT_EQ(parse_size(word("1G"), {16u << 20, 512u << 20}).error().text, "1G: from 16M to 512M");
}

TEST(Words, sizes_are_printed_as_they_are_read) {
    for (const std::uint64_t size :
         {0ull, 1ull, 1024ull, 1536ull, 128ull << 20, 3ull << 30, ~0ull}) {
        EXPECT_EQ(parse_size(word(format_size(size))).value(), size) << format_size(size);
    }
    EXPECT_EQ(format_size(128u << 20), "128M");
}

TEST(Words, times_default_to_seconds) {
    using std::chrono::microseconds;
    EXPECT_EQ(parse_time(word("5")).value(), microseconds(5'000'000));
    EXPECT_EQ(parse_time(word("5s")).value(), microseconds(5'000'000));
    EXPECT_EQ(parse_time(word("20ms")).value(), microseconds(20'000));
    EXPECT_EQ(parse_time(word("7us")).value(), microseconds(7));
    for (const char* bad : {"", "s", "1m", "1 s", "0x5", "-1", "9223372036855s", "1ns"}) {
        EXPECT_FALSE(parse_time(word(bad))) << bad;
    }
}

TEST(Words, switches_are_on_or_off) {
    EXPECT_TRUE(parse_switch(word("on")).value());
    EXPECT_FALSE(parse_switch(word("off")).value());
    EXPECT_FALSE(parse_switch(word("1")));
}

std::string add(MessageAssembler& assembler, std::string_view piece) {
    auto text = assembler.add(std::as_bytes(std::span(piece.data(), piece.size())));
    return text ? text.value() : "errno " + std::to_string(text.error().errnum);
}

TEST(MessageAssembler, gives_a_short_line_without_newline_at_once) {
    MessageAssembler assembler;
    EXPECT_EQ(add(assembler, "start"), "start");
    EXPECT_EQ(assembler.held(), "");
}

TEST(MessageAssembler, joins_a_line_cut_by_a_full_buffer) {
    const std::string line = "set append 0123456789\n";
    std::string text;
    while (text.size() < 10'000) {
        text += line;
    }
    MessageAssembler assembler;
    std::string joined;
    for (std::size_t at = 0; at < text.size(); at += 4096) {
        const std::string part = add(assembler, text.substr(at, 4096));
        EXPECT_TRUE(part.ends_with('\n'));
        joined += part;
    }
    EXPECT_EQ(joined, text);
    EXPECT_EQ(assembler.held(), "");
}

TEST(MessageAssembler, a_line_may_span_several_pieces) {
    MessageAssembler assembler;
    EXPECT_EQ(add(assembler, std::string(1024, 'a')), "");
    EXPECT_EQ(add(assembler, std::string(1024, 'b')), "");
    EXPECT_EQ(add(assembler, "c\n"), std::string(1024, 'a') + std::string(1024, 'b') + "c\n");
}

TEST(MessageAssembler, refuses_what_is_too_long) {
    MessageAssembler assembler;
    EXPECT_EQ(add(assembler, std::string(kMaxMessage, '\n')).size(), kMaxMessage);
    EXPECT_EQ(add(assembler, std::string(kMaxMessage + 1, '\n')), "errno " + std::to_string(E2BIG));
    EXPECT_EQ(add(assembler, std::string(kMaxMessage, 'a')), "");
    EXPECT_EQ(add(assembler, std::string(1024, 'a')), "errno " + std::to_string(E2BIG));
    EXPECT_EQ(assembler.held(), "");
}

}  // namespace
}  // namespace ennead::synthfs
