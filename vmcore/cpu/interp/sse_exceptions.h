// SPDX-License-Identifier: MIT
// SIMD floating-point exceptions (SDM vol 1 §11.5): what an operation leaves in MXCSR, and #XM.
#pragma once

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/interp/sse_host.h"

namespace ennead::vmcore::sse {

// How a packed operation is made of scalar ones, as far as these can overflow or underflow.
enum class Arith : u8 { none, add, sub, mul, div, narrow };  // narrow: CVTSD2SS
enum class Pairs : u8 {
    vertical,     // destination lane n and source lane n
    horizontal,   // lanes 2n and 2n + 1 of the destination, then of the source (HADDPS)
    alternating,  // vertical, but even lanes do the opposite of `arith` (ADDSUBPS)
};

struct FloatOp {
    HostOp run = nullptr;
    Arith arith = Arith::none;
    bool wide = false;  // lanes of 64 bits
    u8 lanes = 0;       // of the result; 1 for scalar operations
    Pairs pairs = Pairs::vertical;
};

// dst = op(dst, src), rounded as MXCSR says, with the exceptions' flags set. False: an exception
// that is not masked; #XM is raised (#UD if CR4.OSXMMEXCPT is clear), the flags are set and `dst`
// is unchanged.
[[nodiscard]] bool compute(Cpu& cpu, const FloatOp& op, Xmm& dst, const Xmm& src);

// The handler of reg = op(reg, r/m).
[[nodiscard]] bool exec_float(Cpu& cpu, const Insn& insn, const FloatOp& op);

}  // namespace ennead::vmcore::sse
