// SPDX-License-Identifier: MIT
// Floating-point instructions on the host's own SSE, under an MXCSR of the guest's.
#pragma once

#include <emmintrin.h>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::sse {

// One host instruction: `dst` is its destination, which it may read, `src` its source; general and
// MMX registers are the low bytes. `mxcsr` has every exception masked and no flag set. Returns the
// flags that the instruction raised.
using HostOp = u32 (*)(Xmm& dst, const Xmm& src, u32 mxcsr);

inline __m128i to_host(const Xmm& value) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(value.bytes.data()));
}
inline void from_host(Xmm& value, __m128i host) {
    _mm_store_si128(reinterpret_cast<__m128i*>(value.bytes.data()), host);
}

// The host's own MXCSR is back before the compiler's code goes on.
#define ENNEAD_UNDER_MXCSR(instruction)                    \
    "stmxcsr %[saved]\n\tldmxcsr %[mxcsr]\n\t" instruction \
    "\n\tstmxcsr %[mxcsr]\n\t"                             \
    "ldmxcsr %[saved]"
#define ENNEAD_MXCSR_OPERANDS [mxcsr] "+m"(mxcsr), [saved] "=m"(saved)

// `instruction` in AT&T order without operands, as in "addps".
#define ENNEAD_SSE_HOST(name, instruction)                         \
    inline u32 name(Xmm& dst, const Xmm& src, u32 mxcsr) {         \
        u32 saved = 0;                                             \
        __m128i d = to_host(dst);                                  \
        asm volatile(ENNEAD_UNDER_MXCSR(instruction " %[s], %[d]") \
                     : [d] "+x"(d), ENNEAD_MXCSR_OPERANDS          \
                     : [s] "x"(to_host(src)));                     \
        from_host(dst, d);                                         \
        return mxcsr & mxcsr::kFlags;                              \
    }

}  // namespace ennead::vmcore::sse
