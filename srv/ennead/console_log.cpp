// SPDX-License-Identifier: MIT
// Keeps console output twice: the last part in memory for `cons`, all of it on disk for `log`.
#include "srv/ennead/console_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "synthfs/data_file.h"
#include "synthfs/result.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::make_fault;
using synthfs::RequestPtr;

Checked<std::unique_ptr<ConsoleLog>> ConsoleLog::make(int directory_fd, synthfs::ErrorSink errors,
                                                      Write input) {
    Fd file(openat(directory_fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) {
        return make_fault(errno, "log: %s", std::strerror(errno));
    }
    return std::unique_ptr<ConsoleLog>(
        new ConsoleLog(std::move(file), std::move(errors), std::move(input)));
}

ConsoleLog::ConsoleLog(Fd file, synthfs::ErrorSink errors, Write input)
    : file_(std::move(file)), errors_(std::move(errors)) {
    synthfs::StreamFile::Options options;
    options.mode = 0600;
    options.name = "cons";
    options.errors = errors_;
    options.write = std::move(input);
    stream_ = synthfs::StreamFile::make(std::move(options));

    synthfs::DataFile data{.mode = 0644, .name = "log", .errors = errors_};
    data.size = [this] { return size_; };
    data.read = [this](RequestPtr, std::uint64_t offset, std::span<std::byte> into,
                       CheckedReply<std::size_t> reply) {
        const ssize_t n = pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
        if (n < 0) {
            reply(make_fault(errno, "log: %s", std::strerror(errno)));
        } else {
            reply(static_cast<std::size_t>(n));
        }
    };
    data.truncate = [this](std::uint64_t size) -> Checked<> {
        if (size != 0) {
            return make_fault(EINVAL, "a log can only be cleared");
        }
        if (ftruncate(file_.get(), 0) != 0) {
            return make_fault(errno, "log: %s", std::strerror(errno));
        }
        size_ = 0;
        kept_ = kTellAgain;
        return synthfs::success();
    };
    log_ = synthfs::make_data_file(std::move(data));
}

void ConsoleLog::append(std::string_view bytes) {
    std::string text = std::exchange(begun_, {});
    text += bytes;
    std::string_view rest = text;
    for (std::size_t at = 0; (at = rest.find(kCursorQuestion)) != std::string_view::npos;) {
        keep(rest.substr(0, at));
        stream_->append_aside(kCursorQuestion);
        rest.remove_prefix(at + kCursorQuestion.size());
    }
    std::size_t begun = std::min(rest.size(), kCursorQuestion.size() - 1);
    while (!rest.ends_with(kCursorQuestion.substr(0, begun))) {
        begun--;
    }
    keep(rest.substr(0, rest.size() - begun));
    begun_ = rest.substr(rest.size() - begun);
}

void ConsoleLog::end() {
    keep(std::exchange(begun_, {}));
    stream_->set_eof();
}

void ConsoleLog::keep(std::string_view bytes) {
    stream_->append(bytes);
    while (!bytes.empty()) {
        const ssize_t n =
            pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
        if (n <= 0) {
            if (std::exchange(kept_, 0) >= kTellAgain && errors_) {
                synthfs::ErrorRecord record;
                record.errnum = errno;
                record.file = "log";
                record.text = std::string("output is lost: ") + std::strerror(errno);
                errors_(std::move(record));
            }
            return;
        }
        kept_ += static_cast<std::uint64_t>(n);
        size_ += static_cast<std::uint64_t>(n);
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    log_->touch();
}

}  // namespace ennead::srv
