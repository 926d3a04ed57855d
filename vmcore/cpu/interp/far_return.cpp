// SPDX-License-Identifier: MIT
// Far RET and IRET in every mode (SDM vol 2, RET and IRET), SYSENTER and SYSEXIT.
#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/far_transfer.h"
#include "vmcore/cpu/flat_transfer.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/stack_cursor.h"
#include "vmcore/cpu/task_switch.h"

namespace ennead::vmcore {
namespace {

// CS of a far return in protected mode, checked; the level returned to is its RPL.
bool return_code_segment(Cpu& cpu, u16 selector, Segment& out) {
    const auto refuse = [&] { return cpu.raise(Vector::gp, selector_error(selector)); };
    if (null_selector(selector)) {
        return cpu.raise(Vector::gp, 0);
    }
    Descriptor descriptor;
    if (!read_descriptor(cpu, selector, descriptor)) {
        return false;
    }
    const unsigned rpl = selector & 3;
    if (!descriptor.code() || rpl < cpu.state.cpl ||
        (descriptor.conforming() ? descriptor.dpl() > rpl : descriptor.dpl() != rpl)) {
        return refuse();
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector));
    }
    return code_from(cpu, descriptor, selector, rpl, out);
}

// The end that RET and IRET share: to `target` on this level, or with SS:ESP popped to an outer
// one. `release` bytes of parameters are dropped on both stacks.
bool return_to(Cpu& cpu, StackCursor& stack, const CodeTarget& target, unsigned size, u32 release) {
    const unsigned level = target.cs.selector & 3;
    stack.skip(release);
    if (level == cpu.state.cpl) {
        if (target.eip > target.cs.limit) {
            return cpu.raise(Vector::gp, 0);
        }
        cpu.state.gpr[kEsp] = stack.esp();
        commit_code(cpu, target);
        return true;
    }
    u32 esp = 0, selector = 0;
    Segment ss;
    if (!stack.pop(esp, size) || !stack.pop(selector, size) ||
        !stack_segment(cpu, static_cast<u16>(selector), level, ss)) {
        return false;
    }
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    // A 16-bit outer stack takes only SP; what stands above it in ESP stays, as on every processor.
    StackCursor outer(cpu, ss, ss.big() ? esp : (cpu.state.gpr[kEsp] & 0xffff0000) | (esp & 0xffff),
                      true);
    outer.skip(release);
    commit_code_and_stack(cpu, target, ss, outer.esp());
    drop_inner_data_segments(cpu);
    return true;
}

bool ret_far(Cpu& cpu, unsigned size, u32 release) {
    StackCursor stack(cpu);
    CodeTarget target;
    u32 selector = 0;
    if (!stack.pop(target.eip, size) || !stack.pop(selector, size)) {
        return false;
    }
    if (cpu.state.protected_mode() && !cpu.state.v86()) {
        return return_code_segment(cpu, static_cast<u16>(selector), target.cs) &&
               return_to(cpu, stack, target, size, release);
    }
    target.cs = flat_mode_cs(cpu, static_cast<u16>(selector));
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    stack.skip(release);
    cpu.state.gpr[kEsp] = stack.esp();
    commit_code(cpu, target);
    return true;
}

// --- IRET
// ---------------------------------------------------------------------------------------------------------

constexpr u32 kAlwaysPopped = eflags::kArith | eflags::kTf | eflags::kDf | eflags::kNt;

// Only AC matters to what is derived from the mode; VM changes with the privilege, which
// commit_code() follows.
void set_flags(Cpu& cpu, u32 popped, u32 mask) {
    const u32 before = cpu.state.eflags;
    cpu.state.eflags = (before & ~mask) | (popped & mask) | eflags::kFixed;
    if (((before ^ cpu.state.eflags) & eflags::kAc) != 0) {
        cpu.mode_changed();
    }
}

// SDM vol 3A §20.3.2: once VIP and VIF are both set the next instruction does not run. EIP already
// points there.
bool check_pending_virtual_interrupt(Cpu& cpu) {
    const CpuState& state = cpu.state;
    const bool watching =
        state.v86() ? (state.cr4 & cr4::kVme) != 0 : state.cpl == 3 && (state.cr4 & cr4::kPvi) != 0;
    constexpr u32 kBoth = eflags::kVif | eflags::kVip;
    if (watching && (state.eflags & kBoth) == kBoth && state.iopl() < 3) {
        return cpu.raise(Vector::gp, 0);
    }
    return true;
}

struct Frame {
    u32 eip = 0, cs = 0, flags = 0;
};

bool pop_frame(StackCursor& stack, Frame& frame, unsigned size) {
    return stack.pop(frame.eip, size) && stack.pop(frame.cs, size) && stack.pop(frame.flags, size);
}

bool iret_to_v86(Cpu& cpu, StackCursor& stack, const Frame& frame) {
    // ESP SS ES DS FS GS follow.
    u32 values[6] = {};
    for (u32& value : values) {
        if (!stack.pop(value, 4)) {
            return false;
        }
    }
    if (frame.eip > 0xffff) {
        return cpu.raise(Vector::gp, 0);
    }
    CpuState& state = cpu.state;
    constexpr u32 kMask = kAlwaysPopped | eflags::kRf | eflags::kAc | eflags::kId | eflags::kIf |
                          eflags::kIopl | eflags::kVm | eflags::kVif | eflags::kVip;
    state.eflags = (state.eflags & ~kMask) | (frame.flags & kMask) | eflags::kFixed;
    constexpr Seg kOrder[] = {Seg::ss, Seg::es, Seg::ds, Seg::fs, Seg::gs};
    for (unsigned i = 0; i < 5; ++i) {
        state.segment(kOrder[i]) = v86_segment(static_cast<u16>(values[i + 1]));
    }
    state.gpr[kEsp] = values[0];
    commit_code(cpu, {v86_segment(static_cast<u16>(frame.cs)), frame.eip});
    return check_pending_virtual_interrupt(cpu);
}

// SDM vol 3A §20.2.9 and §20.3: with IOPL 3 as in real mode, below it only with VME, on the virtual
// flags.
bool iret_in_v86(Cpu& cpu, unsigned size) {
    CpuState& state = cpu.state;
    const bool virtual_flags = state.iopl() < 3;
    if (virtual_flags && (size == 4 || (state.cr4 & cr4::kVme) == 0)) {
        return cpu.raise(Vector::gp, 0);
    }
    StackCursor stack(cpu);
    Frame frame;
    if (!pop_frame(stack, frame, size)) {
        return false;
    }
    const bool wants_if = (frame.flags & eflags::kIf) != 0;
    if (frame.eip > 0xffff ||
        (virtual_flags &&
         ((frame.flags & eflags::kTf) != 0 || (wants_if && (state.eflags & eflags::kVip) != 0)))) {
        return cpu.raise(Vector::gp, 0);
    }
    state.gpr[kEsp] = stack.esp();
    commit_code(cpu, {v86_segment(static_cast<u16>(frame.cs)), frame.eip});
    u32 mask = kAlwaysPopped | (virtual_flags ? 0 : eflags::kIf);
    mask |= size == 4 ? eflags::kRf | eflags::kAc | eflags::kId : 0;
    if (virtual_flags) {
        frame.flags = wants_if ? frame.flags | eflags::kVif : frame.flags & ~eflags::kVif;
        mask |= eflags::kVif;
    }
    set_flags(cpu, frame.flags, mask);
    return true;
}

bool iret_real(Cpu& cpu, unsigned size) {
    StackCursor stack(cpu);
    Frame frame;
    if (!pop_frame(stack, frame, size)) {
        return false;
    }
    const CodeTarget target{flat_mode_cs(cpu, static_cast<u16>(frame.cs)), frame.eip};
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    cpu.state.gpr[kEsp] = stack.esp();
    commit_code(cpu, target);
    u32 mask = kAlwaysPopped | eflags::kIf | eflags::kIopl;
    mask |= size == 4 ? eflags::kRf | eflags::kAc | eflags::kId : 0;
    set_flags(cpu, frame.flags, mask);
    return true;
}

// Back along the link of a nested task.
bool iret_from_task(Cpu& cpu) {
    u16 link = 0;
    Descriptor tss;
    return cpu.load_system(LinearAddr{cpu.state.tr.base}, link) &&
           read_tss_descriptor(cpu, link, TaskSwitch::leave, tss, CheckAs{Vector::ts, 0}) &&
           switch_task(cpu, link, tss, TaskSwitch::leave, cpu.next_eip);
}

bool iret_protected(Cpu& cpu, unsigned size) {
    CpuState& state = cpu.state;
    if (size == 4 && iret_flat(cpu)) {
        return true;
    }
    if ((state.eflags & eflags::kNt) != 0) {
        return iret_from_task(cpu);
    }
    StackCursor stack(cpu);
    Frame frame;
    if (!pop_frame(stack, frame, size)) {
        return false;
    }
    if (size == 4 && (frame.flags & eflags::kVm) != 0 && state.cpl == 0) {
        return iret_to_v86(cpu, stack, frame);
    }
    // What may change depends on the level that executes IRET, not on the one returned to.
    u32 mask = kAlwaysPopped;
    mask |= size == 4 ? eflags::kRf | eflags::kAc | eflags::kId : 0;
    mask |= state.cpl <= state.iopl() ? eflags::kIf : 0;
    if (state.cpl == 0) {
        mask |= eflags::kIopl | (size == 4 ? eflags::kVif | eflags::kVip : 0);
    }
    CodeTarget target{.cs = {}, .eip = frame.eip};
    if (!return_code_segment(cpu, static_cast<u16>(frame.cs), target.cs) ||
        !return_to(cpu, stack, target, size, 0)) {
        return false;
    }
    set_flags(cpu, frame.flags, mask);
    return check_pending_virtual_interrupt(cpu);
}

// --- SYSENTER, SYSEXIT: SS and CS are flat whatever the tables say (SDM vol 2B)
// -----------------------------------

u16 flat_attr(unsigned level, bool code) {
    const u16 type = code ? Segment::kCode | Segment::kReadable : Segment::kWritable;
    return static_cast<u16>(type | Segment::kAccessed | Segment::kCodeOrData | level << 5 |
                            Segment::kPresent | Segment::kBig | Segment::kGranular);
}

// CS with its RPL as the new privilege, SS behind it. Set before the privilege is: leaving
// virtual-8086 mode derives all of them again.
void enter_flat_segments(Cpu& cpu, u16 cs, u32 eip, u32 esp) {
    const unsigned level = cs & 3;
    cpu.set_wide_segment(Seg::cs, 0, cs, flat_attr(level, true));
    cpu.set_wide_segment(Seg::ss, 0, static_cast<u16>(cs + 8), flat_attr(level, false));
    cpu.next_eip = cpu.state.eip = eip;
    cpu.state.gpr[kEsp] = esp;
    cpu.set_cpl(level);
}

}  // namespace

bool exec_ret_far(Cpu& cpu, const Insn& insn) {
    return ret_far(cpu, insn.operand_size, 0);
}
bool exec_ret_far_imm(Cpu& cpu, const Insn& insn) {
    return ret_far(cpu, insn.operand_size, insn.imm & 0xffff);
}

bool exec_iret(Cpu& cpu, const Insn& insn) {
    // SDM vol 3A §6.7.1: NMIs come again with the next IRET, be it one that faults.
    cpu.state.nmi_blocked = false;
    if (!cpu.state.protected_mode()) {
        return iret_real(cpu, insn.operand_size);
    }
    return cpu.state.v86() ? iret_in_v86(cpu, insn.operand_size)
                           : iret_protected(cpu, insn.operand_size);
}

bool exec_sysenter(Cpu& cpu, const Insn&) {
    CpuState& state = cpu.state;
    if (!state.protected_mode() || null_selector(static_cast<u16>(state.sysenter_cs))) {
        return cpu.raise(Vector::gp, 0);
    }
    state.eflags &= ~(eflags::kVm | eflags::kIf | eflags::kRf);
    const auto cs = static_cast<u16>(state.sysenter_cs & 0xfffc);
    enter_flat_segments(cpu, cs, state.sysenter_eip, state.sysenter_esp);
    return true;
}

bool exec_sysexit(Cpu& cpu, const Insn&) {
    CpuState& state = cpu.state;
    if (!state.protected_mode() || state.cpl != 0 ||
        null_selector(static_cast<u16>(state.sysenter_cs))) {
        return cpu.raise(Vector::gp, 0);
    }
    const auto cs = static_cast<u16>((state.sysenter_cs & 0xfffc) + 16 + 3);
    enter_flat_segments(cpu, cs, state.gpr[kEdx], state.gpr[kEcx]);
    return true;
}

}  // namespace ennead::vmcore
