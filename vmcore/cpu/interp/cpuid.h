// SPDX-License-Identifier: MIT
// What CPUID says of this processor.
#pragma once

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Family 6, model 0x1c, stepping 10, an in-order P6: Linux knows no errata for it, trusts its PAT
// and time-stamp counter, and counts it among the processors that do not speculate, so that it
// spends nothing on page-table isolation.
inline constexpr u32 kCpuSignature = 0x000106ca;

// The TSC, the core crystal and with it the local APIC timer before its divider all run at 1 GHz,
// so that a TSC tick is a nanosecond of machine time. CPUID leaf 0x15 says so.
inline constexpr u32 kCrystalHz = 1'000'000'000;

struct CpuidResult {
    u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};

[[nodiscard]] CpuidResult cpuid(const CpuState& state, u32 leaf, u32 subleaf);

}  // namespace ennead::vmcore
