// SPDX-License-Identifier: MIT
// MXCSR, EMMS, and the instructions about order and caches.
#include <atomic>

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {

bool exec_ldmxcsr(Cpu& cpu, const Insn& insn) {
    u32 value = 0;
    if (!check_sse(cpu) || !cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
        return false;
    }
    if ((value & ~mxcsr::kSupported) != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    // SDM vol 2A, LDMXCSR: a flag that is set and no longer masked raises nothing by itself.
    cpu.state.mxcsr = value;
    return true;
}

bool exec_stmxcsr(Cpu& cpu, const Insn& insn) {
    return check_sse(cpu) && cpu.store(insn.segment, cpu.effective_offset(insn), cpu.state.mxcsr);
}

bool exec_emms(Cpu& cpu, const Insn&) {
    if (!check_mmx(cpu)) {
        return false;
    }
    x87::leave_mmx(cpu.state.x87);
    return true;
}

// The guest's accesses are the host's, in its order; devices and other threads see them through
// this.
bool exec_mfence(Cpu&, const Insn&) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return true;
}
bool exec_lfence(Cpu& cpu, const Insn& insn) {
    return exec_mfence(cpu, insn);
}
bool exec_sfence(Cpu& cpu, const Insn& insn) {
    return exec_mfence(cpu, insn);
}

// SDM vol 2A, CLFLUSH: faults as a load of a byte does. There is no cache to flush.
bool exec_clflush(Cpu& cpu, const Insn& insn) {
    u8 ignored = 0;
    return cpu.load(insn.segment, cpu.effective_offset(insn), ignored);
}

}  // namespace ennead::vmcore
