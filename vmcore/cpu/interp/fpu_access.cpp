// SPDX-License-Identifier: MIT
// The checks that come before x87, MMX and SSE instructions.
#include "vmcore/cpu/interp/fpu_access.h"

#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {

bool check_x87(Cpu& cpu) {
    return (cpu.state.cr0 & (cr0::kEm | cr0::kTs)) == 0 || cpu.raise(Vector::nm);
}

bool check_mmx(Cpu& cpu) {
    if ((cpu.state.cr0 & cr0::kEm) != 0) {
        return cpu.raise(Vector::ud);
    }
    return check_x87(cpu) && check_x87_pending(cpu);
}

bool check_sse(Cpu& cpu) {
    if ((cpu.state.cr0 & cr0::kEm) != 0 || (cpu.state.cr4 & cr4::kOsfxsr) == 0) {
        return cpu.raise(Vector::ud);
    }
    return check_x87(cpu);
}

bool check_x87_pending(Cpu& cpu) {
    if (!x87::pending(cpu.state.x87)) {
        return true;
    }
    if ((cpu.state.cr0 & cr0::kNe) != 0) {
        return cpu.raise(Vector::mf);
    }
    update_x87_ferr(cpu);
    return true;
}

void update_x87_ferr(Cpu& cpu) {
    const bool wanted = x87::pending(cpu.state.x87) && (cpu.state.cr0 & cr0::kNe) == 0;
    if (wanted != cpu.state.ferr) {
        cpu.state.ferr = wanted;
        cpu.io.interrupts.ferr_changed(wanted);
    }
}

}  // namespace ennead::vmcore
