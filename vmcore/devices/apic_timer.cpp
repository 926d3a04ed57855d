// SPDX-License-Identifier: MIT
// The timer of the local APIC: one-shot, periodic and TSC-deadline (Intel SDM vol 3A §10.5.4).
#include <algorithm>

#include "vmcore/devices/apic.h"

namespace ennead::vmcore {
namespace {

constexpr u32 kMasked = 1u << 16;
// A guest that did not take its periodic interrupts for longer than this has lost them.
constexpr u64 kMaxCatchUpNs = 2'000'000'000;
// Periodic interrupts come no closer together than this: the guest, not the timer queue, shall get
// the time.
constexpr u64 kMinGapNs = 10'000;

}  // namespace

LocalApic::TimerMode LocalApic::timer_mode() const {
    const auto mode = static_cast<TimerMode>(lvt_[kLvtTimer] >> 17 & 3);
    if (mode == TimerMode::tsc_deadline && !wiring_.tsc_to_ns) {
        return TimerMode::reserved;
    }
    return mode;
}

unsigned LocalApic::divisor() const {
    // Divide configuration register, figure 10-10: bits 3, 1, 0 give 2, 4 … 128, and 1 for 111b.
    const unsigned code = (divide_ >> 1 & 4) | (divide_ & 3);
    return code == 7 ? 1 : 2u << code;
}

// One count lasts `divisor()` nanoseconds.
static_assert(LocalApic::kTimerHz == 1'000'000'000);

u32 LocalApic::current_count() const {
    if (initial_count_ == 0 || timer_mode() == TimerMode::tsc_deadline) {
        return 0;
    }
    if (timer_mode() != TimerMode::periodic && ticks_given_ != 0) {
        return 0;
    }
    const u64 counts = (timers_.now_ns() - timer_start_ns_) / divisor();
    if (timer_mode() == TimerMode::periodic) {
        return static_cast<u32>(initial_count_ - counts % initial_count_);
    }
    return counts >= initial_count_ ? 0 : static_cast<u32>(initial_count_ - counts);
}

// Goes on from `current`, which is at most `initial`; 0 means that a one-shot count is used up.
void LocalApic::start_timer(u32 initial, u32 current) {
    initial_count_ = initial;
    ticks_given_ = 0;
    timer_.cancel();
    if (initial == 0) {
        return;  // "A write of 0 to the initial-count register effectively stops the local APIC
                 // timer"
    }
    if (current == 0) {
        if (timer_mode() != TimerMode::periodic) {
            ticks_given_ = 1;
            return;
        }
        current = initial;
    }
    // May wrap shortly after power-on; all uses subtract it again.
    timer_start_ns_ = timers_.now_ns() - u64{initial - current} * divisor();
    arm_timer(0);
}

void LocalApic::arm_timer(u64 earliest_ns) {
    const u64 period = u64{initial_count_} * divisor();
    timer_.arm_at_ns(std::max(timer_start_ns_ + (ticks_given_ + 1) * period, earliest_ns));
}

bool LocalApic::timer_interrupt() {
    const u32 lvt = lvt_[kLvtTimer];
    return (lvt & kMasked) == 0 && accept(static_cast<u8>(lvt), false);
}

void LocalApic::fire_timer() {
    switch (timer_mode()) {
        case TimerMode::one_shot:
        case TimerMode::reserved:
            ticks_given_ = 1;
            timer_interrupt();
            break;
        case TimerMode::periodic:
            fire_periodic();
            break;
        case TimerMode::tsc_deadline:
            // "When the deadline is reached, the timer is disarmed", the MSR reads 0.
            tsc_deadline_ = 0;
            timer_interrupt();
            break;
    }
}

// A tick that finds its predecessor still waiting is given later, so that a guest which counts
// ticks keeps its time when the host was late.
void LocalApic::fire_periodic() {
    const u64 period = u64{initial_count_} * divisor();
    const u64 due = (timers_.now_ns() - timer_start_ns_) / period;
    const u64 most = std::max<u64>(1, kMaxCatchUpNs / std::max(period, kMinGapNs));
    const bool masked = (lvt_[kLvtTimer] & kMasked) != 0;
    if (masked || period < kMinGapNs) {
        ticks_given_ = due > 0 ? due - 1 : 0;
    } else if (due > ticks_given_ + most) {
        ticks_given_ = due - most;
    }
    if (due > ticks_given_ && !requested(static_cast<u8>(lvt_[kLvtTimer]))) {
        ticks_given_++;
        timer_interrupt();
    }
    arm_timer(timers_.now_ns() + std::max(kMinGapNs, period / 4));
}

u64 LocalApic::tsc_deadline() const {
    return timer_mode() == TimerMode::tsc_deadline ? tsc_deadline_ : 0;
}

void LocalApic::write_tsc_deadline(u64 tsc) {
    if (timer_mode() != TimerMode::tsc_deadline) {
        return;  // "In other timer modes, the WRMSR is ignored."
    }
    tsc_deadline_ = tsc;
    tsc_changed();
}

void LocalApic::tsc_changed() {
    if (timer_mode() != TimerMode::tsc_deadline) {
        return;
    }
    if (tsc_deadline_ == 0) {
        timer_.cancel();
    } else {
        timer_.arm_at_ns(wiring_.tsc_to_ns(tsc_deadline_));
    }
}

}  // namespace ennead::vmcore
