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

// The distance from guest to host memory for an access of `size` bytes at `address`; 0 if it
// faults. For the bounce buffer bit 0 is set (the buffer and pages are aligned, so bit 0 of a
// distance tells nothing else when the address is subtracted by the thunk).
struct Reached {
    u64 host;     // the host address of the operand; 0: the access faulted
    u64 bounced;  // whether it only stands in for the operand
};
[[nodiscard]] Reached reach_memory(void* engine, u32 address, u32 size, AccessKind kind) noexcept;

// Writes what the last reach_memory() gave a stand-in for. 1: code or more has changed, leave.
[[nodiscard]] u32 commit_memory(void* engine) noexcept;

// Prepares JitContext::fpu for the host's registers. What fpu_live is to be; 0: the guest may not
// use them now, or wants to hear of exceptions.
[[nodiscard]] u32 load_fpu(void* engine) noexcept;

// 0: go on in the block. Else the Exit, with the state complete.
inline constexpr u32 kGoOn = 0xffff'ffff;
[[nodiscard]] u32 interpret(void* engine, const Interpreted* what) noexcept;

}  // namespace ennead::vmcore::jit
