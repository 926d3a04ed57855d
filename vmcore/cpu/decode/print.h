// SPDX-License-Identifier: MIT
// A decoded instruction as text in Intel syntax, spelled as binutils spells it.
#pragma once

#include <string>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// `eip` is the instruction's own address: relative branches show their targets.
[[nodiscard]] std::string print(const Insn& insn, u32 eip);

// The same for one of the x87 escapes, D8…DF; print() calls it.
[[nodiscard]] std::string print_x87(const Insn& insn);
// The memory operand without a size: `es:[eax+ecx*4-0x8]`, `ds:0x1234`.
[[nodiscard]] std::string print_address(const Insn& insn);

}  // namespace ennead::vmcore
