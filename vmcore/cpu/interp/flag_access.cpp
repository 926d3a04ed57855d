// SPDX-License-Identifier: MIT
// The instructions on IF and on EFLAGS as a whole: CLI, STI, PUSHF, POPF, with their virtual forms.
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

// Which IF the program moves: SDM vol 2, CLI, tables 3-7 and 4-22.
enum class IfAccess { real, virtual_flag, refused };

IfAccess if_access(const CpuState& state) {
    if (!state.protected_mode() || state.cpl <= state.iopl()) {
        // In virtual-8086 mode CPL is 3, so this is IOPL 3 there.
        return IfAccess::real;
    }
    const u32 enable = state.v86() ? cr4::kVme : cr4::kPvi;
    return state.cpl == 3 && (state.cr4 & enable) != 0 ? IfAccess::virtual_flag : IfAccess::refused;
}

// Virtual-8086 mode below IOPL 3, where PUSHF and POPF are the monitor's business or, with VME and
// 16 bits, VIF's.
bool virtual_below_iopl(const CpuState& state) {
    return state.protected_mode() && state.v86() && state.iopl() < 3;
}

bool vme_form(const CpuState& state, const Insn& insn) {
    return insn.operand_size == 2 && (state.cr4 & cr4::kVme) != 0;
}

void set_flags(Cpu& cpu, u32 popped, u32 mask) {
    const u32 before = cpu.state.eflags;
    cpu.state.eflags = (before & ~(mask | eflags::kRf)) | (popped & mask) | eflags::kFixed;
    if (((before ^ cpu.state.eflags) & eflags::kAc) != 0) {
        cpu.mode_changed();
    }
}

}  // namespace

bool exec_cli(Cpu& cpu, const Insn&) {
    switch (if_access(cpu.state)) {
        case IfAccess::real:
            cpu.state.eflags &= ~eflags::kIf;
            return true;
        case IfAccess::virtual_flag:
            cpu.state.eflags &= ~eflags::kVif;
            return true;
        default:
            return cpu.raise(Vector::gp, 0);
    }
}

bool exec_sti(Cpu& cpu, const Insn&) {
    CpuState& state = cpu.state;
    switch (if_access(state)) {
        case IfAccess::real:
            // One more instruction runs before an interrupt, if none could come before.
            state.interrupt_shadow = (state.eflags & eflags::kIf) == 0;
            state.eflags |= eflags::kIf;
            return true;
        case IfAccess::virtual_flag:
            if ((state.eflags & eflags::kVip) != 0) {
                return cpu.raise(Vector::gp, 0);
            }
            state.eflags |= eflags::kVif;
            return true;
        default:
            return cpu.raise(Vector::gp, 0);
    }
}

bool exec_pushf(Cpu& cpu, const Insn& insn) {
    const CpuState& state = cpu.state;
    u32 image = (state.eflags & ~(eflags::kVm | eflags::kRf)) | eflags::kFixed;
    if (virtual_below_iopl(state)) {
        if (!vme_form(state, insn)) {
            return cpu.raise(Vector::gp, 0);
        }
        image = (image & ~eflags::kIf) | eflags::kIopl;
        image |= (image & eflags::kVif) != 0 ? eflags::kIf : 0;
    }
    return insn.operand_size == 2 ? cpu.push(static_cast<u16>(image)) : cpu.push(image);
}

bool exec_popf(Cpu& cpu, const Insn& insn) {
    const CpuState& state = cpu.state;
    const bool virtual_flags = virtual_below_iopl(state);
    if (virtual_flags && !vme_form(state, insn)) {
        return cpu.raise(Vector::gp, 0);
    }
    u32 popped = 0;
    if (insn.operand_size == 2) {
        u16 half = 0;
        if (!cpu.load(Seg::ss, cpu.sp(), half)) {
            return false;
        }
        popped = half;
    } else if (!cpu.load(Seg::ss, cpu.sp(), popped)) {
        return false;
    }
    // SDM vol 2B, table 4-16: VM stays, RF is cleared, VIF and VIP stay; IOPL only moves at level
    // 0, IF only up to IOPL.
    u32 mask = eflags::kArith | eflags::kTf | eflags::kDf | eflags::kNt;
    mask |= insn.operand_size == 4 ? eflags::kAc | eflags::kId : 0;
    if (virtual_flags) {
        const bool wants_if = (popped & eflags::kIf) != 0;
        if ((popped & eflags::kTf) != 0 || (wants_if && (state.eflags & eflags::kVip) != 0)) {
            return cpu.raise(Vector::gp, 0);
        }
        popped = wants_if ? popped | eflags::kVif : popped & ~eflags::kVif;
        mask |= eflags::kVif;
    } else if (!state.protected_mode() || state.cpl == 0) {
        mask |= eflags::kIf | eflags::kIopl;
    } else if (state.cpl <= state.iopl()) {
        mask |= eflags::kIf;
    }
    cpu.set_sp(cpu.sp() + insn.operand_size);
    set_flags(cpu, popped, mask);
    return true;
}

}  // namespace ennead::vmcore
