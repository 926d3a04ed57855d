// SPDX-License-Identifier: MIT
// The way of nearly every interrupt, exception, system call and return: between flat segments at
// CPL 0 and 3, with tables and stacks that are in plain memory and need no change.
#pragma once

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// These only do what they have found to succeed in every part. False: nothing has changed and
// nothing is said about the transfer; the general code (interrupt.cpp, far_return.cpp), which
// defines it, does it or faults.

// What goes through the gate of a vector.
struct FlatEvent {
    u8 vector = 0;
    bool software = false;  // the gate's DPL counts
    bool has_error_code = false;
    u16 error_code = 0;
    u32 flags = 0;  // as pushed
    u32 return_eip = 0;
};
[[nodiscard]] bool enter_flat(Cpu& cpu, const FlatEvent& event);

// IRET with 32-bit operands in protected mode.
[[nodiscard]] bool iret_flat(Cpu& cpu);

}  // namespace ennead::vmcore
