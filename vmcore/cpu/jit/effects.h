// SPDX-License-Identifier: MIT
// What an instruction does to the arithmetic flags: what it reads, and what it is sure to replace.
#pragma once

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// Masks of EFLAGS, arithmetic bits only.
struct FlagEffects {
    u32 reads = 0;
    u32 kills = 0;  // replaced whatever the operands are (flags left undefined count as replaced)
    bool writes = false;  // may change some flag, killed or not
};

// An operation not known here reads all and kills none.
[[nodiscard]] FlagEffects flag_effects(const Insn& insn);

// The flags that the condition in an opcode's low four bits looks at (SDM vol 1, appendix B).
[[nodiscard]] u32 condition_reads(unsigned condition);

// Whether it may change a general register; for what is not known here, yes.
[[nodiscard]] bool may_change(const Insn& insn, u8 gpr);

}  // namespace ennead::vmcore::jit
