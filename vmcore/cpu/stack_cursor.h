// SPDX-License-Identifier: MIT
// A stack that a far transfer builds up or takes apart before it commits anything to registers.
#pragma once

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Works on any SS, also one that is not loaded yet. Failed limit checks raise #SS(error); accesses
// as a user raise #AC as those of other instructions do; all of them hit data breakpoints.
class StackCursor {
  public:
    // `user`: accesses count as those of CPL 3.
    StackCursor(Cpu& cpu, const Segment& ss, u32 esp, bool user, u16 error = 0)
        : cpu_(cpu), ss_(ss), esp_(esp), user_(user), error_(error) {}
    // The stack as it is now.
    explicit StackCursor(Cpu& cpu)
        : StackCursor(cpu, cpu.state.segment(Seg::ss), cpu.state.gpr[kEsp], cpu.state.cpl == 3) {}

    [[nodiscard]] bool push(u32 value, unsigned size);
    [[nodiscard]] bool pop(u32& value, unsigned size);
    // Reads at a distance above the pointer and leaves it.
    [[nodiscard]] bool peek(u32 distance, u32& value, unsigned size);
    // The pointer moves up without an access.
    void skip(u32 bytes) { move_to((esp_ & mask()) + bytes); }
    // The whole ESP: the bits above a 16-bit stack's pointer stay.
    [[nodiscard]] u32 esp() const { return esp_; }

  private:
    [[nodiscard]] u32 mask() const { return ss_.big() ? 0xffffffffu : 0xffffu; }
    void move_to(u32 pointer) { esp_ = (esp_ & ~mask()) | (pointer & mask()); }
    [[nodiscard]] bool inside(u32 offset, unsigned size);

    Cpu& cpu_;
    Segment ss_;
    u32 esp_;
    bool user_;
    u16 error_;
};

}  // namespace ennead::vmcore
