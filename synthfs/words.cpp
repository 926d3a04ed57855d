// SPDX-License-Identifier: MIT
// Splitting lines into words, and reading numbers.
#include "synthfs/words.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace ennead::synthfs {

namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

// One word of `line` from `at`, which is not blank; `at` ends up behind it.
Checked<Word> take_word(std::string_view line, std::size_t& at) {
    Word word{{}, at};
    constexpr std::size_t kNowhere = std::string_view::npos;
    std::size_t opened = kNowhere;  // where the quote that is open began
    for (; at < line.size(); ++at) {
        const char c = line[at];
        if (c == '\0') {
            return Fault{EINVAL, "a NUL byte is not text", std::string(line), at};
        }
        if (c == '\'') {
            if (opened == kNowhere) {
                opened = at;
            } else if (at + 1 < line.size() && line[at + 1] == '\'') {
                word.text += c;
                ++at;
            } else {
                opened = kNowhere;
            }
        } else if (opened == kNowhere && is_blank(c)) {
            break;
        } else {
            word.text += c;
        }
    }
    if (opened != kNowhere) {
        return Fault{EINVAL, "quote not closed", std::string(line), opened};
    }
    return word;
}

Fault bad_word(const Word& word, std::string text) {
    return {EINVAL, std::move(text), {}, word.column};
}

// The number at the front of `text`, which is shortened by it; nothing if there is none or it is
// too big.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    const bool hex = text.starts_with("0x");
    if (hex) {
        text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    const auto [end, code] =
        std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
    if (code != std::errc{}) {
        return {};
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

Checked<std::uint64_t> within(const Word& word, std::uint64_t value, Bounds bounds,
                              std::string (*show)(std::uint64_t)) {
    if (value >= bounds.min && value <= bounds.max) {
        return value;
    }
    if (bounds.max == Bounds{}.max) {
        return bad_word(word, quote(word.text) + ": at least " + show(bounds.min));
    }
    return bad_word(word,
                    quote(word.text) + ": from " + show(bounds.min) + " to " + show(bounds.max));
}

std::string show_number(std::uint64_t value) {
    return std::to_string(value);
}

}  // namespace

std::string Command::rest(std::size_t first) const {
    std::string text;
    for (std::size_t i = first + 1; i < words.size(); ++i) {
        if (!text.empty()) {
            text += ' ';
        }
        text += words[i].text;
    }
    return text;
}

Checked<std::vector<Word>> split_words(std::string_view line) {
    std::vector<Word> words;
    for (std::size_t at = 0; at < line.size();) {
        if (is_blank(line[at])) {
            ++at;
            continue;
        }
        auto word = take_word(line, at);
        if (!word) {
            return word.error();
        }
        words.push_back(std::move(word.value()));
    }
    return words;
}

Checked<std::vector<Command>> parse_commands(std::string_view text) {
    std::vector<Command> commands;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));

        const std::size_t first = line.find_first_not_of(" \t");
        if (first == std::string_view::npos || line[first] == '#') {
            continue;
        }
        auto words = split_words(line);
        if (!words) {
            return words.error();
        }
        commands.push_back({std::string(line), std::move(words.value())});
    }
    return commands;
}

std::string quote(std::string_view word) {
    if (!word.empty() && word.find_first_of(" \t'") == std::string_view::npos &&
        word.front() != '#') {
        return std::string(word);
    }
    std::string quoted = "'";
    for (const char c : word) {
        quoted += c;
        if (c == '\'') {
            quoted += c;
        }
    }
    return quoted + "'";
}

Checked<std::uint64_t> parse_number(const Word& word, Bounds bounds) {
    std::string_view text = word.text;
    const auto value = take_number(text);
    if (!value || !text.empty()) {
        return bad_word(word, quote(word.text) + " is not a number");
    }
    return within(word, *value, bounds, show_number);
}

Checked<std::uint64_t> parse_size(const Word& word, Bounds bounds) {
    std::string_view text = word.text;
    const auto value = take_number(text);
    unsigned shift = 0;
    if (text == "K") {
        shift = 10;
    } else if (text == "M") {
        shift = 20;
    } else if (text == "G") {
        shift = 30;
    } else if (!text.empty()) {
        return bad_word(word, quote(word.text) + " is not a size, such as 4096, 64K, 128M or 2G");
    }
    if (!value || *value > (Bounds{}.max >> shift)) {
        return bad_word(word, quote(word.text) + " is not a size, such as 4096, 64K, 128M or 2G");
    }
    return within(word, *value << shift, bounds, format_size);
}

Checked<std::chrono::microseconds> parse_time(const Word& word) {
    std::string_view text = word.text;
    const bool decimal = !text.starts_with("0x");
    const auto value = take_number(text);
    std::int64_t unit_us = 1'000'000;
    if (text == "us") {
        unit_us = 1;
    } else if (text == "ms") {
        unit_us = 1'000;
    } else if (!text.empty() && text != "s") {
        unit_us = 0;
    }
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    if (!decimal || !value || unit_us == 0 || *value > static_cast<std::uint64_t>(kMax / unit_us)) {
        return bad_word(word, quote(word.text) + " is not a time, such as 5, 5s, 20ms or 100us");
    }
    return std::chrono::microseconds(static_cast<std::int64_t>(*value) * unit_us);
}

Checked<bool> parse_switch(const Word& word) {
    if (word.text == "on" || word.text == "off") {
        return word.text == "on";
    }
    return bad_word(word, quote(word.text) + " is neither on nor off");
}

std::string format_size(std::uint64_t bytes) {
    constexpr std::uint64_t kKilo = 1024;
    const char* const units[] = {"", "K", "M", "G"};
    unsigned unit = 0;
    while (unit < 3 && bytes != 0 && bytes % kKilo == 0) {
        bytes /= kKilo;
        ++unit;
    }
    return std::to_string(bytes) + units[unit];
}

Checked<std::string> MessageAssembler::add(std::span<const std::byte> piece) {
    constexpr std::size_t kSmallestBuffer = 1024;
    if (piece.size() > kMaxMessage) {
        drop();
        return make_fault(E2BIG, "a message of %zu bytes is over %zu", piece.size(), kMaxMessage);
    }
    std::string text = std::move(held_);
    held_.clear();
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    const bool cut = !piece.empty() && piece.size() % kSmallestBuffer == 0 && text.back() != '\n';
    if (cut) {
        const std::size_t newline = text.rfind('\n');
        const std::size_t whole = newline == std::string::npos ? 0 : newline + 1;
        if (text.size() - whole > kMaxMessage) {
            return make_fault(E2BIG, "a line is over %zu bytes", kMaxMessage);
        }
        held_ = text.substr(whole);
        text.resize(whole);
    }
    return text;
}

}  // namespace ennead::synthfs
