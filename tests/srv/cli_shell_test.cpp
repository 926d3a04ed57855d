// SPDX-License-Identifier: MIT
// What `exec` types, and what it reads out of a console.
#include "srv/ennead/cli_shell.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace ennead::srv {
namespace {

// What the host's own shell prints for a script.
std::string printed(const std::string& script) {
    FILE* pipe = popen(script.c_str(), "r");
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) {
        text += static_cast<char>(c);
    }
    EXPECT_EQ(pclose(pipe), 0) << script;
    return text;
}

std::string all_bytes_but_nul() {
    std::string bytes;
    for (int byte = 1; byte < 256; byte++) {
        bytes += static_cast<char>(byte);
    }
    return bytes;
}

TEST(ShellQuote, a_shell_gives_every_byte_back) {
    const std::string word = all_bytes_but_nul() + "''$HOME`x`\\";
    EXPECT_EQ(printed("printf %s " + quote_for_shell(word)), word);
    EXPECT_EQ(quote_for_shell(""), "''");
    EXPECT_EQ(quote_for_shell("it's"), R"('it'\''s')");
}

TEST(PrintfEncoding, printf_gives_every_byte_back_and_lines_are_plain) {
    const std::string bytes = all_bytes_but_nul() + std::string(3, '\0') + "7\\0.-";
    const std::string encoded = encode_for_printf(bytes);
    EXPECT_EQ(printed("printf %b " + quote_for_shell(encoded)), bytes);
    for (const char c : encoded) {
        EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
    }
    EXPECT_EQ(encode_for_printf("."), "\\0056");
    EXPECT_EQ(encode_for_printf("-"), "\\0055");
}

TEST(InputLine, takes_as_much_as_fits) {
    const std::string bytes(1500, 'a');
    std::string_view rest = bytes;
    EXPECT_EQ(take_input_line(rest), std::string(kMaxLine, 'a') + '\n');
    EXPECT_EQ(rest.size(), 500u);
    const std::string zeros(300, '\0');
    rest = zeros;
    EXPECT_EQ(take_input_line(rest).size(), kMaxLine + 1);
    EXPECT_EQ(rest.size(), 100u);
    EXPECT_LT(kMaxUnacknowledged * (kMaxLine + 1), 4095u);
}

// The guest's side, played by the host's shell, once it has the terminal.
std::string dialogue(const ShellCommand& command, const std::string& input) {
    return printed("f() { " + command_lines("77", command).insert(0, "cat <<'E'\n") + input +
                   "E\n}; f | (c=; while IFS= read -r l && [ \"$l\" ]; do c=$c$l; done; "
                   "eval \"$(printf %b \"$c\")\")");
}

TEST(CommandLines, run_the_command_between_marks) {
    EXPECT_EQ(
        dialogue({.arguments = {"printf", "%s|", "it's", "", "a  b"}, .with_input = false}, ""),
        "\x1e"
        "77S\x1eit's||a  b|\x1e"
        "77E0\x1e");
    EXPECT_EQ(
        dialogue({.arguments = {"sh", "-c", "echo bad >&2; exit 9"}, .with_input = false}, ""),
        "\x1e"
        "77S\x1e"
        "bad\n\x1e"
        "77E9\x1e");
}

TEST(CommandLines, give_it_the_input_and_acknowledge_each_line) {
    MarkScanner scanner("77");
    scanner.add(dialogue({.arguments = {"cat"}}, "ab\nc\\0012\n.\n"));
    std::string text, kinds;
    while (const auto mark = scanner.next(text)) {
        kinds += mark->kind;
    }
    EXPECT_EQ(text, "abc\n");
    EXPECT_EQ(kinds.size(), 4u) << kinds;
    EXPECT_EQ(kinds.front(), 'S');
    EXPECT_EQ(kinds.find('A'), 1u);
    EXPECT_NE(kinds.find('E'), std::string::npos);
}

TEST(EntryLine, fits_the_line_editor_of_busybox) {
    EXPECT_LT(entry_line("0123456789abcdef").size(), 1000u);
}

TEST(MarkScanner, finds_marks_however_the_output_is_cut) {
    const std::string output =
        "be\x1e"
        "fore\x1eT"
        "E137\x1e"
        "after\x1e"
        "TX\x1e\x1eTE1234\x1e";
    for (std::size_t cut = 0; cut <= output.size(); cut++) {
        MarkScanner scanner("T");
        std::string text;
        std::string seen;
        for (const std::string& piece : {output.substr(0, cut), output.substr(cut)}) {
            scanner.add(piece);
            while (const auto mark = scanner.next(text)) {
                seen += text + '<' + mark->kind + std::to_string(mark->number) + '>';
                text.clear();
            }
        }
        seen += text + scanner.take_rest();
        EXPECT_EQ(seen,
                  "be\x1e"
                  "fore<E137>after<X0>\x1eTE1234\x1e")
            << cut;
    }
}

std::string shown(std::string_view bytes) {
    PromptLine line;
    line.add(bytes);
    return line.text().value_or("?");
}

TEST(PromptLine, follows_what_line_editors_do) {
    EXPECT_EQ(shown("old\r\nvm1:~# echo"), "vm1:~# echo");
    EXPECT_EQ(shown("# abc\b\x1b[J"), "# ab");
    EXPECT_EQ(shown("# half\r# \x1b[J printf"), "#  printf");
    EXPECT_EQ(shown("# abc\b \b\b \b"), "# a  ");
    EXPECT_EQ(shown("\x1b[1;32mu\x1b[0m$ x\x1b[2Dy"), "u$yx");
    EXPECT_EQ(shown("$ ab\x1b[2D\x1b[1P"), "$ b");
    EXPECT_EQ(shown("$ \xc3\xa4\xc3\xb6\b\x1b[K"), "$ \xc3\xa4");
    EXPECT_EQ(shown("junk\x1e$ x"), "$ x");
}

TEST(PromptLine, says_nothing_where_it_cannot_tell) {
    EXPECT_EQ(shown("$ a\x1b[2A"), "?");
    EXPECT_EQ(shown("$ a\x1b"), "?");
    EXPECT_EQ(shown("$ a\tb"), "?");
    EXPECT_EQ(shown("$ a\x1b[2A\n$ b"), "$ b");
}

}  // namespace
}  // namespace ennead::srv
