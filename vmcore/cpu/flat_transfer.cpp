// SPDX-License-Identifier: MIT
// Interrupt gates and IRET between flat segments, with every check that can fail made before the
// first change.
#include "vmcore/cpu/flat_transfer.h"

#include <cstring>

#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/task_switch.h"

namespace ennead::vmcore {
namespace {

// `size` bytes at `address`, if they are in one page that the tables of translations know.
const u8* peek_system(const Cpu& cpu, LinearAddr address, u32 size) {
    return (raw(address) & kPageMask) <= kPageSize - size
               ? cpu.mmu.find_readable_as_supervisor(address)
               : nullptr;
}

// A 32-bit interrupt or trap gate that the event may go through.
bool peek_gate(const Cpu& cpu, const FlatEvent& event, Descriptor& out) {
    const LinearAddr address{cpu.state.idtr.base + event.vector * 8u};
    const u8* host = peek_system(cpu, address, 8);
    if (host == nullptr || event.vector * 8u + 7 > cpu.state.idtr.limit) {
        return false;
    }
    std::memcpy(&out.low, host, 4);
    std::memcpy(&out.high, host + 4, 4);
    constexpr u32 kMask = 0x9e00, kPresentGate32 = 0x8e00;  // bit 8 tells a trap gate
    return (out.high & kMask) == kPresentGate32 && (!event.software || out.dpl() >= cpu.state.cpl);
}

// The attributes of the flat segment of privilege `level` that `selector` leads to; 0 if it is not
// such. The RPL is the caller's to check.
u16 peek_flat(Cpu& cpu, u16 selector, unsigned level, bool code) {
    Descriptor descriptor;
    if (!peek_descriptor(cpu, selector, descriptor) || descriptor.dpl() != level ||
        !(code ? descriptor.flat_code() : descriptor.flat_data())) {
        return 0;
    }
    return descriptor.attr();
}

// A flat segment and an offset in it.
struct Pointer {
    u32 offset = 0;
    u16 selector = 0, attr = 0;
};

// SS0 and ESP0 of a 32-bit TSS.
bool peek_stack0(Cpu& cpu, Pointer& out) {
    const Segment& tr = cpu.state.tr;
    const u8* host = peek_system(cpu, LinearAddr{tr.base + 4}, 8);
    if (host == nullptr || (tr.attr & Segment::kPresent) == 0 || !current_tss_is_32bit(cpu.state) ||
        tr.limit < 11) {
        return false;
    }
    std::memcpy(&out.offset, host, 4);
    std::memcpy(&out.selector, host + 4, 2);
    out.attr = (out.selector & 3) == 0 ? peek_flat(cpu, out.selector, 0, false) : u16{0};
    return out.attr != 0;
}

// Room for `size` bytes at `address` for CPL 0; null if it is not in one page that the tables know.
u8* find_frame(const Cpu& cpu, u32 address, u32 size) {
    return (address & kPageMask) <= kPageSize - size
               ? cpu.mmu.find_writable_as_supervisor(LinearAddr{address})
               : nullptr;
}

void write_frame(u8* to, const Cpu& cpu, const FlatEvent& event, bool inner) {
    const auto put = [&to](u32 value) {
        std::memcpy(to, &value, sizeof value);
        to += sizeof value;
    };
    if (event.has_error_code) {
        put(event.error_code);
    }
    put(event.return_eip);
    put(cpu.state.segment(Seg::cs).selector);
    put(event.flags);
    if (inner) {
        put(cpu.state.gpr[kEsp]);
        put(cpu.state.segment(Seg::ss).selector);
    }
}

// Data segments that level 3 may keep: null ones, and those of its own (SDM vol 2, IRET).
bool may_keep(const Segment& segment) {
    return segment.dpl() == 3 || (segment.attr == 0 && segment.selector == 0);
}

bool may_keep_data_segments(const CpuState& state) {
    return may_keep(state.segment(Seg::es)) && may_keep(state.segment(Seg::ds)) &&
           may_keep(state.segment(Seg::fs)) && may_keep(state.segment(Seg::gs));
}

// What a program of privilege `cpl` may change in EFLAGS by a 32-bit IRET.
u32 iret_mask(unsigned cpl, unsigned iopl) {
    u32 mask = eflags::kArith | eflags::kTf | eflags::kDf | eflags::kNt | eflags::kRf |
               eflags::kAc | eflags::kId;
    mask |= cpl <= iopl ? eflags::kIf : 0;
    return cpl == 0 ? mask | eflags::kIopl | eflags::kVif | eflags::kVip : mask;
}

}  // namespace

bool enter_flat(Cpu& cpu, const FlatEvent& event) {
    CpuState& state = cpu.state;
    Descriptor gate;
    if (!cpu.flat() || !peek_gate(cpu, event, gate)) {
        return false;
    }
    const u16 cs_attr = peek_flat(cpu, gate.gate_selector(), 0, true);
    const bool inner = state.cpl != 0;
    Pointer stack{.offset = state.gpr[kEsp]};
    if (cs_attr == 0 || (inner && !peek_stack0(cpu, stack))) {
        return false;
    }
    const u32 size = (inner ? 20 : 12) + (event.has_error_code ? 4 : 0);
    stack.offset -= size;
    u8* const frame = find_frame(cpu, stack.offset, size);
    if (frame == nullptr) {
        return false;
    }
    write_frame(frame, cpu, event, inner);
    const bool trap = (gate.high & (1u << 8)) != 0;
    state.eflags &= ~(eflags::kTf | eflags::kNt | eflags::kRf | (trap ? 0 : eflags::kIf));
    cpu.set_wide_segment(Seg::cs, 0, gate.gate_selector() & 0xfffc, cs_attr);
    state.gpr[kEsp] = stack.offset;
    state.eip = cpu.next_eip = gate.gate_offset();
    if (inner) {
        cpu.set_wide_segment(Seg::ss, 0, stack.selector, stack.attr);
        cpu.set_cpl(0);
    }
    return true;
}

bool iret_flat(Cpu& cpu) {
    CpuState& state = cpu.state;
    struct {
        u32 eip, cs, flags, esp, ss;
    } frame;
    const u32 esp = state.gpr[kEsp];
    const u8* const host = cpu.mmu.find_readable(LinearAddr{esp});
    // AC and NT, virtual interrupts and virtual-8086 mode are for the general code.
    if (!cpu.flat() || host == nullptr || (esp & kPageMask) > kPageSize - sizeof frame ||
        (state.eflags & eflags::kNt) != 0 || (state.cr4 & cr4::kPvi) != 0) {
        return false;
    }
    std::memcpy(&frame, host, sizeof frame);
    const auto selector = static_cast<u16>(frame.cs);
    const unsigned level = selector & 3;
    const bool outer = level != state.cpl;
    const u32 mask = iret_mask(state.cpl, state.iopl());
    const u32 flags = (state.eflags & ~mask) | (frame.flags & mask) | eflags::kFixed;
    if (level < state.cpl || (frame.flags & eflags::kVm) != 0 ||
        ((flags ^ state.eflags) & eflags::kAc) != 0) {
        return false;
    }
    const auto ss = static_cast<u16>(frame.ss);
    const u16 cs_attr = peek_flat(cpu, selector, level, true);
    const u16 ss_attr = outer ? peek_flat(cpu, ss, level, false) : 0;
    if (cs_attr == 0 || (outer && (ss_attr == 0 || (ss & 3) != level || level != 3 ||
                                   !may_keep_data_segments(state)))) {
        return false;
    }
    state.eflags = flags;
    cpu.set_wide_segment(Seg::cs, 0, selector, cs_attr);
    cpu.next_eip = state.eip = frame.eip;
    state.gpr[kEsp] = outer ? frame.esp : esp + 12;
    if (outer) {
        cpu.set_wide_segment(Seg::ss, 0, ss, ss_attr);
        cpu.set_cpl(level);
    }
    return true;
}

}  // namespace ennead::vmcore
