// SPDX-License-Identifier: MIT
// Tasks: the TSS's stacks for inner privilege levels, and the switch from one TSS to another (SDM
// vol 3A §7).
#pragma once

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

enum class TaskSwitch {
    jump,   // JMP: no link back, the old task is free again
    nest,   // CALL, interrupt or exception: NT and a link back, both tasks busy
    leave,  // IRET with NT: back along the link
};

// Checks what a selector that comes from a gate, a far pointer or a back link must be: a TSS in the
// GDT, present, and free (or busy, for `leave`). Raises as.vector(selector), or #NP(selector).
[[nodiscard]] bool read_tss_descriptor(Cpu& cpu, u16 selector, TaskSwitch kind, Descriptor& out,
                                       CheckAs as);

// Switches to the task of `tss`, which read_tss_descriptor() has passed; `return_eip` is what the
// old task goes on with. On success EIP (state.eip and cpu.next_eip) is the new task's. A failure
// in the part before the commit leaves the old task as it was; one behind it is a fault of the new
// task, and EIP is already the new one (SDM vol 3A §7.3, "faults … in the context of the new
// task").
[[nodiscard]] bool switch_task(Cpu& cpu, u16 selector, Descriptor tss, TaskSwitch kind,
                               u32 return_eip, u16 ext = 0);

// SS and ESP of privilege level `level` from the current TSS, with SS's descriptor checked: #TS,
// #SS, #NP.
struct InnerStack {
    Segment ss;
    u32 esp = 0;
};
[[nodiscard]] bool read_inner_stack(Cpu& cpu, unsigned level, InnerStack& out, u16 ext = 0);

// Whether the current TSS is of the 32-bit kind.
[[nodiscard]] bool current_tss_is_32bit(const CpuState& state);

}  // namespace ennead::vmcore
