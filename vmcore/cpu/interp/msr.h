// SPDX-License-Identifier: MIT
// The model-specific registers that exist.
#pragma once

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

inline constexpr u64 kApicBaseBsp = 1u << 8, kApicBaseEnable = 1u << 11;
inline constexpr u64 kMiscFastStrings = 1u << 0, kMiscLimitCpuid = 1u << 22;

// False: #GP(0) was raised, because there is no such register or it does not take the value. The
// caller has checked the privilege.
[[nodiscard]] bool read_msr(Cpu& cpu, u32 index, u64& value);
[[nodiscard]] bool write_msr(Cpu& cpu, u32 index, u64 value);

}  // namespace ennead::vmcore
