// SPDX-License-Identifier: MIT
// What a block is going to be: its instructions decoded, and which flags matter where.
#pragma once

#include <array>
#include <vector>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/jit/block.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// Accesses at fixed distances from what a register holds as the block begins: one look at the
// tables serves all.
struct Frame {
    u8 base = kNoRegister;  // ESP or EBP; kNoRegister: no frame
    unsigned steps = 0;     // it serves the accesses of the first so many steps
    i32 low = 0;            // the lowest byte, from the register's first value
    u32 span = 0;           // bytes
    bool written = false;
};

// 32-bit code in one page. It goes on behind a conditional branch forward, which may leave it.
struct BlockPlan {
    struct Step {
        Insn insn;
        FlagEffects effects;
        u32 eip = 0;
        // How far ESP has moved since the start of the block; of use inside `frame` only.
        i32 esp = 0;
        u32 live_before = 0;  // flags that some later instruction may read, as this one begins
        u8 left = 0;          // instructions from this one to the next branch, itself and that too
    };

    u32 eip = 0;
    bool user = false;
    bool exact = false;  // as plan_block() was told: all flags matter everywhere, and x87 pointers
    unsigned count = 0;  // 0: not even the first instruction lies in the page as a whole
    bool plain = false;  // no access shares another's look at the tables
    bool straddles = false;  // one instruction, which ends in the next page
    std::array<Step, kMaxBlockInsns> steps;
    Frame frame;
    u32 live_after = 0;  // flags that whatever follows the block may read
    u32 length = 0;      // bytes
    std::vector<Block::Range> depends;

    [[nodiscard]] bool begins_stretch(unsigned n) const { return n == 0 || steps[n - 1].left == 1; }
    [[nodiscard]] const Step& last() const { return steps[count - 1]; }
    [[nodiscard]] u32 end() const { return eip + length; }
    [[nodiscard]] bool same_page(u32 other) const { return (eip ^ other) < kPageSize; }
};

// The one instruction at `eip`, the last bytes of `page` and the first of `next`, the page behind
// it.
void plan_straddling(u32 eip, bool user, const u8* page, const u8* next, bool exact_flags,
                     BlockPlan& plan);

// Looks for a frame worth its check, and notes it in the plan.
void find_frame(BlockPlan& plan);

// Decodes from `eip` on. `page`: the bytes of the page that holds it. `exact_flags`: all flags are
// taken to matter everywhere, so that the state is the interpreter's at each instruction.
void plan_block(u32 eip, bool user, const u8* page, bool exact_flags, bool plain, BlockPlan& plan);

// Whether the operand in memory may be written: a guess on the safe side.
[[nodiscard]] bool writes_operand(const Insn& insn);

// BT and its kin with a register that says how far from the operand's address the bit lies.
[[nodiscard]] bool is_bit_string(const Insn& insn);

// Whether it works on x87, MMX or SSE state.
[[nodiscard]] bool uses_fpu(const Insn& insn);

// How an x87 instruction uses memory; no bytes: not at all, or in a way of its own (environments,
// state).
struct X87Memory {
    u8 bytes = 0;
    bool writes = false;
};
[[nodiscard]] X87Memory x87_memory(const Insn& insn);

// The size of the operand in memory, in bytes.
[[nodiscard]] unsigned memory_operand_bytes(const Insn& insn);

// Whether control always leaves after `insn`.
[[nodiscard]] bool ends_block(const Insn& insn);

// The target of a near relative branch at `eip`.
[[nodiscard]] u32 branch_target(const Insn& insn, u32 eip);

}  // namespace ennead::vmcore::jit
