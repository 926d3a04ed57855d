// SPDX-License-Identifier: MIT
// The machine's time, and timers that fire in it.
#pragma once

#include <functional>
#include <limits>
#include <set>
#include <utility>

#include "vmcore/types.h"

namespace ennead::vmcore {

// Nanoseconds of machine time: starts at 0 at power-on, follows the host's CLOCK_MONOTONIC, stands
// still while the machine is paused. Every counter a guest can read (TSC, PIT, APIC timer, PM
// timer, RTC) derives from it, so they all agree.
class Clock {
  public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual u64 now_ns() const = 0;
    // Whether the host's time stamp counter runs along with it, at a rate that may drift slowly and
    // from a moment that changes only while no guest code runs.
    [[nodiscard]] virtual bool follows_host_tsc() const { return false; }
};

// Moves only when told to: for tests.
class ManualClock : public Clock {
  public:
    [[nodiscard]] u64 now_ns() const override { return now_; }
    void advance_ns(u64 ns) { now_ += ns; }

  private:
    u64 now_ = 0;
};

class Timer;

// The timers of one machine; fired by the vCPU thread between runs of guest code. vCPU thread only.
class TimerQueue {
  public:
    static constexpr u64 kNever = std::numeric_limits<u64>::max();

    explicit TimerQueue(const Clock& clock) : clock_(clock) {}

    [[nodiscard]] const Clock& clock() const { return clock_; }
    [[nodiscard]] u64 now_ns() const { return clock_.now_ns(); }
    // When the next timer wants to fire; kNever if none is armed.
    [[nodiscard]] u64 next_deadline_ns() const {
        return armed_.empty() ? kNever : armed_.begin()->first;
    }
    // Fires what is due, in order of deadline. A timer may arm itself again from its function.
    void run_due();

  private:
    friend class Timer;
    const Clock& clock_;
    std::set<std::pair<u64, Timer*>> armed_;
};

// One deadline and what happens then.
class Timer {
  public:
    Timer(TimerQueue& queue, std::function<void()> fire) : queue_(queue), fire_(std::move(fire)) {}
    ~Timer() { cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    // Replaces an earlier deadline. One in the past fires at the next run_due().
    void arm_at_ns(u64 deadline_ns);
    void cancel();
    [[nodiscard]] bool armed() const { return deadline_ != TimerQueue::kNever; }
    [[nodiscard]] u64 deadline_ns() const { return deadline_; }

  private:
    friend class TimerQueue;
    TimerQueue& queue_;
    std::function<void()> fire_;
    u64 deadline_ = TimerQueue::kNever;
};

}  // namespace ennead::vmcore
