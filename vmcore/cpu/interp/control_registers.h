// SPDX-License-Identifier: MIT
// Loads of the control registers, with what they check and flush (SDM vol 3A §2.5, §4.10.4).
#pragma once

#include <array>

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// The bits of CR4 that CPUID offers; setting another one is #GP(0).
inline constexpr u32 kSupportedCr4 = cr4::kVme | cr4::kPvi | cr4::kTsd | cr4::kDe | cr4::kPse |
                                     cr4::kPae | cr4::kPge | cr4::kPce | cr4::kOsfxsr |
                                     cr4::kOsxmmexcpt;

// As MOV to CR0, CR3 and CR4 do, after the privilege check. False: #GP(0), nothing changed.
[[nodiscard]] bool write_cr0(Cpu& cpu, u32 value);
[[nodiscard]] bool write_cr3(Cpu& cpu, u32 value);
[[nodiscard]] bool write_cr4(Cpu& cpu, u32 value);

// CR3 with PDPTEs that were read (and checked) before; what is cached of pages that are not global
// goes.
void load_cr3(Cpu& cpu, u32 value, const std::array<u64, 4>& pdptes);

}  // namespace ennead::vmcore
