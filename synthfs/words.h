// SPDX-License-Identifier: MIT
// The language of every file that is written: lines of words, quoted as by Plan 9's tokenize(2),
// and the notations of sizes, times and numbers (vm(4)).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "synthfs/fault.h"

namespace ennead::synthfs {

// The longest message, and the longest line; above it a write fails with E2BIG.
inline constexpr std::size_t kMaxMessage = 64 * 1024;

struct Word {
    std::string text;
    std::size_t column = 0;  // byte position in its line
};

// One line of a message that is neither blank nor a comment.
struct Command {
    std::string line;         // as written, without the newline
    std::vector<Word> words;  // never empty; the first is the verb or key

    [[nodiscard]] const std::string& verb() const { return words.front().text; }
    [[nodiscard]] std::size_t arg_count() const { return words.size() - 1; }
    // Argument `index`, counted from 0, the verb left out.
    [[nodiscard]] const Word& arg(std::size_t index) const { return words[index + 1]; }
    // The rest of the line as one text: arguments `first` and later, joined by single blanks.
    [[nodiscard]] std::string rest(std::size_t first = 0) const;
};

// Words are separated by blanks and tabs; single quotes protect both, and stand for themselves when
// doubled inside quotes. EINVAL for a quote that is not closed or a NUL byte.
[[nodiscard]] Checked<std::vector<Word>> split_words(std::string_view line);

// All lines of a message; blank lines and lines whose first word begins with '#' are left out.
[[nodiscard]] Checked<std::vector<Command>> parse_commands(std::string_view text);

// `word` so that split_words gives it back as one word. It must not contain a newline.
[[nodiscard]] std::string quote(std::string_view word);

// Strict: the whole word, no sign, no overflow. Faults have the word's column.
struct Bounds {
    std::uint64_t min = 0;
    std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};
// Decimal, or hexadecimal after 0x.
[[nodiscard]] Checked<std::uint64_t> parse_number(const Word& word, Bounds bounds = {});
// A number that may be followed by K, M or G.
[[nodiscard]] Checked<std::uint64_t> parse_size(const Word& word, Bounds bounds = {});
// A decimal number followed by us, ms, s or nothing, which means s.
[[nodiscard]] Checked<std::chrono::microseconds> parse_time(const Word& word);
// `on` or `off`.
[[nodiscard]] Checked<bool> parse_switch(const Word& word);

// The shortest form that parse_size reads back as `bytes`.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

// Joins the pieces in which programs write one text. A write is a message of whole lines and is
// applied at once, with or without a newline at its end, since nothing may happen at close. But
// what comes from a buffered writer (stdio, cat, cp) is cut wherever the buffer was full: a piece
// whose length is a multiple of the smallest such buffer (1024) and which does not end a line
// leaves its last line to the next write.
class MessageAssembler {
  public:
    // The lines to apply now; empty if the whole piece waits. E2BIG if piece or line is too long.
    [[nodiscard]] Checked<std::string> add(std::span<const std::byte> piece);
    // What waits for its end.
    [[nodiscard]] const std::string& held() const { return held_; }
    void drop() { held_.clear(); }

  private:
    std::string held_;
};

}  // namespace ennead::synthfs
