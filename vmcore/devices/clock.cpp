// SPDX-License-Identifier: MIT
// Keeps timers in order of their deadlines.
#include "vmcore/devices/clock.h"

namespace ennead::vmcore {

void TimerQueue::run_due() {
    // The time is taken once: a timer that arms itself for "now" again waits for the next call.
    const u64 now = clock_.now_ns();
    while (!armed_.empty() && armed_.begin()->first <= now) {
        Timer* timer = armed_.begin()->second;
        const u64 deadline = timer->deadline_;
        timer->cancel();
        timer->fire_();
        if (timer->armed() && timer->deadline_ <= deadline) {
            break;
        }
    }
}

void Timer::arm_at_ns(u64 deadline_ns) {
    cancel();
    if (deadline_ns != TimerQueue::kNever) {
        deadline_ = deadline_ns;
        queue_.armed_.insert({deadline_, this});
    }
}

void Timer::cancel() {
    if (deadline_ != TimerQueue::kNever) {
        queue_.armed_.erase({deadline_, this});
        deadline_ = TimerQueue::kNever;
    }
}

}  // namespace ennead::vmcore
