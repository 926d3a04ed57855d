// SPDX-License-Identifier: MIT
// A stream: every open follows what comes, some with the history kept; reads wait (`cons`, `com1`,
// `events`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

// Every reader gets everything in order. One that falls behind by more than the ring holds goes on
// at the oldest byte kept; in a stream of lines it is told `lost k`, k lines, and goes on at a
// line's beginning.
class StreamFile final : public SynthNode {
  public:
    struct Options {
        mode_t mode = 0444;
        std::string name{};
        ErrorSink errors{};

        std::size_t capacity = 256 * 1024;  // bytes kept for readers; at least one
        std::size_t history = 256 * 1024;   // of these, what a new open starts with at most
        bool lines = false;                 // reads give whole lines while they fit

        // Takes what is written; without it the stream cannot be written. Answers with the bytes
        // taken; EAGAIN when its queue is full, EPIPE after the end. `data` is valid until the
        // answer.
        std::function<void(RequestPtr, std::span<const std::byte> data, CheckedReply<std::size_t>)>
            write{};
        // Whether a write would be taken now; call wake() when that becomes true. Without it:
        // always.
        std::function<bool()> can_take{};
        // The number of opens for reading has changed; not told any more once the file is retired.
        std::function<void(std::size_t)> on_readers{};
    };
    static std::shared_ptr<StreamFile> make(Options options);
    explicit StreamFile(Options options);

    [[nodiscard]] bool is_stream() const override { return true; }

    void append(std::string_view bytes);
    // For those who can answer: reaches, in its place among what is appended, the opens alone that
    // are for reading and writing. It is not kept for later ones; of an open that falls behind by
    // more than kMaxAsides, the oldest are dropped.
    void append_aside(std::string_view bytes);
    static constexpr std::size_t kMaxAsides = 64;
    // Readers get what is left, then the end of file; opens later get the history, then the end of
    // file.
    void set_eof();
    // The stream goes on. An open that has not yet read the end of file still meets it in its
    // place.
    void reopen();
    [[nodiscard]] bool at_eof() const { return eof_; }
    // Looks again whether polling writers can go on.
    void wake();

    [[nodiscard]] std::size_t reader_count() const { return readers_; }

  protected:
    [[nodiscard]] bool can_write() const override { return static_cast<bool>(options_.write); }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

  private:
    friend class StreamHandle;
    using Position = std::uint64_t;  // bytes since the stream's beginning

    // Where one of the stream's runs, between two reopen(), ended.
    struct End {
        std::uint64_t run;
        Position at;
    };

    void make_room(std::size_t bytes);
    void drop(std::size_t bytes);
    [[nodiscard]] Position end() const { return begin_ + used_; }
    // The bytes from `from` on that lie side by side in the ring.
    [[nodiscard]] std::string_view piece(Position from) const;
    // The first line that begins at `at` or later; in a stream of bytes `at` itself.
    [[nodiscard]] Position line_begin(Position at) const;
    [[nodiscard]] std::uint64_t newlines_before(Position at) const;
    void readers_changed(int by);

    Options options_;
    std::vector<char> ring_;  // grows up to the capacity
    std::size_t head_ = 0;    // index of the oldest byte
    std::size_t used_ = 0;
    Position begin_ = 0;                  // of the oldest byte
    std::uint64_t newlines_dropped_ = 0;  // before `begin_`
    std::uint64_t run_ = 0;
    bool eof_ = false;
    std::deque<End> ends_;  // of earlier runs, as far as an open may still meet them
    std::size_t readers_ = 0;
};

}  // namespace ennead::synthfs
