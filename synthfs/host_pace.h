// SPDX-License-Identifier: MIT
// Whether the host's disk keeps its writers waiting, now.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

namespace ennead::synthfs {

// A write goes to the host's page cache and takes microseconds, until more lies there than the disk
// can take; from then on the kernel holds up whoever writes. No flag says so beforehand (RWF_NOWAIT
// is not for cached writes on every file system), so a write that took long is taken for the
// beginning of such a spell, and writes that follow are better done where waiting does no harm.
class HostPace {
  public:
    using Clock = std::chrono::steady_clock;
    using Now = std::function<Clock::time_point()>;

    static constexpr std::chrono::milliseconds kLong{1};
    static constexpr std::chrono::milliseconds kSpell{100};  // without another long one

    explicit HostPace(Now now = &Clock::now) : now_(std::move(now)) {}

    [[nodiscard]] Clock::time_point now() const { return now_(); }
    [[nodiscard]] bool slow() const { return now_() < slow_until_; }
    // A call to the host lasted from `begin` to `end`.
    void took(Clock::time_point begin, Clock::time_point end) {
        if (end - begin >= kLong) {
            slow_until_ = end + kSpell;
        }
    }

  private:
    Now now_;
    Clock::time_point slow_until_{};
};

}  // namespace ennead::synthfs
