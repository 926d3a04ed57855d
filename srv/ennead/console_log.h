// SPDX-License-Identifier: MIT
// What a VM printed: the stream `cons` and the file `log`, which outlive the VM's process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "srv/ennead/supervisor.h"
#include "synthfs/stream_file.h"

namespace ennead::srv {

class ConsoleLog {
  public:
    using Write = std::function<void(synthfs::RequestPtr, std::span<const std::byte>,
                                     synthfs::CheckedReply<std::size_t>)>;

    // `directory_fd`: where the log's backing file is made. `input` takes what is written to
    // `cons`.
    static synthfs::Checked<std::unique_ptr<ConsoleLog>> make(int directory_fd,
                                                              synthfs::ErrorSink errors,
                                                              Write input);

    // A shell's line editor (BusyBox's, after every prompt) asks the terminal where its cursor is,
    // and a terminal types its answer. Whoever only looks at the output has nobody there to take
    // it, and would find it typed into a shell of his own. So this question goes to those alone who
    // have `cons` open for reading and writing, when it is asked; everything else goes to all.
    static constexpr std::string_view kCursorQuestion = "\x1b[6n";

    void append(std::string_view bytes);
    // The machine is off, or on again.
    void end();
    void go_on() { stream_->reopen(); }

    [[nodiscard]] const std::shared_ptr<synthfs::StreamFile>& stream() const { return stream_; }
    [[nodiscard]] const synthfs::SynthNodePtr& log() const { return log_; }

  private:
    ConsoleLog(Fd file, synthfs::ErrorSink errors, Write input);

    void keep(std::string_view bytes);

    Fd file_;
    std::string begun_;  // what may be the beginning of a question
    std::uint64_t size_ = 0;
    synthfs::ErrorSink errors_;
    // Bytes that reached the file since some did not. A disk that is nearly full takes one line and
    // not the next: a loss is told again only after this much.
    static constexpr std::uint64_t kTellAgain = 64 * 1024;
    std::uint64_t kept_ = kTellAgain;
    std::shared_ptr<synthfs::StreamFile> stream_;
    synthfs::SynthNodePtr log_;
};

}  // namespace ennead::srv
