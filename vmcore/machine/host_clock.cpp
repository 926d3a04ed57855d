// SPDX-License-Identifier: MIT
// Reads CLOCK_MONOTONIC and keeps the time a machine has missed.
#include "vmcore/machine/host_clock.h"

#include <ctime>
#include <fstream>
#include <string>

namespace ennead::vmcore {

u64 HostClock::host_ns() {
    std::timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<u64>(t.tv_sec) * 1'000'000'000u + static_cast<u64>(t.tv_nsec);
}

// Kernels trust a counter that is invariant and in step on all processors, or else name another
// source.
bool HostClock::host_uses_tsc() {
    std::string name;
    std::ifstream("/sys/devices/system/clocksource/clocksource0/current_clocksource") >> name;
    return name == "tsc";
}

void HostClock::run() {
    if (!running_) {
        offset_ = host_ns() - stopped_at_;
        running_ = true;
    }
}

void HostClock::stop() {
    stopped_at_ = now_ns();
    running_ = false;
}

void HostClock::restart() {
    stopped_at_ = 0;
    offset_ = host_ns();
}

}  // namespace ennead::vmcore
