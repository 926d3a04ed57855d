// SPDX-License-Identifier: MIT
// What emitted code and the engine share beside CpuState, and which host register holds what.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <cstddef>

#include "vmcore/cpu/arena.h"
#include "vmcore/cpu/interp/fxsave_image.h"
#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// How RDTSC gets machine time from the host's counter between two looks at the clock. While
// counter - from < window, it is then_ns + (counter - from) * scale / 2^kScaleBits nanoseconds.
struct HostTsc {
    static constexpr unsigned kScaleBits = 32;
    u64 from = 0;
    u64 window = 0;  // in ticks; 0: ask the clock
    u64 then_ns = 0;
    u64 scale = 0;  // nanoseconds per tick, a little too few
};

// Lives at CpuArena::kEngine. vCPU thread only.
struct JitContext {
    void* engine = nullptr;
    u64 native_stack = 0;  // RSP of the C++ that entered emitted code
    u64 return_stack = 0;  // RSP of emitted code, while C++ runs
    u64 slice_end = 0;     // CpuState::instructions is this plus R8, while emitted code runs
    u64 r9 = 0, r10 = 0, r11 = 0, r14 = 0;  // while C++ runs
    // The arithmetic flags as LAHF and SETO left them: bits 8…15 SF ZF AF PF CF, bit 0 OF.
    u32 flags = 0;
    // Masked interrupts, taken out of CpuState::requests while emitted code runs; STI looks here.
    u32 held_requests = 0;
    u32 link = 0;  // the number of the link to be made
    u32 exit = 0;  // why C++ wants emitted code to be left (Exit), or where it goes on (kJump…)
    HostTsc tsc;
    u32 bit_number = 0;  // of BT and its kin, on the way to its use
    // Stands in for memory that cannot be reached directly.
    alignas(16) std::array<u8, 32> bounce{};
    // The guest's x87, MMX and SSE state while it is `parked`: newer than that in CpuState.
    alignas(16) fxsave::Image<fxsave::kSize> fpu;
    u32 host_mxcsr = mxcsr::kReset;
    // The state is in the host's registers, and may be worked with there: 1 without SSE, 2 with it.
    // Exceptions are all masked then, in the guest as on the host.
    u8 fpu_live = 0;
    u8 fpu_parked = 0;
    u32 fpu_was = 0;  // fpu_live, while a thunk has C++ do something in between
};
inline constexpr u32 kContext = CpuArena::kEngine;

// Why emitted code came back.
enum class Exit : u32 {
    miss,         // nothing known for eip
    guess,        // the jump with the link `JitContext::link` wants a target that it did not expect
    link,         // the link `JitContext::link` has no target yet
    poll,         // at stop_at, before the instruction at eip
    done,         // the state is complete as it is: the interpreter did the last instruction
    undelivered,  // the same, but that instruction faulted; never leaves emitted code like that
    plain,        // the state is complete: go on in a plain block
};

// What C++ says in place of an Exit if emitted code goes on: in the block, or at EIP as an indirect
// jump would.
inline constexpr u32 kGoOn = 0xffff'ffff, kJumpUser = 0xffff'fffe, kJumpSupervisor = 0xffff'fffd;

// --- registers ---
// Guest EAX…EDI are in the host registers of the same number, but for ESP: R12, since RSP carries
// the return stack. All are zero-extended.
inline constexpr unsigned host_number(unsigned gpr) {
    return gpr == kEsp ? 12 : gpr;
}
inline asmjit::x86::Gp guest(unsigned gpr) {
    return asmjit::x86::gpd(host_number(gpr));
}
inline asmjit::x86::Gp guest64(unsigned gpr) {
    return asmjit::x86::gpq(host_number(gpr));
}

// How many instructions emitted code runs before it looks whether another thread has a request:
// some microseconds' worth.
inline constexpr u32 kSlice = 8192;

// An entry of the arena's jump tables. Zeros are an entry that matches nothing but EIP 0, whose
// entry is never all zeros.
struct JumpEntry {
    u32 minus_eip = 0;         // so that a sum can be compared with 0, which leaves the flags alone
    const u8* code = nullptr;  // a far entry
};
static_assert(sizeof(JumpEntry) == CpuArena::kJumpEntryBytes);

// R15: CpuState. R8: instructions, from the end of the slice: negative inside of it. R13: distance
// from guest to host memory. R14: an address; between blocks, the EIP that an indirect jump wants.
// R10: saved flags. R11: scratch, also across the thunks. R9 is left for a stack page (and a
// window, later).
namespace reg {
inline const asmjit::x86::Gp state = asmjit::x86::r15;
inline const asmjit::x86::Gp count = asmjit::x86::r8;
inline const asmjit::x86::Gp delta = asmjit::x86::r13;
inline const asmjit::x86::Gp address = asmjit::x86::r14d;
inline const asmjit::x86::Gp flags = asmjit::x86::r10d;
inline const asmjit::x86::Gp scratch = asmjit::x86::r11d;
}  // namespace reg

inline asmjit::x86::Mem state_field(std::size_t offset, u32 size) {
    return asmjit::x86::Mem(reg::state, static_cast<i32>(offset), size);
}
constexpr std::size_t segment_field(Seg seg) {
    return offsetof(CpuState, seg) + static_cast<unsigned>(seg) * sizeof(Segment);
}
constexpr std::size_t selector_field(Seg seg) {
    return segment_field(seg) + offsetof(Segment, selector);
}
inline asmjit::x86::Mem sized(asmjit::x86::Mem memory, u32 bytes) {
    memory.setSize(bytes);
    return memory;
}
inline asmjit::x86::Mem context_field(std::size_t offset, u32 size) {
    return state_field(kContext + offset, size);
}
inline asmjit::x86::Mem gpr_field(unsigned gpr) {
    return state_field(offsetof(CpuState, gpr) + 4 * gpr, 4);
}

}  // namespace ennead::vmcore::jit
