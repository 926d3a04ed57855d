// SPDX-License-Identifier: MIT
// What far jumps, calls, returns, interrupts and task gates have in common: entering a code
// segment.
#pragma once

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Where a transfer goes, once everything about it has been checked.
struct CodeTarget {
    Segment cs;
    u32 eip = 0;
};

// CS:EIP as the handler's result: next_eip for the interpreter's loop, and state.eip for deliveries
// outside of it. CPL becomes that of CS's RPL (real mode: 0, virtual-8086: 3) and the mode is
// derived again if it changed.
void commit_code(Cpu& cpu, const CodeTarget& target);
// The same with a new privilege and stack.
void commit_code_and_stack(Cpu& cpu, const CodeTarget& target, const Segment& ss, u32 esp);

// CS in real-address and virtual-8086 mode.
[[nodiscard]] Segment flat_mode_cs(const Cpu& cpu, u16 selector);

// Where a gate may lead: a jump never changes the level (SDM vol 2A, JMP).
enum class GateLevels { same, same_or_inner };
// The code segment a call gate, interrupt gate or trap gate points at. It must be code of a level
// that `levels` allows and present: #GP, #NP with the selector. `inner`: a non-conforming segment
// of an inner level.
[[nodiscard]] bool gate_code_segment(Cpu& cpu, u16 selector, GateLevels levels, Descriptor& out,
                                     bool& inner, u16 ext = 0);
// Its CS at privilege `cpl`, with the accessed bit set.
[[nodiscard]] bool code_from(Cpu& cpu, Descriptor& descriptor, u16 selector, unsigned cpl,
                             Segment& out);

}  // namespace ennead::vmcore
