// SPDX-License-Identifier: MIT
// Delivery of exceptions and interrupts through the IVT or IDT (SDM vol 3A §6).
#pragma once

#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

// All of these change the whole state (CS:EIP, stack, EFLAGS, perhaps the task) or, when the
// guest's tables are at fault, deliver what follows from that: a second fault, #DF, and finally a
// shutdown. False: shutdown (the CPU can do nothing more until reset).

// An exception that the instruction at state.eip raised; next_eip is what a trap pushes.
[[nodiscard]] bool deliver_fault(Cpu& cpu, const GuestFault& fault);
// INTR with the acknowledged vector, between instructions (state.eip is the next instruction).
[[nodiscard]] bool deliver_interrupt(Cpu& cpu, u8 vector);
[[nodiscard]] bool deliver_nmi(Cpu& cpu);

// INT n, INT3, INTO, INT1 from their handlers: pushes next_eip. Unlike the above it may fail with a
// fault of the instruction itself (#GP for a gate's DPL, and so on): false, with cpu.fault() set.
enum class SoftwareInterrupt { int_n, int3, into, int1 };
[[nodiscard]] bool software_interrupt(Cpu& cpu, u8 vector, SoftwareInterrupt kind);

}  // namespace ennead::vmcore
