// SPDX-License-Identifier: MIT
// The debug registers: which breakpoints are armed and which an access hits (SDM vol 3B §17.2).
#pragma once

#include "vmcore/cpu/mmu/page_walk.h"
#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// DR6 and DR7.
namespace debug {
inline constexpr u32 kDr6Bd = 1u << 13, kDr6Bs = 1u << 14, kDr6Bt = 1u << 15;
// Bits of DR6 that always read as one.
inline constexpr u32 kDr6Fixed = 0xffff0ff0;
inline constexpr u32 kDr7Gd = 1u << 13, kDr7Fixed = 0x400, kDr7LocalEnables = 0x155,
                     kDr7Enables = 0xff;
}  // namespace debug

struct BreakpointKinds {
    bool instruction = false, data = false, port = false;
};

[[nodiscard]] BreakpointKinds armed_breakpoints(const CpuState& state);

// The B0…B3 bits of DR6 for the breakpoints hit. As on hardware a breakpoint that is not enabled
// does not match.
[[nodiscard]] u32 match_data_breakpoints(const CpuState& state, LinearAddr address, u32 size,
                                         Access access);
[[nodiscard]] u32 match_port_breakpoints(const CpuState& state, Port port, u32 size);
// An instruction that starts at `address`. The caller looks at EFLAGS.RF.
[[nodiscard]] u32 match_instruction_breakpoints(const CpuState& state, LinearAddr address);

}  // namespace ennead::vmcore
