// SPDX-License-Identifier: MIT
// Pushes and pops with the checks of a segment that need not be the current SS.
#include "vmcore/cpu/stack_cursor.h"

namespace ennead::vmcore {

bool StackCursor::inside(u32 offset, unsigned size) {
    const u32 last = offset + (size - 1);
    const bool wraps = last < offset;
    bool fits = false;
    if ((ss_.attr & (Segment::kCode | Segment::kExpandDown)) == Segment::kExpandDown) {
        fits = !wraps && offset > ss_.limit && last <= mask();
    } else {
        fits = ss_.limit == 0xffffffffu || (!wraps && last <= ss_.limit);
    }
    return fits || cpu_.raise(Vector::ss, error_);
}

bool StackCursor::push(u32 value, unsigned size) {
    const u32 offset = (esp_ - size) & mask();
    const LinearAddr address{ss_.base + offset};
    GuestFault fault;
    if (!inside(offset, size) || (user_ && !cpu_.check_alignment(address, size))) {
        return false;
    }
    if (!cpu_.mmu.write(address, &value, size, user_, fault)) {
        return cpu_.raise(fault);
    }
    cpu_.note_data_breakpoints(address, size, Access::write);
    move_to(offset);
    return true;
}

bool StackCursor::peek(u32 distance, u32& value, unsigned size) {
    const u32 offset = (esp_ + distance) & mask();
    const LinearAddr address{ss_.base + offset};
    GuestFault fault;
    if (!inside(offset, size) || (user_ && !cpu_.check_alignment(address, size))) {
        return false;
    }
    value = 0;
    if (!cpu_.mmu.read(address, &value, size, user_, fault)) {
        return cpu_.raise(fault);
    }
    cpu_.note_data_breakpoints(address, size, Access::read);
    return true;
}

bool StackCursor::pop(u32& value, unsigned size) {
    if (!peek(0, value, size)) {
        return false;
    }
    skip(size);
    return true;
}

}  // namespace ennead::vmcore
