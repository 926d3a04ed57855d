// SPDX-License-Identifier: MIT
// The host's own ALU as an oracle: it has the guest's instruction set (SDM vol 1 §7.3).
#pragma once

#include "vmcore/types.h"

namespace ennead::vmcore::test {

// What an instruction sees and leaves: two operands, ECX, EDX and the flags.
struct AluState {
    u32 a = 0;  // EAX: the destination
    u32 b = 0;  // EBX: the source
    u32 c = 0;  // ECX
    u32 d = 0;  // EDX
    u32 flags = 0;
};

// A function that runs one host instruction on EAX, EBX, ECX and EDX with the arithmetic flags
// given. The stack is moved past the red zone for the flags' way in and out.
#define ENNEAD_HOST_ALU(name, instruction)                                    \
    inline void name(AluState& s) {                                           \
        u64 flags = s.flags;                                                  \
        asm volatile(                                                         \
            "lea -128(%%rsp), %%rsp\n\t"                                      \
            "push %[flags]\n\tpopfq\n\t" instruction                          \
            "\n\tpushfq\n\tpop %[flags]\n\t"                                  \
            "lea 128(%%rsp), %%rsp"                                           \
            : "+a"(s.a), "+b"(s.b), "+c"(s.c), "+d"(s.d), [flags] "+S"(flags) \
            :                                                                 \
            : "cc", "memory");                                                \
        s.flags = static_cast<u32>(flags);                                    \
    }

}  // namespace ennead::vmcore::test
