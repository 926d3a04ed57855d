// SPDX-License-Identifier: MIT
// Moves to and from segment registers, and the instructions that ask about or load descriptors.
#include <algorithm>

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

// The 16-bit operand of a ModRM encoding.
bool read_rm16(Cpu& cpu, const Insn& insn, u16& value) {
    if (insn.has_memory) {
        return cpu.load(insn.segment, cpu.effective_offset(insn), value);
    }
    value = cpu.r16(insn.rm());
    return true;
}

// A 16-bit result: memory takes 16 bits, a 32-bit register is zero-extended (SDM vol 2: MOV, SLDT,
// STR).
bool write_rm16(Cpu& cpu, const Insn& insn, u16 value) {
    if (insn.has_memory) {
        return cpu.store(insn.segment, cpu.effective_offset(insn), value);
    }
    if (insn.operand_size == 4) {
        cpu.set_r32(insn.rm(), value);
    } else {
        cpu.set_r16(insn.rm(), value);
    }
    return true;
}

bool protected_only(Cpu& cpu) {
    return (cpu.state.protected_mode() && !cpu.state.v86()) || cpu.raise(Vector::ud);
}

void set_zf(Cpu& cpu, bool on) {
    cpu.state.eflags = on ? cpu.state.eflags | eflags::kZf : cpu.state.eflags & ~eflags::kZf;
}

template <class T>
bool load_far_pointer(Cpu& cpu, const Insn& insn, Seg seg) {
    if (!insn.has_memory) {
        return cpu.raise(Vector::ud);
    }
    const u32 offset = cpu.effective_offset(insn);
    T value = 0;
    u16 selector = 0;
    if (!cpu.load(insn.segment, offset, value) ||
        !cpu.load(insn.segment, offset + static_cast<u32>(sizeof(T)), selector) ||
        !load_segment_register(cpu, seg, selector)) {
        return false;
    }
    if constexpr (sizeof(T) == 2) {
        cpu.set_r16(insn.reg(), value);
    } else {
        cpu.set_r32(insn.reg(), value);
    }
    return true;
}

bool load_pointer(Cpu& cpu, const Insn& insn, Seg seg) {
    return insn.operand_size == 2 ? load_far_pointer<u16>(cpu, insn, seg)
                                  : load_far_pointer<u32>(cpu, insn, seg);
}

// What LAR, LSL, VERR and VERW share: the selector's descriptor, if the program could see it.
bool look_up(Cpu& cpu, const Insn& insn, u16& selector, bool& visible, Descriptor& out) {
    if (!protected_only(cpu) || !read_rm16(cpu, insn, selector) ||
        !try_read_descriptor(cpu, selector, visible, out)) {
        return false;
    }
    const unsigned rpl = selector & 3;
    visible = visible && (out.conforming() || std::max<unsigned>(rpl, cpu.state.cpl) <= out.dpl());
    return true;
}

void write_looked_up(Cpu& cpu, const Insn& insn, u32 value) {
    if (insn.operand_size == 2) {
        cpu.set_r16(insn.reg(), static_cast<u16>(value));
    } else {
        cpu.set_r32(insn.reg(), value);
    }
}

template <class T>
bool pop_segment(Cpu& cpu, Seg seg) {
    T value = 0;
    if (!cpu.load(Seg::ss, cpu.sp(), value)) {
        return false;
    }
    // The old stack's size decides about the pointer, so it is worked out before SS changes.
    const u32 mask = cpu.stack_mask();
    const u32 next = (cpu.sp() + static_cast<u32>(sizeof(T))) & mask;
    if (!load_segment_register(cpu, seg, static_cast<u16>(value))) {
        return false;
    }
    cpu.state.gpr[kEsp] = (cpu.state.gpr[kEsp] & ~mask) | next;
    // SDM vol 3A §6.8.3: nothing comes between a load of SS and the instruction after it.
    cpu.state.interrupt_shadow = seg == Seg::ss;
    return true;
}

}  // namespace

bool exec_mov_rm_sreg(Cpu& cpu, const Insn& insn) {
    if (insn.reg() >= kSegCount) {
        return cpu.raise(Vector::ud);
    }
    return write_rm16(cpu, insn, cpu.state.seg[insn.reg()].selector);
}

bool exec_mov_sreg_rm(Cpu& cpu, const Insn& insn) {
    const auto seg = static_cast<Seg>(insn.reg());
    if (insn.reg() >= kSegCount || seg == Seg::cs) {
        return cpu.raise(Vector::ud);
    }
    u16 selector = 0;
    if (!read_rm16(cpu, insn, selector) || !load_segment_register(cpu, seg, selector)) {
        return false;
    }
    cpu.state.interrupt_shadow = seg == Seg::ss;
    return true;
}

bool exec_push_sreg(Cpu& cpu, const Insn& insn) {
    const u16 selector = cpu.state.segment(insn.segment_of_opcode()).selector;
    return insn.operand_size == 2 ? cpu.push<u16>(selector) : cpu.push<u32>(selector);
}

bool exec_pop_sreg(Cpu& cpu, const Insn& insn) {
    const Seg seg = insn.segment_of_opcode();
    return insn.operand_size == 2 ? pop_segment<u16>(cpu, seg) : pop_segment<u32>(cpu, seg);
}

bool exec_les(Cpu& cpu, const Insn& insn) {
    return load_pointer(cpu, insn, Seg::es);
}
bool exec_lds(Cpu& cpu, const Insn& insn) {
    return load_pointer(cpu, insn, Seg::ds);
}
bool exec_lfs(Cpu& cpu, const Insn& insn) {
    return load_pointer(cpu, insn, Seg::fs);
}
bool exec_lgs(Cpu& cpu, const Insn& insn) {
    return load_pointer(cpu, insn, Seg::gs);
}
// LSS needs no shadow: it loads SS and ESP at once (SDM vol 3A §6.8.3).
bool exec_lss(Cpu& cpu, const Insn& insn) {
    return load_pointer(cpu, insn, Seg::ss);
}

bool exec_lar(Cpu& cpu, const Insn& insn) {
    u16 selector = 0;
    bool visible = false;
    Descriptor descriptor;
    if (!look_up(cpu, insn, selector, visible, descriptor)) {
        return false;
    }
    // SDM vol 2A, table 3-51: no interrupt or trap gates, no reserved types.
    constexpr u32 kSystemTypes =
        1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
    visible = visible && (!descriptor.system() ||
                          (kSystemTypes >> static_cast<unsigned>(descriptor.type()) & 1) != 0);
    set_zf(cpu, visible);
    if (visible) {
        write_looked_up(cpu, insn, descriptor.high & 0x00ffff00);
    }
    return true;
}

bool exec_lsl(Cpu& cpu, const Insn& insn) {
    u16 selector = 0;
    bool visible = false;
    Descriptor descriptor;
    if (!look_up(cpu, insn, selector, visible, descriptor)) {
        return false;
    }
    visible = visible &&
              (!descriptor.system() || descriptor.is_tss() || descriptor.type() == SystemType::ldt);
    set_zf(cpu, visible);
    if (visible) {
        write_looked_up(cpu, insn, descriptor.limit());
    }
    return true;
}

bool exec_verr(Cpu& cpu, const Insn& insn) {
    u16 selector = 0;
    bool visible = false;
    Descriptor descriptor;
    if (!look_up(cpu, insn, selector, visible, descriptor)) {
        return false;
    }
    set_zf(cpu, visible && descriptor.readable());
    return true;
}

bool exec_verw(Cpu& cpu, const Insn& insn) {
    u16 selector = 0;
    bool visible = false;
    Descriptor descriptor;
    if (!look_up(cpu, insn, selector, visible, descriptor)) {
        return false;
    }
    set_zf(cpu, visible && descriptor.writable());
    return true;
}

bool exec_arpl(Cpu& cpu, const Insn& insn) {
    if (!protected_only(cpu)) {
        return false;
    }
    const u16 rpl = cpu.r16(insn.reg()) & 3;
    u16 selector = 0;
    if (!insn.has_memory) {
        selector = cpu.r16(insn.rm());
    } else if (!cpu.load_for_store(insn.segment, cpu.effective_offset(insn), selector)) {
        return false;
    }
    const bool raised = (selector & 3) < rpl;
    if (raised) {
        selector = static_cast<u16>((selector & 0xfffc) | rpl);
        if (!insn.has_memory) {
            cpu.set_r16(insn.rm(), selector);
        } else if (!cpu.store(insn.segment, cpu.effective_offset(insn), selector)) {
            return false;
        }
    }
    set_zf(cpu, raised);
    return true;
}

bool exec_sldt(Cpu& cpu, const Insn& insn) {
    return protected_only(cpu) && write_rm16(cpu, insn, cpu.state.ldtr.selector);
}

bool exec_str(Cpu& cpu, const Insn& insn) {
    return protected_only(cpu) && write_rm16(cpu, insn, cpu.state.tr.selector);
}

bool exec_lldt(Cpu& cpu, const Insn& insn) {
    if (!protected_only(cpu)) {
        return false;
    }
    u16 selector = 0;
    if (cpu.state.cpl != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    if (!read_rm16(cpu, insn, selector)) {
        return false;
    }
    if (null_selector(selector)) {
        cpu.state.ldtr = Segment{.base = 0, .limit = 0, .selector = selector, .attr = 0};
        return true;
    }
    Descriptor descriptor;
    if ((selector & 4) != 0) {
        return cpu.raise(Vector::gp, selector_error(selector));
    }
    if (!read_descriptor(cpu, selector, descriptor)) {
        return false;
    }
    if (!descriptor.system() || descriptor.type() != SystemType::ldt) {
        return cpu.raise(Vector::gp, selector_error(selector));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector));
    }
    cpu.state.ldtr = descriptor.segment(selector);
    return true;
}

bool exec_ltr(Cpu& cpu, const Insn& insn) {
    if (!protected_only(cpu)) {
        return false;
    }
    u16 selector = 0;
    if (cpu.state.cpl != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    if (!read_rm16(cpu, insn, selector)) {
        return false;
    }
    if (null_selector(selector)) {
        return cpu.raise(Vector::gp, 0);
    }
    Descriptor descriptor;
    if ((selector & 4) != 0) {
        return cpu.raise(Vector::gp, selector_error(selector));
    }
    if (!read_descriptor(cpu, selector, descriptor)) {
        return false;
    }
    if (!descriptor.is_tss() || descriptor.busy()) {
        return cpu.raise(Vector::gp, selector_error(selector));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector));
    }
    if (!mark_busy(cpu, descriptor, true)) {
        return false;
    }
    cpu.state.tr = descriptor.segment(selector);
    return true;
}

}  // namespace ennead::vmcore
