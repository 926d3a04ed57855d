// SPDX-License-Identifier: MIT
// The last failures of a directory's files in words, since an errno carries none: what `error`
// files show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

class ErrorLog : public std::enable_shared_from_this<ErrorLog> {
  public:
    // Keeps the last `capacity` records. `now_usec` gives microseconds since 1970; by default the
    // host's clock.
    static std::shared_ptr<ErrorLog> make(std::size_t capacity,
                                          std::function<std::uint64_t()> now_usec = {});

    void add(ErrorRecord record);
    void clear() { entries_.clear(); }

    // How many records were ever added.
    [[nodiscard]] std::uint64_t added() const { return added_; }
    // The text of the latest record that was added after the first `before`, of this errno and
    // file; empty if there is none.
    [[nodiscard]] std::string words_since(std::uint64_t before, int errnum,
                                          std::string_view file) const;

    // Oldest first; of each: `usec pid errno file 'text'`, and if a command was at fault, that line
    // and a caret under the word.
    [[nodiscard]] std::string text() const;

    // For the files whose failures belong here. Keeps the log alive.
    [[nodiscard]] ErrorSink sink();

  private:
    struct Entry {
        std::uint64_t usec;
        ErrorRecord record;
    };

    ErrorLog(std::size_t capacity, std::function<std::uint64_t()> now_usec);

    std::size_t capacity_;
    std::function<std::uint64_t()> now_usec_;
    std::deque<Entry> entries_;
    std::uint64_t added_ = 0;
};

// The `error` file: reads the log's text; O_TRUNC clears it.
[[nodiscard]] SynthNodePtr make_error_file(std::shared_ptr<ErrorLog> log, mode_t mode = 0644);

}  // namespace ennead::synthfs
