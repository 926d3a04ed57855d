// SPDX-License-Identifier: MIT
// Lets emitted code tell machine time without asking the clock each time.
#pragma once

#include "vmcore/cpu/jit/context.h"
#include "vmcore/devices/clock.h"

namespace ennead::vmcore::jit {

// Keeps JitContext::tsc. What emitted code makes of it is never ahead of the clock: a look reads
// the clock before the counter, and the rate is taken too low by more than a clock is ever slewed.
// So time does not go back when the next look is taken, and it lags by less than 0.2 us before.
// vCPU thread only.
class TscRate {
  public:
    TscRate(const Clock& clock, HostTsc& tsc) : clock_(clock), tsc_(tsc) {}
    // From now on, and not for long, the counter tells.
    void look();
    // The clock may stand still from here on.
    void forget() { tsc_.window = 0; }

  private:
    const Clock& clock_;
    HostTsc& tsc_;
    bool began_ = false;
    u64 first_ticks_ = 0, first_ns_ = 0;  // what the rate is measured from
};

}  // namespace ennead::vmcore::jit
