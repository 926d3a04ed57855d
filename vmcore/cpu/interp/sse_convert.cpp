// SPDX-License-Identifier: MIT
// Conversions between floating-point formats and integers (SDM vol 1 §10.4.4, §11.4.1.6).
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/sse_exceptions.h"

namespace ennead::vmcore {
namespace {

using sse::Arith, sse::FloatOp, sse::from_host, sse::to_host;

// XMM to a general register.
#define ENNEAD_TO_GENERAL(name, instruction)                       \
    u32 name(Xmm& dst, const Xmm& src, u32 mxcsr) {                \
        u32 saved = 0, result = 0;                                 \
        asm volatile(ENNEAD_UNDER_MXCSR(instruction " %[s], %[d]") \
                     : [d] "=r"(result), ENNEAD_MXCSR_OPERANDS     \
                     : [s] "x"(to_host(src)));                     \
        dst.set_lane(0, result);                                   \
        return mxcsr & mxcsr::kFlags;                              \
    }

// A general register to XMM.
#define ENNEAD_FROM_GENERAL(name, instruction)                     \
    u32 name(Xmm& dst, const Xmm& src, u32 mxcsr) {                \
        u32 saved = 0;                                             \
        __m128i d = to_host(dst);                                  \
        asm volatile(ENNEAD_UNDER_MXCSR(instruction " %[s], %[d]") \
                     : [d] "+x"(d), ENNEAD_MXCSR_OPERANDS          \
                     : [s] "r"(src.lane<u32>(0)));                 \
        from_host(dst, d);                                         \
        return mxcsr & mxcsr::kFlags;                              \
    }

// XMM to MMX. EMMS, as the compiler keeps the x87 stack empty.
#define ENNEAD_TO_MMX(name, instruction)                                                        \
    u32 name(Xmm& dst, const Xmm& src, u32 mxcsr) {                                             \
        u32 saved = 0;                                                                          \
        u64 result = 0;                                                                         \
        asm volatile(ENNEAD_UNDER_MXCSR(instruction " %[s], %%mm0\n\tmovq %%mm0, %[d]\n\temms") \
                     : [d] "=m"(result), ENNEAD_MXCSR_OPERANDS                                  \
                     : [s] "x"(to_host(src))                                                    \
                     : "mm0");                                                                  \
        dst.set_lane(0, result);                                                                \
        return mxcsr & mxcsr::kFlags;                                                           \
    }

// MMX, or 8 bytes of memory, to XMM.
#define ENNEAD_FROM_MMX(name, instruction)                         \
    u32 name(Xmm& dst, const Xmm& src, u32 mxcsr) {                \
        u32 saved = 0;                                             \
        const u64 value = src.lane<u64>(0);                        \
        __m128i d = to_host(dst);                                  \
        asm volatile(ENNEAD_UNDER_MXCSR(instruction " %[s], %[d]") \
                     : [d] "+x"(d), ENNEAD_MXCSR_OPERANDS          \
                     : [s] "m"(value));                            \
        from_host(dst, d);                                         \
        return mxcsr & mxcsr::kFlags;                              \
    }

ENNEAD_SSE_HOST(host_cvtps2pd, "cvtps2pd")
ENNEAD_SSE_HOST(host_cvtpd2ps, "cvtpd2ps")
ENNEAD_SSE_HOST(host_cvtss2sd, "cvtss2sd")
ENNEAD_SSE_HOST(host_cvtsd2ss, "cvtsd2ss")
ENNEAD_SSE_HOST(host_cvtdq2ps, "cvtdq2ps")
ENNEAD_SSE_HOST(host_cvtdq2pd, "cvtdq2pd")
ENNEAD_SSE_HOST(host_cvtps2dq, "cvtps2dq")
ENNEAD_SSE_HOST(host_cvttps2dq, "cvttps2dq")
ENNEAD_SSE_HOST(host_cvtpd2dq, "cvtpd2dq")
ENNEAD_SSE_HOST(host_cvttpd2dq, "cvttpd2dq")
ENNEAD_TO_GENERAL(host_cvtss2si, "cvtss2sil")
ENNEAD_TO_GENERAL(host_cvtsd2si, "cvtsd2sil")
ENNEAD_TO_GENERAL(host_cvttss2si, "cvttss2sil")
ENNEAD_TO_GENERAL(host_cvttsd2si, "cvttsd2sil")
ENNEAD_FROM_GENERAL(host_cvtsi2ss, "cvtsi2ssl")
ENNEAD_FROM_GENERAL(host_cvtsi2sd, "cvtsi2sdl")
ENNEAD_TO_MMX(host_cvtps2pi, "cvtps2pi")
ENNEAD_TO_MMX(host_cvtpd2pi, "cvtpd2pi")
ENNEAD_TO_MMX(host_cvttps2pi, "cvttps2pi")
ENNEAD_TO_MMX(host_cvttpd2pi, "cvttpd2pi")
ENNEAD_FROM_MMX(host_cvtpi2ps, "cvtpi2ps")
ENNEAD_FROM_MMX(host_cvtpi2pd, "cvtpi2pd")

}  // namespace

#define ENNEAD_CONVERT(name, ...)                               \
    bool exec_##name(Cpu& cpu, const Insn& insn) {              \
        static constexpr FloatOp kOp{host_##name, __VA_ARGS__}; \
        return sse::exec_float(cpu, insn, kOp);                 \
    }

// Only where a double becomes a single can the result be out of range.
ENNEAD_CONVERT(cvtpd2ps, Arith::narrow, true, 2)
ENNEAD_CONVERT(cvtsd2ss, Arith::narrow, true, 1)
ENNEAD_CONVERT(cvtps2pd, Arith::none)
ENNEAD_CONVERT(cvtss2sd, Arith::none)
ENNEAD_CONVERT(cvtdq2ps, Arith::none)
ENNEAD_CONVERT(cvtdq2pd, Arith::none)
ENNEAD_CONVERT(cvtps2dq, Arith::none)
ENNEAD_CONVERT(cvttps2dq, Arith::none)
ENNEAD_CONVERT(cvtpd2dq, Arith::none)
ENNEAD_CONVERT(cvttpd2dq, Arith::none)
ENNEAD_CONVERT(cvtss2si, Arith::none)
ENNEAD_CONVERT(cvtsd2si, Arith::none)
ENNEAD_CONVERT(cvttss2si, Arith::none)
ENNEAD_CONVERT(cvttsd2si, Arith::none)
ENNEAD_CONVERT(cvtsi2ss, Arith::none)
ENNEAD_CONVERT(cvtsi2sd, Arith::none)
ENNEAD_CONVERT(cvtps2pi, Arith::none)
ENNEAD_CONVERT(cvtpd2pi, Arith::none)
ENNEAD_CONVERT(cvttps2pi, Arith::none)
ENNEAD_CONVERT(cvttpd2pi, Arith::none)
ENNEAD_CONVERT(cvtpi2ps, Arith::none)
ENNEAD_CONVERT(cvtpi2pd, Arith::none)
#undef ENNEAD_CONVERT

}  // namespace ennead::vmcore
