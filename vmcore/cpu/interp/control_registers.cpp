// SPDX-License-Identifier: MIT
// CR0, CR3 and CR4, and the instructions that move them.
#include "vmcore/cpu/interp/control_registers.h"

#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

constexpr u32 kCr0Known = cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs | cr0::kEt | cr0::kNe |
                          cr0::kWp | cr0::kAm | cr0::kNw | cr0::kCd | cr0::kPg;

bool pae_paging(u32 cr0, u32 cr4) {
    return (cr0 & cr0::kPg) != 0 && (cr4 & cr4::kPae) != 0;
}

bool supervisor(Cpu& cpu) {
    return cpu.state.cpl == 0 || cpu.raise(Vector::gp, 0);
}

// FERR# only exists while CR0.NE is clear; the x87 raises it, a change of NE withdraws it.
void update_ferr(Cpu& cpu) {
    if (cpu.state.ferr && (cpu.state.cr0 & cr0::kNe) != 0) {
        cpu.state.ferr = false;
        cpu.io.interrupts.ferr_changed(false);
    }
}

}  // namespace

bool write_cr0(Cpu& cpu, u32 value) {
    CpuState& state = cpu.state;
    const bool bad = ((value & cr0::kPg) != 0 && (value & cr0::kPe) == 0) ||
                     ((value & cr0::kNw) != 0 && (value & cr0::kCd) == 0);
    if (bad) {
        return cpu.raise(Vector::gp, 0);
    }
    value = (value & kCr0Known) | cr0::kEt;
    // SDM vol 3A §4.4.1: with PAE, changes of CD, NW and PG load the PDPTEs.
    const u32 changed = value ^ state.cr0;
    if (pae_paging(value, state.cr4) && (changed & (cr0::kPg | cr0::kCd | cr0::kNw)) != 0 &&
        !read_pdptes(cpu.mmu.memory(), state.cr3, state.pdpte)) {
        return cpu.raise(Vector::gp, 0);
    }
    state.cr0 = value;
    if ((changed & cr0::kPe) != 0) {
        state.cpl = 0;
    }
    // TS, MP, EM and NE change nothing that is derived; Linux changes TS often.
    if ((changed & ~(cr0::kTs | cr0::kMp | cr0::kEm | cr0::kNe)) != 0) {
        cpu.mode_changed();
    }
    update_ferr(cpu);
    return true;
}

void load_cr3(Cpu& cpu, u32 value, const std::array<u64, 4>& pdptes) {
    cpu.state.cr3 = value;
    cpu.state.pdpte = pdptes;
    cpu.mmu.flush_local();
}

bool write_cr3(Cpu& cpu, u32 value) {
    std::array<u64, 4> pdptes = cpu.state.pdpte;
    if (pae_paging(cpu.state.cr0, cpu.state.cr4) && !read_pdptes(cpu.mmu.memory(), value, pdptes)) {
        return cpu.raise(Vector::gp, 0);
    }
    load_cr3(cpu, value, pdptes);
    return true;
}

bool write_cr4(Cpu& cpu, u32 value) {
    CpuState& state = cpu.state;
    if ((value & ~kSupportedCr4) != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    constexpr u32 kPagingBits = cr4::kPae | cr4::kPge | cr4::kPse;
    if (pae_paging(state.cr0, value) && ((value ^ state.cr4) & kPagingBits) != 0 &&
        !read_pdptes(cpu.mmu.memory(), state.cr3, state.pdpte)) {
        return cpu.raise(Vector::gp, 0);
    }
    state.cr4 = value;
    cpu.mode_changed();
    return true;
}

bool exec_mov_r_cr(Cpu& cpu, const Insn& insn) {
    u32 value = 0;
    switch (insn.reg()) {
        case 0:
            value = cpu.state.cr0;
            break;
        case 2:
            value = cpu.state.cr2;
            break;
        case 3:
            value = cpu.state.cr3;
            break;
        case 4:
            value = cpu.state.cr4;
            break;
        default:
            return cpu.raise(Vector::ud);
    }
    if (!supervisor(cpu)) {
        return false;
    }
    cpu.set_r32(insn.rm(), value);
    return true;
}

bool exec_mov_cr_r(Cpu& cpu, const Insn& insn) {
    const unsigned number = insn.reg();
    if (number == 1 || number > 4) {
        return cpu.raise(Vector::ud);
    }
    if (!supervisor(cpu)) {
        return false;
    }
    const u32 value = cpu.r32(insn.rm());
    switch (number) {
        case 0:
            return write_cr0(cpu, value);
        case 3:
            return write_cr3(cpu, value);
        case 4:
            return write_cr4(cpu, value);
        default:
            cpu.state.cr2 = value;
            return true;
    }
}

bool exec_smsw(Cpu& cpu, const Insn& insn) {
    if (insn.has_memory) {
        return cpu.store(insn.segment, cpu.effective_offset(insn), static_cast<u16>(cpu.state.cr0));
    }
    if (insn.operand_size == 4) {
        cpu.set_r32(insn.rm(), cpu.state.cr0);
    } else {
        cpu.set_r16(insn.rm(), static_cast<u16>(cpu.state.cr0));
    }
    return true;
}

bool exec_lmsw(Cpu& cpu, const Insn& insn) {
    u16 value = 0;
    if (!supervisor(cpu)) {
        return false;
    }
    if (!insn.has_memory) {
        value = cpu.r16(insn.rm());
    } else if (!cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
        return false;
    }
    // SDM vol 2A, LMSW: PE MP EM TS, and PE cannot be cleared.
    constexpr u32 kLow = cr0::kMp | cr0::kEm | cr0::kTs;
    return write_cr0(cpu, (cpu.state.cr0 & ~kLow) | (value & (kLow | cr0::kPe)));
}

bool exec_clts(Cpu& cpu, const Insn&) {
    if (!supervisor(cpu)) {
        return false;
    }
    cpu.state.cr0 &= ~cr0::kTs;
    return true;
}

}  // namespace ennead::vmcore
