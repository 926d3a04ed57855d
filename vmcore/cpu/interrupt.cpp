// SPDX-License-Identifier: MIT
// Interrupts and exceptions through the IVT and the IDT, double faults and shutdown (SDM vol 3A §6,
// §20).
#include "vmcore/cpu/interrupt.h"

#include <optional>

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/far_transfer.h"
#include "vmcore/cpu/flat_transfer.h"
#include "vmcore/cpu/interp/debug.h"
#include "vmcore/cpu/stack_cursor.h"
#include "vmcore/cpu/task_switch.h"

namespace ennead::vmcore {
namespace {

struct Event {
    u8 vector = 0;
    // INT n, INT3, INTO: the gate's DPL is checked and error codes have EXT clear.
    bool software = false;
    std::optional<u16> error_code = {};
    u32 return_eip = 0;
    bool resume =
        false;  // RF is set in the flags pushed: returning must not hit the same breakpoint again

    [[nodiscard]] u16 ext() const { return software ? 0 : 1; }
    [[nodiscard]] u16 idt_error() const { return static_cast<u16>(u16{vector} * 8 + 2 + ext()); }
};

u32 pushed_flags(const Cpu& cpu, const Event& event) {
    const u32 flags = cpu.state.eflags | eflags::kFixed;
    return event.resume ? flags | eflags::kRf : flags;
}

// --- through the interrupt vector table
// -----------------------------------------------------------------------------

// FLAGS, CS and IP on a 16-bit frame, then the far pointer at the vector's place in `table`.
bool enter_by_vector_table(Cpu& cpu, LinearAddr table, u16 flags, const Event& event) {
    u32 pointer = 0;
    StackCursor stack(cpu);
    if (!cpu.load_system(table + event.vector * 4u, pointer) || !stack.push(flags, 2) ||
        !stack.push(cpu.state.segment(Seg::cs).selector, 2) || !stack.push(event.return_eip, 2)) {
        return false;
    }
    const CodeTarget target{flat_mode_cs(cpu, static_cast<u16>(pointer >> 16)), pointer & 0xffff};
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, 0);
    }
    cpu.state.gpr[kEsp] = stack.esp();
    commit_code(cpu, target);
    return true;
}

bool enter_real(Cpu& cpu, const Event& event) {
    CpuState& state = cpu.state;
    if (event.vector * 4u + 3 > state.idtr.limit) {
        return cpu.raise(Vector::gp, event.idt_error());
    }
    if (!enter_by_vector_table(cpu, LinearAddr{state.idtr.base},
                               static_cast<u16>(pushed_flags(cpu, event)), event)) {
        return false;
    }
    state.eflags &= ~(eflags::kIf | eflags::kTf | eflags::kAc | eflags::kRf);
    return true;
}

// --- through the IDT
// ---------------------------------------------------------------------------------------------------

bool push_error_code(StackCursor& stack, const Event& event, unsigned size) {
    return !event.error_code || stack.push(*event.error_code, size);
}

bool push_return(Cpu& cpu, StackCursor& stack, const Event& event, unsigned size) {
    return stack.push(pushed_flags(cpu, event), size) &&
           stack.push(cpu.state.segment(Seg::cs).selector, size) &&
           stack.push(event.return_eip, size) && push_error_code(stack, event, size);
}

void clear_flags_for_handler(Cpu& cpu, bool interrupt_gate) {
    u32 cleared = eflags::kTf | eflags::kNt | eflags::kVm | eflags::kRf;
    cleared |= interrupt_gate ? eflags::kIf : 0;
    cpu.state.eflags &= ~cleared;
}

bool enter_same_level(Cpu& cpu, const Event& event, const CodeTarget& target, unsigned size,
                      bool interrupt_gate) {
    StackCursor stack(cpu);
    if (!push_return(cpu, stack, event, size)) {
        return false;
    }
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, event.ext());
    }
    cpu.state.gpr[kEsp] = stack.esp();
    clear_flags_for_handler(cpu, interrupt_gate);
    commit_code(cpu, target);
    return true;
}

// Also the way out of virtual-8086 mode, whose data segments are pushed and become null (SDM vol 3A
// §20.3.1.1).
bool enter_inner_level(Cpu& cpu, const Event& event, const CodeTarget& target, unsigned size,
                       bool interrupt_gate) {
    CpuState& state = cpu.state;
    const bool from_v86 = state.v86();
    InnerStack inner;
    if (!read_inner_stack(cpu, target.cs.selector & 3, inner, event.ext())) {
        return false;
    }
    StackCursor stack(cpu, inner.ss, inner.esp, false,
                      selector_error(inner.ss.selector, event.ext()));
    constexpr Seg kData[] = {Seg::gs, Seg::fs, Seg::ds, Seg::es};
    if (from_v86) {
        for (const Seg seg : kData) {
            if (!stack.push(state.segment(seg).selector, size)) {
                return false;
            }
        }
    }
    if (!stack.push(state.segment(Seg::ss).selector, size) || !stack.push(state.gpr[kEsp], size) ||
        !push_return(cpu, stack, event, size)) {
        return false;
    }
    if (target.eip > target.cs.limit) {
        return cpu.raise(Vector::gp, event.ext());
    }
    clear_flags_for_handler(cpu, interrupt_gate);
    if (from_v86) {
        for (const Seg seg : kData) {
            state.segment(seg) = Segment{.base = 0, .limit = 0, .selector = 0, .attr = 0};
        }
    }
    commit_code_and_stack(cpu, target, inner.ss, stack.esp());
    return true;
}

bool enter_by_gate(Cpu& cpu, const Event& event, const Descriptor& gate) {
    const bool from_v86 = cpu.state.v86();
    const u16 selector = gate.gate_selector();
    const unsigned size = gate.is_32bit_system() ? 4 : 2;
    const bool interrupt_gate =
        gate.type() == SystemType::interrupt_gate16 || gate.type() == SystemType::interrupt_gate32;
    Descriptor code;
    bool inner = false;
    if (!gate_code_segment(cpu, selector, GateLevels::same_or_inner, code, inner, event.ext())) {
        return false;
    }
    // SDM vol 2A, INT n: virtual-8086 mode is left for level 0 and no other.
    if (from_v86 && (!inner || code.dpl() != 0)) {
        return cpu.raise(Vector::gp, selector_error(selector, event.ext()));
    }
    CodeTarget target{.cs = {}, .eip = gate.gate_offset()};
    if (!code_from(cpu, code, selector, inner ? code.dpl() : cpu.state.cpl, target.cs)) {
        return false;
    }
    return inner ? enter_inner_level(cpu, event, target, size, interrupt_gate)
                 : enter_same_level(cpu, event, target, size, interrupt_gate);
}

bool enter_by_task_gate(Cpu& cpu, const Event& event, const Descriptor& gate) {
    const u16 selector = gate.gate_selector();
    Descriptor tss;
    if (!read_tss_descriptor(cpu, selector, TaskSwitch::nest, tss,
                             CheckAs{Vector::gp, event.ext()})) {
        return false;
    }
    // The old task's image has RF as a frame would have it.
    if (event.resume) {
        cpu.state.eflags |= eflags::kRf;
    }
    if (!switch_task(cpu, selector, tss, TaskSwitch::nest, event.return_eip, event.ext())) {
        return false;
    }
    if (event.error_code) {
        StackCursor stack(cpu);
        if (!push_error_code(stack, event, tss.is_32bit_system() ? 4 : 2)) {
            return false;
        }
        cpu.state.gpr[kEsp] = stack.esp();
    }
    return true;
}

bool enter_protected(Cpu& cpu, const Event& event) {
    CpuState& state = cpu.state;
    if (enter_flat(cpu, {.vector = event.vector,
                         .software = event.software,
                         .has_error_code = event.error_code.has_value(),
                         .error_code = event.error_code.value_or(0),
                         .flags = pushed_flags(cpu, event),
                         .return_eip = event.return_eip})) {
        return true;
    }
    if (event.vector * 8u + 7 > state.idtr.limit) {
        return cpu.raise(Vector::gp, event.idt_error());
    }
    u64 both = 0;
    const LinearAddr address = LinearAddr{state.idtr.base} + event.vector * 8u;
    if (!cpu.load_system(address, both)) {
        return false;
    }
    const Descriptor gate{static_cast<u32>(both), static_cast<u32>(both >> 32), address};
    const SystemType type = gate.type();
    const bool known =
        gate.system() && (type == SystemType::task_gate || type == SystemType::interrupt_gate16 ||
                          type == SystemType::trap_gate16 || type == SystemType::interrupt_gate32 ||
                          type == SystemType::trap_gate32);
    if (!known || (event.software && gate.dpl() < state.cpl)) {
        return cpu.raise(Vector::gp, event.idt_error());
    }
    if (!gate.present()) {
        return cpu.raise(Vector::np, event.idt_error());
    }
    return type == SystemType::task_gate ? enter_by_task_gate(cpu, event, gate)
                                         : enter_by_gate(cpu, event, gate);
}

bool enter(Cpu& cpu, const Event& event) {
    return cpu.state.protected_mode() ? enter_protected(cpu, event) : enter_real(cpu, event);
}

// --- what comes of a fault during delivery
// --------------------------------------------------------------------------------

// SDM vol 3A, table 6-4.
enum class Class { benign, contributory, page_fault, double_fault };

Class class_of(Vector vector) {
    switch (vector) {
        case Vector::de:
        case Vector::ts:
        case Vector::np:
        case Vector::ss:
        case Vector::gp:
            return Class::contributory;
        case Vector::pf:
            return Class::page_fault;
        case Vector::df:
            return Class::double_fault;
        default:
            return Class::benign;
    }
}

enum class Next { second, double_fault, shutdown };

// SDM vol 3A, table 6-5.
Next combine(Class first, Class second) {
    if (second == Class::benign || first == Class::benign) {
        return Next::second;
    }
    if (first == Class::double_fault) {
        return Next::shutdown;
    }
    return first == Class::contributory && second == Class::page_fault ? Next::second
                                                                       : Next::double_fault;
}

// What an exception leaves in registers before its handler runs.
void note_exception(CpuState& state, const GuestFault& fault) {
    if (fault.vector == Vector::pf) {
        state.cr2 = fault.cr2;
    } else if (fault.vector == Vector::db) {
        state.dr[6] |= fault.dr6;
        state.dr[7] &= ~debug::kDr7Gd;  // so that the handler may use the debug registers
    }
}

Event event_of(const CpuState& state, const GuestFault& fault) {
    Event event{.vector = static_cast<u8>(fault.vector)};
    if (fault.has_error_code) {
        event.error_code = fault.error_code;
    }
    event.return_eip = state.eip;
    // SDM vol 3B §17.3.1.1: faults push RF set, but for the breakpoint of an instruction; traps do
    // not.
    const bool breakpoint = fault.vector == Vector::db && (fault.dr6 & 0xf) != 0;
    event.resume = !fault.is_trap && !breakpoint && fault.vector != Vector::df;
    return event;
}

void tell(Cpu& cpu, const GuestFault& fault, u32 return_eip) {
    if (cpu.tracer.exceptions()) [[unlikely]] {
        cpu.tracer.exception(fault, return_eip);
    }
}

bool deliver(Cpu& cpu, Event event, Class kind) {
    cpu.state.halted = false;
    cpu.state.interrupt_shadow = false;
    while (!enter(cpu, event)) {
        cpu.drop_data_hits();  // of the part of the frame that was pushed
        GuestFault second = cpu.fault();
        note_exception(cpu.state, second);
        switch (combine(kind, class_of(second.vector))) {
            case Next::shutdown:
                return false;
            case Next::double_fault:
                second = GuestFault{.vector = Vector::df, .has_error_code = true, .error_code = 0};
                break;
            case Next::second:
                break;
        }
        kind = class_of(second.vector);
        // A task switch that failed late has moved EIP to the new task: event_of() looks again.
        event = event_of(cpu.state, second);
        tell(cpu, second, event.return_eip);
    }
    return true;
}

// --- INT n in virtual-8086 mode (SDM vol 3A §20.3)
// -----------------------------------------------------------------------

// The redirection bitmap stands in the 32 bytes below the I/O permission bitmap; a bit of 0 sends
// the interrupt to the 8086 program's own handler. What lies outside of the TSS counts as 1.
bool read_redirection(Cpu& cpu, u8 vector, bool& to_monitor) {
    const Segment& tss = cpu.state.tr;
    to_monitor = true;
    u16 map = 0;
    if (!current_tss_is_32bit(cpu.state) || tss.limit < 0x67) {
        return true;
    }
    if (!cpu.load_system(LinearAddr{tss.base + 0x66}, map)) {
        return false;
    }
    const u32 at = u32{map} - 32 + vector / 8u;
    if (map < 32 || at > tss.limit) {
        return true;
    }
    u8 bits = 0;
    if (!cpu.load_system(LinearAddr{tss.base + at}, bits)) {
        return false;
    }
    to_monitor = (bits >> (vector % 8) & 1) != 0;
    return true;
}

// SDM vol 3A, table 20-2, methods 5 and 6: as real mode does it; below IOPL 3 VIF stands in for IF.
bool enter_v86_program(Cpu& cpu, const Event& event) {
    CpuState& state = cpu.state;
    const bool virtual_flags = state.iopl() < 3;
    u32 flags = pushed_flags(cpu, event);
    if (virtual_flags) {
        flags = (flags & ~eflags::kIf) | eflags::kIopl;
        flags |= (flags & eflags::kVif) != 0 ? eflags::kIf : 0;
    }
    if (!enter_by_vector_table(cpu, LinearAddr{0}, static_cast<u16>(flags), event)) {
        return false;
    }
    state.eflags &= ~((virtual_flags ? eflags::kVif : eflags::kIf) | eflags::kTf | eflags::kRf);
    return true;
}

}  // namespace

bool deliver_fault(Cpu& cpu, const GuestFault& fault) {
    if (fault.is_trap) {
        cpu.state.eip =
            cpu.next_eip;  // the instruction is complete, whatever becomes of the delivery
    } else {
        cpu.drop_data_hits();
    }
    const GuestFault copy = fault;  // it may be cpu.fault(), which the delivery overwrites
    note_exception(cpu.state, copy);
    tell(cpu, copy, cpu.state.eip);
    return deliver(cpu, event_of(cpu.state, copy), class_of(copy.vector));
}

bool deliver_interrupt(Cpu& cpu, u8 vector) {
    if (cpu.tracer.interrupts()) [[unlikely]] {
        cpu.tracer.interrupt(vector, false);
    }
    return deliver(cpu, Event{.vector = vector, .error_code = {}, .return_eip = cpu.state.eip},
                   Class::benign);
}

bool deliver_nmi(Cpu& cpu) {
    cpu.state.nmi_blocked = true;
    if (cpu.tracer.interrupts()) [[unlikely]] {
        cpu.tracer.interrupt(static_cast<u8>(Vector::nmi), true);
    }
    return deliver(cpu, Event{.vector = static_cast<u8>(Vector::nmi), .return_eip = cpu.state.eip},
                   Class::benign);
}

bool software_interrupt(Cpu& cpu, u8 vector, SoftwareInterrupt kind) {
    CpuState& state = cpu.state;
    const Event event{
        .vector = vector, .software = kind != SoftwareInterrupt::int1, .return_eip = cpu.next_eip};
    if (kind != SoftwareInterrupt::int_n) {
        tell(cpu, {.vector = static_cast<Vector>(vector), .is_trap = true}, cpu.next_eip);
    }
    // Only INT n is subject to IOPL and redirection (SDM vol 3A, table 20-2).
    if (state.protected_mode() && state.v86() && kind == SoftwareInterrupt::int_n) {
        bool to_monitor = true;
        if ((state.cr4 & cr4::kVme) != 0 && !read_redirection(cpu, vector, to_monitor)) {
            return false;
        }
        if (!to_monitor) {
            return enter_v86_program(cpu, event);
        }
        if (state.iopl() < 3) {
            return cpu.raise(Vector::gp, 0);
        }
    }
    return enter(cpu, event);
}

}  // namespace ennead::vmcore
