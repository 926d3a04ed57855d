// SPDX-License-Identifier: MIT
// Operations that look at no MXCSR: packed integers in both register files (SDM vol 1 §9.4,
// §11.4.2), bits, interleaving, approximations; each on the host by the same instruction.
#include <emmintrin.h>

#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/sse_host.h"

namespace ennead::vmcore {
namespace {

using sse::from_host, sse::to_host;

// dst = op(dst, src). For MMX the low eight bytes count.
using PackedHost = void (*)(Xmm& dst, const Xmm& src);

bool exec_packed(Cpu& cpu, const Insn& insn, PackedHost on_mmx, PackedHost on_xmm) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    const PackedHost host = o.form->rm == SimdForm::File::mmx ? on_mmx : on_xmm;
    if (!o.form->to_rm) {
        host(o.reg, o.rm);
        store_simd_reg(cpu, insn, *o.form, o.reg);
        return true;
    }
    // A shift by an immediate does what a shift by a register that holds it does.
    Xmm count;
    count.set_lane<u64>(0, insn.imm);
    host(o.rm, count);
    return store_simd_rm(cpu, insn, *o.form, o.rm);
}

}  // namespace

#define ENNEAD_XMM_HOST(name)                                           \
    void xmm_##name(Xmm& dst, const Xmm& src) {                         \
        __m128i d = to_host(dst);                                       \
        asm(#name " %[s], %[d]" : [d] "+x"(d) : [s] "x"(to_host(src))); \
        from_host(dst, d);                                              \
    }
// EMMS, as the compiler keeps the x87 stack empty.
#define ENNEAD_MMX_HOST(name)                                         \
    void mmx_##name(Xmm& dst, const Xmm& src) {                       \
        u64 d = dst.lane<u64>(0);                                     \
        const u64 s = src.lane<u64>(0);                               \
        asm volatile("movq %[d], %%mm0\n\tmovq %[s], %%mm1\n\t" #name \
                     " %%mm1, %%mm0\n\tmovq %%mm0, %[d]\n\temms"      \
                     : [d] "+m"(d)                                    \
                     : [s] "m"(s)                                     \
                     : "mm0", "mm1");                                 \
        dst.set_lane(0, d);                                           \
    }

#define ENNEAD_XMM(name)                                    \
    namespace {                                             \
    ENNEAD_XMM_HOST(name)                                   \
    }                                                       \
    bool exec_##name(Cpu& cpu, const Insn& insn) {          \
        return exec_packed(cpu, insn, nullptr, xmm_##name); \
    }
#define ENNEAD_BOTH(name)                                      \
    namespace {                                                \
    ENNEAD_XMM_HOST(name)                                      \
    ENNEAD_MMX_HOST(name)                                      \
    }                                                          \
    bool exec_##name(Cpu& cpu, const Insn& insn) {             \
        return exec_packed(cpu, insn, mmx_##name, xmm_##name); \
    }

// clang-format off
// --- addition, subtraction, averages
ENNEAD_BOTH(paddb) ENNEAD_BOTH(paddw) ENNEAD_BOTH(paddd) ENNEAD_BOTH(paddq)
ENNEAD_BOTH(paddsb) ENNEAD_BOTH(paddsw) ENNEAD_BOTH(paddusb) ENNEAD_BOTH(paddusw)
ENNEAD_BOTH(psubb) ENNEAD_BOTH(psubw) ENNEAD_BOTH(psubd) ENNEAD_BOTH(psubq)
ENNEAD_BOTH(psubsb) ENNEAD_BOTH(psubsw) ENNEAD_BOTH(psubusb) ENNEAD_BOTH(psubusw)
ENNEAD_BOTH(pavgb) ENNEAD_BOTH(pavgw) ENNEAD_BOTH(psadbw)
// --- multiplication
ENNEAD_BOTH(pmullw) ENNEAD_BOTH(pmulhw) ENNEAD_BOTH(pmulhuw) ENNEAD_BOTH(pmuludq) ENNEAD_BOTH(pmaddwd)
// --- comparisons
ENNEAD_BOTH(pcmpeqb) ENNEAD_BOTH(pcmpeqw) ENNEAD_BOTH(pcmpeqd)
ENNEAD_BOTH(pcmpgtb) ENNEAD_BOTH(pcmpgtw) ENNEAD_BOTH(pcmpgtd)
ENNEAD_BOTH(pminub) ENNEAD_BOTH(pmaxub) ENNEAD_BOTH(pminsw) ENNEAD_BOTH(pmaxsw)
// --- bits and shifts
ENNEAD_BOTH(pand) ENNEAD_BOTH(pandn) ENNEAD_BOTH(por) ENNEAD_BOTH(pxor)
ENNEAD_BOTH(psllw) ENNEAD_BOTH(pslld) ENNEAD_BOTH(psllq)
ENNEAD_BOTH(psrlw) ENNEAD_BOTH(psrld) ENNEAD_BOTH(psrlq) ENNEAD_BOTH(psraw) ENNEAD_BOTH(psrad)
ENNEAD_XMM(andps) ENNEAD_XMM(andpd) ENNEAD_XMM(andnps) ENNEAD_XMM(andnpd)
ENNEAD_XMM(orps) ENNEAD_XMM(orpd) ENNEAD_XMM(xorps) ENNEAD_XMM(xorpd)
// --- packing and interleaving
ENNEAD_BOTH(packsswb) ENNEAD_BOTH(packssdw) ENNEAD_BOTH(packuswb)
ENNEAD_BOTH(punpcklbw) ENNEAD_BOTH(punpcklwd) ENNEAD_BOTH(punpckldq)
ENNEAD_BOTH(punpckhbw) ENNEAD_BOTH(punpckhwd) ENNEAD_BOTH(punpckhdq)
ENNEAD_XMM(punpcklqdq) ENNEAD_XMM(punpckhqdq)
ENNEAD_XMM(unpcklps) ENNEAD_XMM(unpcklpd) ENNEAD_XMM(unpckhps) ENNEAD_XMM(unpckhpd)
// --- approximations: as the host has them; SDM vol 2B, RCPPS, bounds the error and leaves the bits open
ENNEAD_XMM(rcpps) ENNEAD_XMM(rcpss) ENNEAD_XMM(rsqrtps) ENNEAD_XMM(rsqrtss)
// clang-format on

#undef ENNEAD_BOTH
#undef ENNEAD_XMM
#undef ENNEAD_MMX_HOST
#undef ENNEAD_XMM_HOST

}  // namespace ennead::vmcore
