// SPDX-License-Identifier: MIT
// Floating-point arithmetic and comparisons of SSE, SSE2 and SSE3 (SDM vol 1 §10.4.1, §11.4.1,
// §12.3).
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/sse_exceptions.h"

namespace ennead::vmcore {
namespace {

using sse::Arith, sse::FloatOp, sse::from_host, sse::Pairs, sse::to_host;

}  // namespace

// The host's function and the handler of an instruction; what follows the name is the rest of its
// FloatOp.
#define ENNEAD_FLOAT(name, ...)                                 \
    namespace {                                                 \
    ENNEAD_SSE_HOST(host_##name, #name)                         \
    }                                                           \
    bool exec_##name(Cpu& cpu, const Insn& insn) {              \
        static constexpr FloatOp kOp{host_##name, __VA_ARGS__}; \
        return sse::exec_float(cpu, insn, kOp);                 \
    }
// Packed and scalar, single and double.
#define ENNEAD_FLOAT4(stem, arith)          \
    ENNEAD_FLOAT(stem##ps, arith, false, 4) \
    ENNEAD_FLOAT(stem##pd, arith, true, 2)  \
    ENNEAD_FLOAT(stem##ss, arith, false, 1) \
    ENNEAD_FLOAT(stem##sd, arith, true, 1)

ENNEAD_FLOAT4(add, Arith::add)
ENNEAD_FLOAT4(sub, Arith::sub)
ENNEAD_FLOAT4(mul, Arith::mul)
ENNEAD_FLOAT4(div, Arith::div)
ENNEAD_FLOAT4(min, Arith::none)
ENNEAD_FLOAT4(max, Arith::none)
ENNEAD_FLOAT4(sqrt, Arith::none)
ENNEAD_FLOAT(haddps, Arith::add, false, 4, Pairs::horizontal)
ENNEAD_FLOAT(haddpd, Arith::add, true, 2, Pairs::horizontal)
ENNEAD_FLOAT(hsubps, Arith::sub, false, 4, Pairs::horizontal)
ENNEAD_FLOAT(hsubpd, Arith::sub, true, 2, Pairs::horizontal)
ENNEAD_FLOAT(addsubps, Arith::add, false, 4, Pairs::alternating)
ENNEAD_FLOAT(addsubpd, Arith::add, true, 2, Pairs::alternating)
#undef ENNEAD_FLOAT4
#undef ENNEAD_FLOAT

// CMPPS and kin: one host instruction a predicate. Bits 3…7 of the immediate are reserved, and
// ignored.
#define ENNEAD_COMPARE(name)                                                                      \
    namespace {                                                                                   \
    ENNEAD_SSE_HOST(host_##name##0, #name " $0,")                                                 \
    ENNEAD_SSE_HOST(host_##name##1, #name " $1,")                                                 \
    ENNEAD_SSE_HOST(host_##name##2, #name " $2,")                                                 \
    ENNEAD_SSE_HOST(host_##name##3, #name " $3,")                                                 \
    ENNEAD_SSE_HOST(host_##name##4, #name " $4,")                                                 \
    ENNEAD_SSE_HOST(host_##name##5, #name " $5,")                                                 \
    ENNEAD_SSE_HOST(host_##name##6, #name " $6,")                                                 \
    ENNEAD_SSE_HOST(host_##name##7, #name " $7,")                                                 \
    }                                                                                             \
    bool exec_##name(Cpu& cpu, const Insn& insn) {                                                \
        static constexpr FloatOp kOps[8] = {{host_##name##0}, {host_##name##1}, {host_##name##2}, \
                                            {host_##name##3}, {host_##name##4}, {host_##name##5}, \
                                            {host_##name##6}, {host_##name##7}};                  \
        return sse::exec_float(cpu, insn, kOps[insn.imm & 7]);                                    \
    }

ENNEAD_COMPARE(cmpps)
ENNEAD_COMPARE(cmppd)
ENNEAD_COMPARE(cmpss)
ENNEAD_COMPARE(cmpsd)
#undef ENNEAD_COMPARE

// --- comparisons into EFLAGS ---

namespace {

// The flags are the result: ZF, PF and CF as in EFLAGS.
#define ENNEAD_COMPARE_TO_FLAGS(name)                                                     \
    u32 host_##name(Xmm& dst, const Xmm& src, u32 mxcsr) {                                \
        u32 saved = 0;                                                                    \
        bool zf = false, pf = false, cf = false;                                          \
        asm volatile(ENNEAD_UNDER_MXCSR(#name " %[s], %[d]")                              \
                     : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf), ENNEAD_MXCSR_OPERANDS       \
                     : [d] "x"(to_host(dst)), [s] "x"(to_host(src)));                     \
        dst.set_lane<u32>(                                                                \
            0, (zf ? eflags::kZf : 0) | (pf ? eflags::kPf : 0) | (cf ? eflags::kCf : 0)); \
        return mxcsr & mxcsr::kFlags;                                                     \
    }

ENNEAD_COMPARE_TO_FLAGS(ucomiss)
ENNEAD_COMPARE_TO_FLAGS(ucomisd)
ENNEAD_COMPARE_TO_FLAGS(comiss)
ENNEAD_COMPARE_TO_FLAGS(comisd)
#undef ENNEAD_COMPARE_TO_FLAGS

bool exec_compare_to_flags(Cpu& cpu, const Insn& insn, const FloatOp& op) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o) || !sse::compute(cpu, op, o.reg, o.rm)) {
        return false;
    }
    // SDM vol 2A, COMISS: OF, SF and AF are cleared.
    cpu.state.eflags = (cpu.state.eflags & ~eflags::kArith) | o.reg.lane<u32>(0);
    return true;
}

}  // namespace

bool exec_ucomiss(Cpu& cpu, const Insn& insn) {
    return exec_compare_to_flags(cpu, insn, {host_ucomiss});
}
bool exec_ucomisd(Cpu& cpu, const Insn& insn) {
    return exec_compare_to_flags(cpu, insn, {host_ucomisd});
}
bool exec_comiss(Cpu& cpu, const Insn& insn) {
    return exec_compare_to_flags(cpu, insn, {host_comiss});
}
bool exec_comisd(Cpu& cpu, const Insn& insn) {
    return exec_compare_to_flags(cpu, insn, {host_comisd});
}

}  // namespace ennead::vmcore
