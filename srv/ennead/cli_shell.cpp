// SPDX-License-Identifier: MIT
// What is typed at a guest's shell, and reading what comes back.
#include "srv/ennead/cli_shell.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace ennead::srv {
namespace {

constexpr char kSeparator = 0x1e;
constexpr char kEscape = 0x1b;

// printf's argument that prints a mark; `t` is the token in the guest's shell.
std::string mark(std::string_view rest) {
    return R"("\036${t})" + std::string(rest) + R"(\036")";
}

}  // namespace

std::string quote_for_shell(std::string_view word) {
    std::string quoted = "'";
    for (const char c : word) {
        quoted += c == '\'' ? std::string(R"('\'')") : std::string(1, c);
    }
    return quoted + '\'';
}

std::string encode_for_printf(std::string_view bytes) {
    constexpr std::string_view kPlain = " \"#$&'()*+,/:;<=>?@[]^_`{|}~";
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        const bool alphanumeric = byte < 0x80 && std::isalnum(byte) != 0;
        if (alphanumeric || kPlain.find(c) != std::string_view::npos) {
            text += c;
        } else {
            char octal[8];
            std::snprintf(octal, sizeof octal, "\\0%03o", byte);
            text += octal;
        }
    }
    return text;
}

std::string probe_line(const std::string& token) {
    return "\x05\x15" + std::string(kProbeEcho) + "%sP\\036' " + token + '\n';
}

std::string entry_line(const std::string& token) {
    // A shell of its own, which outlives Ctrl-C and the hang-up at the machine's end to say what
    // became of the command. The line stays well below 1023 bytes, BusyBox's limit.
    return " sh -c 't=" + token +
           ";trap : HUP INT TERM;s=$(stty -g)&&stty icanon isig -iexten -echo -opost noflsh||"
           "{ printf " +
           mark("X") + ";exit;};printf " + mark("R") +
           ";c=;while IFS= read -r l&&[ \"$l\" ];do case $l in -)c=;break;;esac;c=$c$l;done;"
           "eval \"$(printf %b \"$c\")\";stty \"$s\";printf " +
           R"("\036${t}D\036\r\033[K")" + "'\n";
}

std::string command_lines(const std::string& token, const ShellCommand& command) {
    std::string words;
    for (const std::string& argument : command.arguments) {
        words += quote_for_shell(argument) + ' ';
    }
    // Through cat: programs find a pipe, and print as they do into one.
    std::string script = "t=" + token + "\nexec 3>&1\nprintf " + mark("S") + '\n';
    if (command.with_input) {
        // A command that has ended takes no more input, which is thrown away until its end.
        script +=
            "(trap '' HUP INT PIPE TERM; while IFS= read -r l && [ \"$l\" != . ]; do "
            "printf %b \"$l\" 2>/dev/null; printf " +
            mark("A") + " >&3; done) | ";
    }
    script += "{ trap : HUP INT TERM; (" + words + "); printf " + mark("E$?") + "; } " +
              (command.with_input ? "" : "</dev/null ") +
              "2>&1 3>&- | (trap '' HUP INT TERM; exec cat 3>&-)\n";
    if (!command.afterwards.empty()) {
        script += command.afterwards + " >/dev/null 2>&1\n";
    }
    const std::string encoded = encode_for_printf(script);
    std::string lines;
    for (std::size_t at = 0; at < encoded.size(); at += kMaxLine) {
        lines += encoded.substr(at, kMaxLine) + '\n';
    }
    return lines + '\n';
}

std::string take_input_line(std::string_view& bytes) {
    std::string line;
    while (!bytes.empty()) {
        const std::string encoded = encode_for_printf(bytes.substr(0, 1));
        if (line.size() + encoded.size() > kMaxLine) {
            break;
        }
        line += encoded;
        bytes.remove_prefix(1);
    }
    return line + '\n';
}

std::optional<Mark> MarkScanner::next(std::string& text) {
    constexpr std::size_t kMaxNumber = 3;
    while (true) {
        const std::size_t at = held_.find(lead_);
        if (at == std::string::npos) {
            std::size_t begun = std::min(held_.size(), lead_.size() - 1);
            while (!held_.ends_with(std::string_view(lead_).substr(0, begun))) {
                begun--;
            }
            text += held_.substr(0, held_.size() - begun);
            held_.erase(0, held_.size() - begun);
            return std::nullopt;
        }
        text += held_.substr(0, at);
        held_.erase(0, at);
        std::size_t end = lead_.size() + 1;
        while (end < held_.size() && end <= lead_.size() + kMaxNumber &&
               std::isdigit(static_cast<unsigned char>(held_[end])) != 0) {
            end++;
        }
        if (end >= held_.size()) {
            return std::nullopt;
        }
        if (held_[end] == kSeparator) {
            const Mark found{
                held_[lead_.size()],
                static_cast<unsigned>(std::strtoul(held_.c_str() + lead_.size() + 1, nullptr, 10))};
            held_.erase(0, end + 1);
            return found;
        }
        text += held_.front();  // only looks like one
        held_.erase(0, 1);
    }
}

void PromptLine::add(std::string_view bytes) {
    for (const char c : bytes) {
        if (!sequence_.empty()) {
            sequence_ += c;
            const bool introducer = sequence_.size() == 2 && c == '[';
            if (sequence_.size() == 2 && !introducer) {
                known_ = false;
                sequence_.clear();
            } else if (!introducer && c >= 0x40 && c <= 0x7e) {
                control_sequence(c);
                sequence_.clear();
            }
        } else if (c == kEscape) {
            sequence_ = c;
        } else {
            put(c);
        }
    }
}

void PromptLine::put(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n' || c == kSeparator) {
        *this = PromptLine();  // behind a mark, which is on no terminal's line, a prompt begins
    } else if (c == '\r') {
        column_ = 0;
    } else if (c == '\b') {
        column_ -= column_ > 0 ? 1 : 0;
    } else if (c == '\a') {
        // A bell is no place.
    } else if (byte < 0x20 || byte == 0x7f) {
        known_ = false;
    } else if ((byte & 0xc0) == 0x80) {
        if (column_ > 0) {
            cells_[column_ - 1] += c;
        }
    } else {
        if (column_ == cells_.size()) {
            cells_.emplace_back();
        }
        cells_[column_++] = c;
    }
}

void PromptLine::control_sequence(char final) {
    const unsigned long parameter = std::strtoul(sequence_.c_str() + 2, nullptr, 10);
    const std::size_t count = parameter == 0 ? 1 : parameter;
    if (final == 'm' || final == 'h' || final == 'l' || final == 'n') {
        return;  // colours, modes, questions
    }
    if ((final == 'J' || final == 'K') && parameter == 0) {
        cells_.resize(column_);
    } else if (final == 'D') {
        column_ -= std::min(column_, count);
    } else if (final == 'C') {
        column_ = std::min(cells_.size(), column_ + count);
    } else if (final == 'P') {
        const std::size_t end = std::min(cells_.size(), column_ + count);
        cells_.erase(cells_.begin() + static_cast<std::ptrdiff_t>(column_),
                     cells_.begin() + static_cast<std::ptrdiff_t>(end));
    } else {
        known_ = false;
    }
}

std::optional<std::string> PromptLine::text() const {
    if (!known_ || !sequence_.empty()) {
        return std::nullopt;
    }
    std::string line;
    for (const std::string& cell : cells_) {
        line += cell;
    }
    return line;
}

}  // namespace ennead::srv
