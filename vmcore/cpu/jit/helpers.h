// SPDX-License-Identifier: MIT
// C++ that emitted code calls.
#pragma once

#include "vmcore/cpu/jit/block.h"
#include "vmcore/cpu/jit/context.h"
#include "vmcore/cpu/jit/thunks.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// Frames of emitted code carry no unwind data: nothing here may throw. `engine` is
// JitContext::engine.

// For an access of `size` bytes at the linear `address`, from the site with the return address
// `site`.
struct Reached {
    // Where the operand is in host memory (of a read: or a copy of it). 0: the instruction was
    // carried out here, or has faulted.
    u64 host;
    // Then: where emitted code goes on. 0: it is left, with the state complete, for the reason in
    // JitContext::exit.
    u64 resume;
};
[[nodiscard]] Reached reach_memory(void* engine, u32 address, u32 size, AccessKind kind,
                                   u64 site) noexcept;

// For several accesses to the `size` bytes from `address` on. If they are not all in one page of
// plain memory, `host` and `resume` are 0, and the state is that of before the site's instruction.
[[nodiscard]] Reached share_memory(void* engine, u32 address, u32 size, AccessKind kind,
                                   u64 site) noexcept;

// Carries out the instruction at the site with the return address `site`. An Exit, or kJump….
[[nodiscard]] u32 finish_instruction(void* engine, u64 site) noexcept;

// Loads a segment register. 0: it is still as it was, and the interpreter has to do the
// instruction.
[[nodiscard]] u32 load_segment(void* engine, u32 seg, u32 selector) noexcept;

// Prepares JitContext::fpu for the host's registers. What fpu_live is to be; 0: the guest may not
// use them now, or wants to hear of exceptions.
[[nodiscard]] u32 load_fpu(void* engine) noexcept;

// kGoOn; else an Exit or kJump…, with the state complete.
[[nodiscard]] u32 interpret(void* engine, const Interpreted* what) noexcept;

}  // namespace ennead::vmcore::jit
