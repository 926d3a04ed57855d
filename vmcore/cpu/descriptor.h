// SPDX-License-Identifier: MIT
// Segment and gate descriptors: reading them from the guest's tables, and loading segment registers
// with them.
#pragma once

#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Types of system descriptors, SDM vol 3A, table 3-2.
enum class SystemType : u8 {
    tss16_available = 1,
    ldt = 2,
    tss16_busy = 3,
    call_gate16 = 4,
    task_gate = 5,
    interrupt_gate16 = 6,
    trap_gate16 = 7,
    tss32_available = 9,
    tss32_busy = 11,
    call_gate32 = 12,
    interrupt_gate32 = 14,
    trap_gate32 = 15,
};

// Eight bytes of a descriptor table (SDM vol 3A, figures 3-8, 5-8 and 6-2).
struct Descriptor {
    u32 low = 0, high = 0;
    LinearAddr address{};  // where it was read from

    // As Segment::attr has them.
    [[nodiscard]] u16 attr() const {
        return static_cast<u16>(((high >> 8) & 0xff) | ((high >> 8) & 0xf000));
    }
    [[nodiscard]] u32 base() const {
        return (low >> 16) | ((high & 0xff) << 16) | (high & 0xff000000);
    }
    // In bytes.
    [[nodiscard]] u32 limit() const {
        const u32 units = (low & 0xffff) | (high & 0xf0000);
        return (attr() & Segment::kGranular) != 0 ? units << 12 | 0xfff : units;
    }
    [[nodiscard]] bool present() const { return (high & (1u << 15)) != 0; }
    [[nodiscard]] unsigned dpl() const { return (high >> 13) & 3; }
    [[nodiscard]] bool system() const { return (high & (1u << 12)) == 0; }
    [[nodiscard]] SystemType type() const { return static_cast<SystemType>((high >> 8) & 15); }

    [[nodiscard]] bool code() const { return !system() && (high & (1u << 11)) != 0; }
    [[nodiscard]] bool data() const { return !system() && !code(); }
    [[nodiscard]] bool conforming() const { return code() && (high & (1u << 10)) != 0; }
    [[nodiscard]] bool readable() const { return data() || (code() && (high & (1u << 9)) != 0); }
    [[nodiscard]] bool writable() const { return data() && (high & (1u << 9)) != 0; }

    // Segments of 4 GiB for 32-bit programs, present and accessed: writable data that grows up, and
    // readable code that does not conform. Most segments of most guests are such, and loading one
    // has no surprises.
    [[nodiscard]] bool wide_data() const { return wide(0x00c09300); }
    [[nodiscard]] bool flat_code() const { return wide(0x00c09b00) && base() == 0; }
    [[nodiscard]] bool flat_data() const { return wide_data() && base() == 0; }

    [[nodiscard]] bool is_tss() const {
        const auto t = static_cast<unsigned>(type());
        return system() && (t == 1 || t == 3 || t == 9 || t == 11);
    }
    [[nodiscard]] bool busy() const { return is_tss() && (high & (1u << 9)) != 0; }
    // Gates and TSSs: the 32-bit kinds have bit 3 of the type set.
    [[nodiscard]] bool is_32bit_system() const { return (high & (1u << 11)) != 0; }

    [[nodiscard]] u16 gate_selector() const { return static_cast<u16>(low >> 16); }
    [[nodiscard]] u32 gate_offset() const {
        return (low & 0xffff) | (is_32bit_system() ? high & 0xffff0000 : 0);
    }
    [[nodiscard]] unsigned gate_parameters() const { return high & 31; }

    [[nodiscard]] Segment segment(u16 selector) const {
        return Segment{.base = base(), .limit = limit(), .selector = selector, .attr = attr()};
    }

  private:
    // All but base, DPL and AVL.
    [[nodiscard]] bool wide(u32 high_bits) const {
        return (low & 0xffff) == 0xffff && (high & 0x00ef9f00) == (high_bits | 0x000f0000);
    }
};

// The selector part of an error code; `ext` is 1 while an event from outside the program is
// delivered (SDM vol 3A §6.13).
constexpr u16 selector_error(u16 selector, u16 ext = 0) {
    return static_cast<u16>((selector & 0xfffc) | ext);
}
constexpr bool null_selector(u16 selector) {
    return (selector & 0xfffc) == 0;
}

// The faults of a check, where the same check raises different ones: loading a segment register
// raises #GP, a task switch #TS; `ext` goes into the error codes.
struct CheckAs {
    Vector vector = Vector::gp;
    u16 ext = 0;
};

// Reads the descriptor of a selector that is not null. Outside of its table: `as.vector`(selector).
// #PF.
[[nodiscard]] bool read_descriptor(Cpu& cpu, u16 selector, Descriptor& out, CheckAs as = {});
// The same, where an unusable selector is not a fault but an answer (LAR, LSL, VERR, VERW). False
// only for #PF.
[[nodiscard]] bool try_read_descriptor(Cpu& cpu, u16 selector, bool& found, Descriptor& out);
// The same for the paths that take what is common: only from the GDT, only if the tables of
// translations know the place. False: nothing is said about the selector, not even that it faults.
[[nodiscard]] inline bool peek_descriptor(Cpu& cpu, u16 selector, Descriptor& out) {
    const u32 offset = selector & 0xfff8u;
    const LinearAddr address{cpu.state.gdtr.base + offset};
    const u8* host = cpu.mmu.find_readable_as_supervisor(address);
    if (offset == 0 || (selector & 4) != 0 || offset + 7 > cpu.state.gdtr.limit ||
        host == nullptr || (raw(address) & kPageMask) > kPageSize - 8) {
        return false;
    }
    u64 both = 0;
    std::memcpy(&both, host, sizeof both);
    out = Descriptor{static_cast<u32>(both), static_cast<u32>(both >> 32), address};
    return true;
}
// Sets the accessed bit in the table, if it is not set yet, and in `descriptor` (SDM vol 3A
// §3.4.5.1).
[[nodiscard]] bool mark_accessed(Cpu& cpu, Descriptor& descriptor);
// Sets or clears the busy bit of a TSS descriptor in the table and in `descriptor`.
[[nodiscard]] bool mark_busy(Cpu& cpu, Descriptor& descriptor, bool busy);

// What a selector makes of ES, DS, FS or GS in protected mode, null selectors included.
[[nodiscard]] bool data_segment(Cpu& cpu, u16 selector, unsigned cpl, Segment& out,
                                CheckAs as = {});
// What it makes of SS at privilege `cpl`. Not present: #SS(selector) whatever `as` says.
[[nodiscard]] bool stack_segment(Cpu& cpu, u16 selector, unsigned cpl, Segment& out,
                                 CheckAs as = {});
// Real-address mode: base from the selector, limit as it was ("big real mode"). Virtual-8086 mode:
// 64 KiB, DPL 3.
[[nodiscard]] Segment real_segment(const Segment& old, u16 selector);
[[nodiscard]] Segment v86_segment(u16 selector);

// Loads a segment register other than CS by the rules of the current mode, as MOV and POP do.
[[nodiscard]] bool load_segment_register(Cpu& cpu, Seg seg, u16 selector);
// Stores it, with what is derived from it.
void set_segment(Cpu& cpu, Seg seg, const Segment& value);

// After a return to an outer level: data segments that the new level may not use become null
// (SDM vol 2, RET, RETURN-TO-OUTER-PRIVILEGE-LEVEL).
void drop_inner_data_segments(Cpu& cpu);

}  // namespace ennead::vmcore
