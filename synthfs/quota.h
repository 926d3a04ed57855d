// SPDX-License-Identifier: MIT
// How many bytes a guest may add to the host's file systems, and how many it has added.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "synthfs/result.h"

namespace ennead::synthfs {

// What outlives the process that counts: shared memory, all zero at first. In bytes of the host's
// blocks (st_blocks).
struct QuotaCounters {
    std::atomic<std::uint64_t> limit;   // 0: none
    std::atomic<std::uint64_t> layers;  // used in layers that are the guest's alone
    std::atomic<std::uint64_t> binds;   // used in directories of the host; never below zero
    std::atomic<std::uint64_t>
        unlinked;  // of both: of files without names, which end with the process
    std::atomic<std::uint64_t> refused;  // operations that were

    [[nodiscard]] std::uint64_t used() const { return layers + binds + unlinked; }
};

// The thread that owns the trees, but for counters().
class Quota {
  public:
    enum class Kind { layer, bind };
    static constexpr std::uint64_t kEndless = std::numeric_limits<std::uint64_t>::max();

    // `when_full` is called when something is refused that was not the time before.
    explicit Quota(std::shared_ptr<QuotaCounters> counters, std::function<void()> when_full = {});

    // What a layer holds already is counted when a limit is first met: a process before this one
    // may have ended in the middle of a change.
    void add_layer(std::function<std::uint64_t()> count);

    // Whether there is a limit. Where there is none nothing is counted. Asked before each change.
    [[nodiscard]] bool on();
    // Bytes that may be added yet.
    [[nodiscard]] std::uint64_t room();
    // EDQUOT, if `room` is not enough for what is wanted.
    [[nodiscard]] std::error_code refuse();

    // A change under way may take so much.
    void reserve(std::uint64_t bytes) { reserved_ += bytes; }
    void release(std::uint64_t bytes) { reserved_ -= bytes; }
    // What the host's file has more or less now. `unlinked`: it has no name.
    void add(Kind kind, std::int64_t bytes, bool unlinked = false);
    // A file of so many bytes has lost its last name while it is used. Gives how many of them are
    // now counted as unlinked: those of its kind may be fewer, if it was there before the guest.
    [[nodiscard]] std::uint64_t unlink(Kind kind, std::uint64_t bytes);

    [[nodiscard]] const QuotaCounters& counters() const { return *counters_; }

  private:
    [[nodiscard]] std::atomic<std::uint64_t>& of(Kind kind) {
        return kind == Kind::layer ? counters_->layers : counters_->binds;
    }

    const std::shared_ptr<QuotaCounters> counters_;
    const std::function<void()> when_full_;
    std::vector<std::function<std::uint64_t()>> layers_;
    std::size_t counted_ = 0;  // of them
    bool begun_ = false;
    std::uint64_t given_back_ = 0;  // since they were counted
    bool full_ = false;
    std::uint64_t reserved_ = 0;
};

}  // namespace ennead::synthfs
