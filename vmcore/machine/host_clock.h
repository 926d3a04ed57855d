// SPDX-License-Identifier: MIT
// Machine time from the host's CLOCK_MONOTONIC; stands still while the machine is paused.
#pragma once

#include "vmcore/devices/clock.h"

namespace ennead::vmcore {

// Starts stopped, at 0. vCPU thread only.
class HostClock : public Clock {
  public:
    [[nodiscard]] u64 now_ns() const override {
        return running_ ? host_ns() - offset_ : stopped_at_;
    }
    // As the host's kernel believes: it takes CLOCK_MONOTONIC from the counter itself.
    [[nodiscard]] bool follows_host_tsc() const override { return host_uses_tsc_; }
    void run();
    void stop();
    // Back to 0, running or not as before: the machine was powered on anew.
    void restart();

    // CLOCK_MONOTONIC of the moment `machine_ns`; only meaningful while the clock runs.
    [[nodiscard]] u64 host_deadline_ns(u64 machine_ns) const { return machine_ns + offset_; }
    [[nodiscard]] static u64 host_ns();

  private:
    [[nodiscard]] static bool host_uses_tsc();

    const bool host_uses_tsc_ = host_uses_tsc();
    bool running_ = false;
    u64 offset_ = 0;  // host time minus machine time
    u64 stopped_at_ = 0;
};

}  // namespace ennead::vmcore
