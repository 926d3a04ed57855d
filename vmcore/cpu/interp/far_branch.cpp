// SPDX-License-Identifier: MIT
// Far JMP and CALL: to code segments, through call gates and task gates, to TSSs (SDM vol 2, JMP
// and CALL).
#include <algorithm>

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/far_transfer.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/stack_cursor.h"
#include "vmcore/cpu/task_switch.h"

namespace ennead::vmcore {
namespace {

enum class Kind { jump, call };

// A far pointer as the program gave it.
struct FarPointer {
    u16 selector = 0;
    u32 offset = 0;
};

// A call that stays on its stack: pushes CS:EIP and enters the target.
bool enter(Cpu& cpu, Kind kind, unsigned size, const CodeTarget& target) {
    StackCursor stack(cpu);
    if (kind == Kind::call && (!stack.push(cpu.state.segment(Seg::cs).selector, size) ||
                               !stack.push(cpu.next_eip, size))) {
        return false;
    }
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    cpu.state.gpr[kEsp] = stack.esp();
    commit_code(cpu, target);
    return true;
}

bool to_code_segment(Cpu& cpu, Kind kind, unsigned size, const FarPointer& to,
                     Descriptor& descriptor) {
    const unsigned cpl = cpu.state.cpl;
    const unsigned rpl = to.selector & 3;
    const bool allowed =
        descriptor.conforming() ? descriptor.dpl() <= cpl : rpl <= cpl && descriptor.dpl() == cpl;
    if (!allowed) {
        return cpu.raise(Vector::gp, selector_error(to.selector));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(to.selector));
    }
    CodeTarget target{.cs = {}, .eip = to.offset};
    return code_from(cpu, descriptor, to.selector, cpl, target.cs) &&
           enter(cpu, kind, size, target);
}

// SDM vol 3A §5.8.5: the new stack holds the old SS:ESP, the parameters, and the return address.
bool call_inner_level(Cpu& cpu, unsigned size, const Descriptor& gate, const CodeTarget& target) {
    const unsigned level = target.cs.selector & 3;
    InnerStack inner;
    if (!read_inner_stack(cpu, level, inner)) {
        return false;
    }
    StackCursor old_stack(cpu);
    StackCursor stack(cpu, inner.ss, inner.esp, false, selector_error(inner.ss.selector));
    if (!stack.push(cpu.state.segment(Seg::ss).selector, size) ||
        !stack.push(cpu.state.gpr[kEsp], size)) {
        return false;
    }
    for (unsigned i = gate.gate_parameters(); i-- != 0;) {
        u32 parameter = 0;
        if (!old_stack.peek(i * size, parameter, size) || !stack.push(parameter, size)) {
            return false;
        }
    }
    if (!stack.push(cpu.state.segment(Seg::cs).selector, size) || !stack.push(cpu.next_eip, size)) {
        return false;
    }
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    commit_code_and_stack(cpu, target, inner.ss, stack.esp());
    return true;
}

bool through_call_gate(Cpu& cpu, Kind kind, const Descriptor& gate) {
    const unsigned size = gate.is_32bit_system() ? 4 : 2;
    const u16 selector = gate.gate_selector();
    Descriptor code;
    bool inner = false;
    const GateLevels levels = kind == Kind::jump ? GateLevels::same : GateLevels::same_or_inner;
    if (!gate_code_segment(cpu, selector, levels, code, inner)) {
        return false;
    }
    CodeTarget target{.cs = {}, .eip = gate.gate_offset()};
    if (!code_from(cpu, code, selector, inner ? code.dpl() : cpu.state.cpl, target.cs)) {
        return false;
    }
    return inner ? call_inner_level(cpu, size, gate, target) : enter(cpu, kind, size, target);
}

bool to_task(Cpu& cpu, Kind kind, u16 selector) {
    const TaskSwitch how = kind == Kind::jump ? TaskSwitch::jump : TaskSwitch::nest;
    Descriptor tss;
    return read_tss_descriptor(cpu, selector, how, tss, CheckAs{}) &&
           switch_task(cpu, selector, tss, how, cpu.next_eip);
}

bool to_system_descriptor(Cpu& cpu, Kind kind, u16 selector, const Descriptor& descriptor) {
    const SystemType type = descriptor.type();
    const bool call_gate = type == SystemType::call_gate16 || type == SystemType::call_gate32;
    const bool task_gate = type == SystemType::task_gate;
    const bool fits = call_gate || task_gate || descriptor.is_tss();
    const unsigned rpl = selector & 3;
    if (!fits || descriptor.dpl() < std::max<unsigned>(rpl, cpu.state.cpl)) {
        return cpu.raise(Vector::gp, selector_error(selector));
    }
    if (descriptor.is_tss()) {
        return to_task(cpu, kind, selector);
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector));
    }
    return task_gate ? to_task(cpu, kind, descriptor.gate_selector())
                     : through_call_gate(cpu, kind, descriptor);
}

bool far_transfer(Cpu& cpu, Kind kind, unsigned size, const FarPointer& to) {
    if (!cpu.state.protected_mode() || cpu.state.v86()) {
        return enter(cpu, kind, size, {.cs = flat_mode_cs(cpu, to.selector), .eip = to.offset});
    }
    if (null_selector(to.selector)) {
        return cpu.raise(Vector::gp, 0);
    }
    Descriptor descriptor;
    if (!read_descriptor(cpu, to.selector, descriptor)) {
        return false;
    }
    if (descriptor.system()) {
        return to_system_descriptor(cpu, kind, to.selector, descriptor);
    }
    if (!descriptor.code()) {
        return cpu.raise(Vector::gp, selector_error(to.selector));
    }
    return to_code_segment(cpu, kind, size, to, descriptor);
}

bool by_immediate(Cpu& cpu, const Insn& insn, Kind kind) {
    const u32 offset = insn.operand_size == 2 ? insn.imm & 0xffff : insn.imm;
    return far_transfer(cpu, kind, insn.operand_size, {insn.imm2, offset});
}

bool by_memory(Cpu& cpu, const Insn& insn, Kind kind) {
    if (!insn.has_memory) {
        return cpu.raise(Vector::ud);
    }
    const u32 at = cpu.effective_offset(insn);
    FarPointer to;
    if (insn.operand_size == 2) {
        u16 offset = 0;
        if (!cpu.load(insn.segment, at, offset)) {
            return false;
        }
        to.offset = offset;
    } else if (!cpu.load(insn.segment, at, to.offset)) {
        return false;
    }
    return cpu.load(insn.segment, at + insn.operand_size, to.selector) &&
           far_transfer(cpu, kind, insn.operand_size, to);
}

}  // namespace

bool exec_jmp_far_imm(Cpu& cpu, const Insn& insn) {
    return by_immediate(cpu, insn, Kind::jump);
}
bool exec_jmp_far_mem(Cpu& cpu, const Insn& insn) {
    return by_memory(cpu, insn, Kind::jump);
}
bool exec_call_far_imm(Cpu& cpu, const Insn& insn) {
    return by_immediate(cpu, insn, Kind::call);
}
bool exec_call_far_mem(Cpu& cpu, const Insn& insn) {
    return by_memory(cpu, insn, Kind::call);
}

}  // namespace ennead::vmcore
