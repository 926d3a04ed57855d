// SPDX-License-Identifier: MIT
// Keeping failures, and printing them with a caret under the word at fault.
#include "synthfs/error_log.h"

#include <cstring>
#include <ctime>
#include <utility>

#include "synthfs/text_file.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

namespace {

constexpr std::size_t kIndent = 4;
constexpr std::size_t kLongestShown = 160;  // bytes of a command

std::uint64_t host_usec() {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool continues_character(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;  // UTF-8
}

// `text` as one line that cannot drive the reader's terminal.
std::string harmless(std::string_view text) {
    std::string line(text);
    for (char& c : line) {
        if (is_control(c) && c != '\t') {
            c = '?';
        }
    }
    return line;
}

// The command, or the part of a long one around the place at fault, and the caret below it.
void print_command(std::string& out, std::string_view command, std::optional<std::size_t> column) {
    std::size_t begin = 0;
    const std::size_t place = std::min(column.value_or(0), command.size());
    if (command.size() > kLongestShown) {
        begin = place > kLongestShown / 2 ? place - kLongestShown / 2 : 0;
        while (begin < place && continues_character(command[begin])) {
            ++begin;
        }
    }
    std::size_t end = std::min(command.size(), begin + kLongestShown);
    while (end < command.size() && continues_character(command[end])) {
        ++end;
    }
    const std::string before = std::string(kIndent, ' ') + (begin > 0 ? "..." : "");
    const std::string shown = harmless(command.substr(begin, end - begin));
    out += before + shown + (end < command.size() ? "..." : "") + '\n';
    if (!column) {
        return;
    }
    out.append(before.size(), ' ');
    for (const char c : shown.substr(0, place - begin)) {
        // Tabs stay tabs, so that the caret stands right whatever their width.
        if (!continues_character(c)) {
            out += c == '\t' ? '\t' : ' ';
        }
    }
    out += "^\n";
}

}  // namespace

ErrorLog::ErrorLog(std::size_t capacity, std::function<std::uint64_t()> now_usec)
    : capacity_(capacity), now_usec_(now_usec ? std::move(now_usec) : host_usec) {}

std::shared_ptr<ErrorLog> ErrorLog::make(std::size_t capacity,
                                         std::function<std::uint64_t()> now_usec) {
    return std::shared_ptr<ErrorLog>(new ErrorLog(capacity, std::move(now_usec)));
}

void ErrorLog::add(ErrorRecord record) {
    if (record.text.empty()) {
        record.text = fault_of(error(record.errnum)).text;
    }
    entries_.push_back({now_usec_(), std::move(record)});
    ++added_;
    while (entries_.size() > capacity_) {
        entries_.pop_front();
    }
}

std::string ErrorLog::words_since(std::uint64_t before, int errnum, std::string_view file) const {
    std::uint64_t number = added_;
    for (auto at = entries_.rbegin(); at != entries_.rend() && number > before; ++at, --number) {
        if (at->record.errnum == errnum && at->record.file == file) {
            return at->record.text;
        }
    }
    return {};
}

std::string ErrorLog::text() const {
    std::string out;
    for (const auto& [usec, record] : entries_) {
        const char* name = ::strerrorname_np(record.errnum);
        out += std::to_string(usec) + ' ' + std::to_string(record.pid) + ' ' +
               (name != nullptr ? name : std::to_string(record.errnum).c_str()) + ' ' +
               quote(harmless(record.file));
        // Quoted even where it needs none: the field is always found between quotes.
        std::string text = quote(harmless(record.text));
        if (!text.starts_with('\'')) {
            text = '\'' + text + '\'';
        }
        out += ' ' + text + '\n';
        if (!record.command.empty()) {
            print_command(out, record.command, record.column);
        }
    }
    return out;
}

ErrorSink ErrorLog::sink() {
    return [self = shared_from_this()](ErrorRecord record) { self->add(std::move(record)); };
}

SynthNodePtr make_error_file(std::shared_ptr<ErrorLog> log, mode_t mode) {
    TextFile file;
    file.mode = mode;
    file.name = "error";
    file.text = [log] { return log->text(); };
    file.truncate = [log]() -> Checked<> {
        log->clear();
        return success();
    };
    return make_text_file(std::move(file));
}

}  // namespace ennead::synthfs
