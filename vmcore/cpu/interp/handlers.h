// SPDX-License-Identifier: MIT
// One handler an operation, and how the handler of a decoded instruction is found.
#pragma once

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

// Each handles every encoding of its operation. False: the guest faulted (cpu.fault()), nothing has
// changed.
#define ENNEAD_OP(name) [[nodiscard]] bool exec_##name(Cpu& cpu, const Insn& insn);
#include "vmcore/cpu/decode/ops.inc"
#undef ENNEAD_OP

// The fastest handler for this very encoding: one made for its operand form and width where there
// is such a one, else that of its operation.
[[nodiscard]] Handler select_handler(const Insn& insn);

// The families with handlers a form; null for a form they do not have.
[[nodiscard]] Handler select_alu(const Insn& insn);
[[nodiscard]] Handler select_move(const Insn& insn);
[[nodiscard]] Handler select_shift(const Insn& insn);
[[nodiscard]] Handler select_branch(const Insn& insn);
[[nodiscard]] Handler select_stack(const Insn& insn);

}  // namespace ennead::vmcore
