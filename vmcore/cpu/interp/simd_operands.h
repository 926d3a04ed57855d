// SPDX-License-Identifier: MIT
// The operands of MMX and SSE instructions, found and checked as their rows say.
#pragma once

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

// Registers of any kind, immediates and memory operands are carried as the low bytes of an Xmm.
struct SimdOperands {
    const SimdForm* form = nullptr;
    Xmm reg, rm;
};

// Checks that the instruction may run (#UD, #NM, #MF), then fetches both operands; the memory
// operand only if the instruction reads it (#GP(0) if it is misaligned and must not be, #SS, #GP,
// #PF, #AC). What is narrower than 16 bytes is zero-extended. False: a fault was raised.
[[nodiscard]] bool load_simd(Cpu& cpu, const Insn& insn, SimdOperands& operands);

// The end of an instruction: writes `value` as wide as the destination is and, if it used MMX
// registers, sets the x87's TOP and tags. The second writes to memory too: false if that faulted.
void store_simd_reg(Cpu& cpu, const Insn& insn, const SimdForm& form, const Xmm& value);
[[nodiscard]] bool store_simd_rm(Cpu& cpu, const Insn& insn, const SimdForm& form,
                                 const Xmm& value);

// #GP(0) unless the linear address of the memory operand is a multiple of 16.
[[nodiscard]] bool check_aligned_16(Cpu& cpu, Seg segment, u32 offset);

// An instruction reg = f(reg, r/m), where `compute(reg, rm)` changes its first argument.
template <class Compute>
[[nodiscard]] bool exec_simd_to_reg(Cpu& cpu, const Insn& insn, Compute compute) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    compute(o.reg, o.rm);
    store_simd_reg(cpu, insn, *o.form, o.reg);
    return true;
}

}  // namespace ennead::vmcore
