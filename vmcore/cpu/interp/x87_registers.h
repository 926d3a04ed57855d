// SPDX-License-Identifier: MIT
// The x87 encodings without a memory operand.
#pragma once

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::x87 {

// Executes the encoding `opcode` (D8…DF), `modrm` (C0…FF), control instructions excepted; FCMOVcc
// reads EFLAGS and FCOMI writes it. False if there is no such instruction. Encodings that the
// manuals leave out but every processor executes (FCOM2, FSTP1 and so on) are executed.
[[nodiscard]] bool exec_registers(CpuState& state, u8 opcode, u8 modrm);

}  // namespace ennead::vmcore::x87
