// SPDX-License-Identifier: MIT
// The few pieces of emitted code that all blocks share: in, out, and over to C++ and back.
#pragma once

#include <array>

#include "vmcore/cpu/jit/code_memory.h"
#include "vmcore/cpu/jit/context.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// Sizes of memory accesses in bytes.
inline constexpr std::array<u8, 6> kAccessSizes = {1, 2, 4, 8, 16, 10};
constexpr unsigned size_index(unsigned bytes) {
    return bytes == 10 ? 5 : static_cast<unsigned>(__builtin_ctz(bytes));
}

enum class AccessKind : u8 {
    read,
    write,
    modify,
    read_first,  // a read in an instruction that may have to be done over again: of memory only
};
inline constexpr unsigned kAccessKinds = 4;

// Addresses of emitted code. All but `enter` follow the conventions of context.h.
struct Thunks {
    // As a C++ function: runs emitted code at `code` until there is a reason to leave. `eip` goes
    // to R14.
    Exit (*enter)(CpuState* state, const void* code, u32 eip) = nullptr;

    // Ways out, to be jumped to. R14: the eip that was wanted.
    const u8* miss = nullptr;
    const u8* link = nullptr;   // R13: the number of the link
    const u8* guess = nullptr;  // R13: that of the link which was not what R14 wants

    // To jump to when R8 is not negative any more, by {supervisor, user}: goes on at R14 unless
    // there is reason to leave. Keeps the flags.
    std::array<const u8*, 2> poll{};

    // To jump to: an indirect jump to the EIP in R14, by {supervisor, user}. Keeps the flags.
    std::array<const u8*, 2> indirect{};
    // The return address at the bottom of the return stack of {supervisor, user}: a guest return
    // that nothing is known of.
    std::array<const u8*, 2> underflow{};

    // To be called with R14 the linear address and R13 what the table has for it, from a Site; they
    // come back with R13 so that [R13 + R14] is the operand, or behind the instruction, or not at
    // all. All but R13 and the flags stay.
    std::array<std::array<const u8*, kAccessSizes.size()>, kAccessKinds> access{};
    // The same by {read, write} for several accesses at once to the R13 bytes from R14 on; if that
    // cannot be, the block is left before the instruction.
    std::array<const u8*, 2> share{};
    // To be called from a Site: the interpreter does its instruction; does not come back.
    const u8* finish = nullptr;

    // To be called from a Site, by Seg: loads the segment register with the selector in R11, or has
    // the interpreter do all of the instruction, and does not come back. All but R13 and the flags
    // stay.
    std::array<const u8*, kSegCount> load_segment{};

    // To be called when the guest's x87 and SSE state is wanted in the host's registers. R13:
    // JitContext::fpu_live by now; 0: it cannot be there. All but R13 and the flags stay.
    const u8* load_fpu = nullptr;

    // REP MOVS and REP STOS of 1, 2 and 4 bytes, with host addresses in RSI and RDI; R11: bytes.
    // Everything else stays but the flags and XMM8 and up, which no guest has.
    std::array<const u8*, 3> copy{}, fill{};

    // Carries out the Interpreted at R13. Keeps nothing but what the instruction does not change.
    // To be jumped to if it ends its block.
    const u8* interpret = nullptr;
};

// Emits them to `memory`, which must be empty. The helpers of helpers.h are what they call.
[[nodiscard]] Thunks make_thunks(CodeMemory& memory);

}  // namespace ennead::vmcore::jit
