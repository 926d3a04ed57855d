// SPDX-License-Identifier: MIT
// The host counter's rate, measured against the clock.
#include "vmcore/cpu/jit/tsc_rate.h"

#include <x86intrin.h>

namespace ennead::vmcore::jit {
namespace {

// Long enough for the time between the two readings of a look not to matter.
constexpr u64 kMeasureNs = 50'000'000;
// Some 0.1 ms, so that the rate's error stays small.
constexpr u64 kWindowTicks = u64{1} << 18;
// 1/1024: twice of what adjtimex(2) may slew a clock by.
constexpr unsigned kMarginShift = 10;

}  // namespace

void TscRate::look() {
    if (!clock_.follows_host_tsc()) {
        return;
    }
    const u64 now = clock_.now_ns();
    const u64 ticks = __rdtsc();
    const u64 passed = now - first_ns_, counted = ticks - first_ticks_;
    const bool began = began_;
    if (!began || passed >= kMeasureNs) {
        began_ = true;
        first_ns_ = now;
        first_ticks_ = ticks;
    }
    if (began && passed >= kMeasureNs && counted != 0) {
        const auto scale =
            static_cast<u64>((static_cast<__uint128_t>(passed) << HostTsc::kScaleBits) / counted);
        tsc_.scale = scale - (scale >> kMarginShift);
    }
    if (tsc_.scale != 0) {
        tsc_.then_ns = now;
        tsc_.from = ticks;
        tsc_.window = kWindowTicks;
    }
}

}  // namespace ennead::vmcore::jit
