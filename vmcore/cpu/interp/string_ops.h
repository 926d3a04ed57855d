// SPDX-License-Identifier: MIT
// What the string instructions share: index registers, REP, and when a repetition lets others have
// a turn.
#pragma once

#include <algorithm>
#include <atomic>

#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {

// ESI, EDI and ECX as one instruction uses them: cut to the address size, going up or down with
// EFLAGS.DF.
class StringCursor {
  public:
    StringCursor(Cpu& cpu, const Insn& insn, u32 element)
        : cpu_(cpu),
          mask_(insn.address_size == 2 ? 0xffffu : 0xffffffffu),
          element_(element),
          down_((cpu.state.eflags & eflags::kDf) != 0) {}

    [[nodiscard]] u32 get(Gpr reg) const { return cpu_.state.gpr[reg] & mask_; }
    void set(Gpr reg, u32 value) {
        cpu_.state.gpr[reg] = (cpu_.state.gpr[reg] & ~mask_) | (value & mask_);
    }
    // Moves an index register by `elements`.
    void advance(Gpr reg, u32 elements = 1) {
        const u32 distance = elements * element_;
        set(reg, get(reg) + (down_ ? 0u - distance : distance));
    }
    [[nodiscard]] bool down() const { return down_; }
    [[nodiscard]] u32 mask() const { return mask_; }
    [[nodiscard]] u32 element() const { return element_; }

  private:
    Cpu& cpu_;
    u32 mask_;
    u32 element_;
    bool down_;
};

// How much one call of a handler does before it looks for requests: about what a page of bytes
// takes.
inline constexpr u32 kRepeatBurst = 4096;

// Leaves a repetition in the middle: EIP stays, what is done is done (SDM vol 2B, REP). RF keeps an
// instruction breakpoint here from firing again for the same instruction (SDM vol 3B §17.3.1.1).
inline void suspend_repeat(Cpu& cpu) {
    cpu.next_eip = cpu.state.eip;
    cpu.state.eflags |= eflags::kRf;
}

// The single step trap comes after each iteration, and so do requests and the breakpoints hit on
// the way.
inline bool repeat_interrupted(const Cpu& cpu) {
    return (cpu.state.eflags & eflags::kTf) != 0 || cpu.pending_debug() != 0 ||
           cpu.breakpoints.hit() || cpu.state.requests.load(std::memory_order_relaxed) != 0;
}

// Runs `step` once, or for REP as often as ECX says. `step(done)` handles one element and sets
// `done` if the repetition ends here; false: it faulted, the registers telling how far it came.
// `run(most, done)` may do up to `most` elements at once, and says how many it did.
template <class Step, class Run>
[[nodiscard]] bool repeat(Cpu& cpu, const Insn& insn, StringCursor& cursor, Step step, Run run) {
    bool done = false;
    if (insn.rep == 0) {
        return step(done);
    }
    u32 count = cursor.get(kEcx);
    u32 left = kRepeatBurst;
    const auto did = [&](u32 elements) {
        count -= elements;
        left -= elements;
        cursor.set(kEcx, count);
    };
    while (count != 0) {
        if (!repeat_interrupted(cpu)) {
            did(run(std::min(count, left), done));
            if (done || count == 0) {
                break;
            }
        }
        if (left != 0) {
            if (!step(done)) {
                return false;
            }
            did(1);
            if (done || count == 0) {
                break;
            }
        }
        if (left == 0 || repeat_interrupted(cpu)) {
            suspend_repeat(cpu);
            break;
        }
    }
    return true;
}

inline u32 no_run(u32, bool&) {
    return 0;
}

}  // namespace ennead::vmcore
