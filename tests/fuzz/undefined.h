// SPDX-License-Identifier: MIT
// Which flags an instruction leaves undefined, so that engines may differ in them.
#pragma once

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore::fuzz {

// As the SDM says, for ECX as it was before; but what every i386 is known to do is taken as
// defined: logic clears AF, BT and its kin keep all but CF. BCD instructions are the interpreter's
// in both engines.
[[nodiscard]] u32 undefined_flags(const Insn& insn, u32 ecx);
// The same for whatever is in ECX.
[[nodiscard]] u32 ever_undefined_flags(const Insn& insn);
// The destination too.
[[nodiscard]] bool undefined_result(const Insn& insn, u32 ecx);

}  // namespace ennead::vmcore::fuzz
