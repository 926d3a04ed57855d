// SPDX-License-Identifier: MIT
// All that an instruction handler may touch: registers, memory by segment or linear address, ports,
// faults.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "vmcore/cpu/arena.h"
#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/engine.h"
#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/interp/breakpoints.h"
#include "vmcore/cpu/interp/tracer.h"
#include "vmcore/cpu/mmu/mmu.h"
#include "vmcore/cpu/state.h"
#include "vmcore/devices/clock.h"
#include "vmcore/log.h"
#include "vmcore/mem/physical_memory.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// The surroundings of a CPU. All of it outlives the CPU; vCPU thread only.
struct CpuWiring {
    PhysicalMemory& memory;
    Bus& ports;
    InterruptSource& interrupts;
    const Clock& clock;  // TSC = machine time in ns + tsc_offset, so the TSC runs at 1 GHz
    Log log;
};

// Every function returning [[nodiscard]] bool answers false when the guest faulted; the fault is
// then in fault(), nothing architectural has changed, and the handler returns false in turn:
//     u32 value;
//     if (!cpu.load(insn.segment, offset, value)) return false;
// The loop that runs handlers delivers it. A handler therefore does all that can fault before it
// changes registers. During a handler state.eip still is the instruction's own address and
// `next_eip` that of the next one; branches change next_eip, which becomes eip when the handler
// returns true.
class Cpu {
  public:
    // The arena outlives the CPU.
    Cpu(CpuArena& arena, CpuWiring wiring);

    CpuArena& arena;
    CpuState& state;
    u32 next_eip = 0;
    Mmu mmu;
    CpuWiring io;

    // A trap to take once the running instruction is complete: the DR6 bits of data and I/O
    // breakpoints that it hit, and of the T flag of a TSS. The loop takes it (GuestFault{#DB, dr6,
    // is_trap}) after every instruction that succeeded; a fault drops it.
    [[nodiscard]] u32 pending_debug() const { return pending_debug_; }
    void add_pending_debug(u32 dr6_bits) { pending_debug_ |= dr6_bits; }
    u32 take_pending_debug() { return std::exchange(pending_debug_, 0u); }

    // Those set from outside. The loop leaves before anything else once they have been hit.
    Breakpoints breakpoints;
    // At most Breakpoints::kMost.
    void set_breakpoints(std::vector<Breakpoint> list);
    // What is told of its doings to who looks from outside.
    Tracer tracer;
    void set_trace(std::vector<TraceRule> rules, Tracer::Sink sink);
    // An access that was part of what has faulted hits nothing.
    void drop_data_hits() {
        pending_debug_ = 0;
        breakpoints.drop_hits();
    }

    // --- registers
    // -----------------------------------------------------------------------------------------
    // 8-bit register numbers: 0…3 AL CL DL BL, 4…7 AH CH DH BH.
    [[nodiscard]] u8 r8(unsigned n) const {
        return static_cast<u8>(state.gpr[n & 3] >> (n & 4 ? 8 : 0));
    }
    [[nodiscard]] u16 r16(unsigned n) const { return static_cast<u16>(state.gpr[n]); }
    [[nodiscard]] u32 r32(unsigned n) const { return state.gpr[n]; }
    void set_r8(unsigned n, u8 v) {
        const unsigned shift = n & 4 ? 8 : 0;
        state.gpr[n & 3] = (state.gpr[n & 3] & ~(0xffu << shift)) | (u32{v} << shift);
    }
    void set_r16(unsigned n, u16 v) { state.gpr[n] = (state.gpr[n] & 0xffff0000u) | v; }
    void set_r32(unsigned n, u32 v) { state.gpr[n] = v; }

    // --- faults
    // --------------------------------------------------------------------------------------------
    bool raise(GuestFault f) {
        fault_ = f;
        return false;
    }
    bool raise(Vector v) { return raise(GuestFault{.vector = v}); }
    bool raise(Vector v, u16 error_code) {
        return raise(GuestFault{.vector = v, .has_error_code = true, .error_code = error_code});
    }
    [[nodiscard]] const GuestFault& fault() const { return fault_; }

    // --- memory by segment: limit, type and null checks, then paging with the current privilege
    // -------------- #SS(0) for the stack segment, #GP(0) for the others, #PF. T is u8, u16, u32 or
    // u64; accesses that cross a page or limit are exact: both pages are checked before either is
    // written. #AC where CR0.AM asks for it.
    template <class T>
    [[nodiscard]] bool load(Seg seg, u32 offset, T& value);
    template <class T>
    [[nodiscard]] bool store(Seg seg, u32 offset, T value);
    // A load that has also checked that the store to the same place will succeed
    // (read-modify-write).
    template <class T>
    [[nodiscard]] bool load_for_store(Seg seg, u32 offset, T& value);
    // Only the checks of a store of `size` bytes.
    [[nodiscard]] bool probe_store(Seg seg, u32 offset, u32 size);

    // --- memory by linear address, as supervisor: descriptor tables, TSS, stacks of inner rings
    // ---------------
    template <class T>
    [[nodiscard]] bool load_system(LinearAddr address, T& value);
    template <class T>
    [[nodiscard]] bool store_system(LinearAddr address, T value);

    // --- what load() and store() do besides, for accesses made in other ways
    // --------------------------------------- #AC if CR0.AM, EFLAGS.AC and CPL 3 ask for it.
    // `size`: bytes, more than 8 count as 8.
    [[nodiscard]] bool check_alignment(LinearAddr address, u32 size);
    // The data breakpoints that an access hit, which has succeeded, go to pending_debug(), and
    // those from outside to `breakpoints`.
    void note_data_breakpoints(LinearAddr address, u32 size, Access access);

    // --- stack, with SS.B deciding between ESP and SP
    // ---------------------------------------------------------- T is u16 or u32. The stack pointer
    // moves only if the store or load succeeded.
    template <class T>
    [[nodiscard]] bool push(T value);
    template <class T>
    [[nodiscard]] bool pop(T& value);
    [[nodiscard]] u32 stack_mask() const {
        return state.segment(Seg::ss).big() ? 0xffffffffu : 0xffffu;
    }
    [[nodiscard]] u32 sp() const { return state.gpr[kEsp] & stack_mask(); }
    void set_sp(u32 v) {
        const u32 mask = stack_mask();
        state.gpr[kEsp] = (state.gpr[kEsp] & ~mask) | (v & mask);
    }

    // --- the memory operand
    // --------------------------------------------------------------------------------
    [[nodiscard]] u32 effective_offset(const Insn& insn) const {
        u32 offset = insn.disp;
        if (insn.base != kNoRegister) {
            offset += state.gpr[insn.base];
        }
        if (insn.index != kNoRegister) {
            offset += state.gpr[insn.index] << insn.scale;
        }
        return insn.address_size == 2 ? offset & 0xffff : offset;
    }

    // --- ports: the I/O permission check (IOPL, V86, the TSS's bitmap; SDM vol 1 §19.5), then the
    // bus ---------------
    [[nodiscard]] bool check_port(Port port, unsigned size);
    [[nodiscard]] u32 port_in(Port port, unsigned size);
    void port_out(Port port, unsigned size, u32 value);

    // --- control transfer
    // -------------------------------------------------------------------------------------- A near
    // branch: #GP(0) beyond CS's limit. `target` is already cut to 16 bits for 16-bit operand size.
    [[nodiscard]] bool branch_near(u32 target);
    // Re-derives what is cached from CR0, CR4, EFER, CS, CPL and EFLAGS (code size, paging mode,
    // privilege of accesses). To be called after any of them changed other than by the arithmetic
    // flags.
    void mode_changed();
    // The same for one segment register, after its hidden part changed.
    void segment_changed(Seg seg) { derive_segment(static_cast<unsigned>(seg)); }
    // Loads one with a segment of 4 GiB that is present and can be read, and written too if it is
    // data: what segment_changed() would find out is known then. Protected mode only, but not
    // virtual-8086 mode. (The parts come one by one since a Segment that was just put together in
    // memory would be slow to copy.)
    void set_wide_segment(Seg seg, u32 base, u16 selector, u16 attr) {
        const auto index = static_cast<unsigned>(seg);
        const bool code = (attr & Segment::kCode) != 0;
        set_parts(index, base, 0xffffffff, selector, attr);
        state.anywhere[index] = code ? kReadAnywhere : kReadAnywhere | kWriteAnywhere;
        const bool flat = base == 0 && (attr & Segment::kBig) != 0 && code == (seg == Seg::cs);
        set_not_flat(kSegmentNotFlat << index, !flat);
    }
    // The same for what a null selector makes of a data segment register.
    void set_null_segment(Seg seg, u16 selector) {
        const auto index = static_cast<unsigned>(seg);
        set_parts(index, 0, 0, selector, 0);
        state.anywhere[index] = 0;
        set_not_flat(kSegmentNotFlat << index, true);
    }
    // 32-bit protected mode at CPL 0 or 3, with CS, SS, DS and ES reaching from 0 to 4 GiB and no
    // access watched (alignment checks, data breakpoints) nor execution (breakpoints from outside,
    // traced instructions):
    // a linear address is all that an access needs.
    [[nodiscard]] bool flat() const { return not_flat_ == 0; }
    // Sets CPL and what hangs on it. VM changes with it: into virtual-8086 mode and out of it.
    void set_cpl(unsigned cpl) {
        state.cpl = static_cast<u8>(cpl);
        if (v86_ != state.v86()) [[unlikely]] {
            mode_changed();
        } else {
            derive_privilege();
        }
    }
    [[nodiscard]] u64 tsc() const { return io.clock.now_ns() + state.tsc_offset; }

  private:
    [[nodiscard]] bool linear_for(Seg seg, u32 offset, u32 size, Access access, LinearAddr& out) {
        const unsigned index = static_cast<unsigned>(seg);
        const u8 need = access == Access::write ? kWriteAnywhere : kReadAnywhere;
        if ((state.anywhere[index] & need) != 0) [[likely]] {
            out = LinearAddr{state.seg[index].base + offset};
            return true;
        }
        return check_segment(seg, offset, size, access, out);
    }
    [[nodiscard]] bool check_segment(Seg seg, u32 offset, u32 size, Access access, LinearAddr& out);
    void derive_segment(unsigned index);
    void derive_privilege() {
        // SDM vol 3A §6.15, interrupt 17: CR0.AM, EFLAGS.AC, CPL 3.
        alignment_checked_ = state.cpl == 3 && (state.cr0 & cr0::kAm) != 0 &&
                             (state.eflags & eflags::kAc) != 0 && state.protected_mode();
        set_not_flat(kModeNotFlat, !state.protected_mode() || state.v86() ||
                                       (state.cpl != 0 && state.cpl != 3) || alignment_checked_ ||
                                       watched_ != 0);
        mmu.privilege_changed(alignment_checked_ || (watched_ & kWatchData) != 0);
    }
    void set_parts(unsigned index, u32 base, u32 limit, u16 selector, u16 attr) {
        Segment& segment = state.seg[index];
        segment.base = base;
        segment.limit = limit;
        segment.selector = selector;
        segment.attr = attr;
    }
    void set_not_flat(unsigned reason, bool on) {
        not_flat_ = static_cast<u8>(on ? not_flat_ | reason : not_flat_ & ~reason) & kReasons;
    }

    // What the tables of translations do not know: page walks, devices, page ends; and everything
    // while alignment checks or data breakpoints are on.
    [[nodiscard]] bool load_slowly(LinearAddr address, void* out, u32 size);
    [[nodiscard]] bool load_for_store_slowly(LinearAddr address, void* out, u32 size);
    [[nodiscard]] bool store_slowly(LinearAddr address, const void* bytes, u32 size);

    template <class T>
    static bool inside_page(LinearAddr address) {
        return (raw(address) & kPageMask) <= kPageSize - sizeof(T);
    }

    GuestFault fault_;
    // Why flat() does not hold: a bit for each of ES, CS, SS and DS by its number, and one for all
    // that does not hang on a segment.
    static constexpr u8 kSegmentNotFlat = 1u << 0, kModeNotFlat = 1u << 7, kReasons = 0x8f;
    u8 not_flat_ = kModeNotFlat;
    bool v86_ = false;                // what the segments' rights were derived under
    bool alignment_checked_ = false;  // CR0.AM, EFLAGS.AC and CPL 3
    // What is looked at: by DR7's breakpoints on data, and from outside.
    static constexpr u8 kWatchData = 1u << 0, kWatchExecution = 1u << 1;
    u8 watched_ = 0;
    bool port_breakpoints_ = false;  // DR7 arms at least one on ports
    u32 pending_debug_ = 0;
};

template <class T>
bool Cpu::load(Seg seg, u32 offset, T& value) {
    LinearAddr address{};
    if (!linear_for(seg, offset, sizeof(T), Access::read, address)) {
        return false;
    }
    if (const u8* host = mmu.find_readable(address); host != nullptr && inside_page<T>(address))
        [[likely]] {
        std::memcpy(&value, host, sizeof(T));
        return true;
    }
    return load_slowly(address, &value, sizeof(T));
}

template <class T>
bool Cpu::store(Seg seg, u32 offset, T value) {
    LinearAddr address{};
    if (!linear_for(seg, offset, sizeof(T), Access::write, address)) {
        return false;
    }
    if (u8* host = mmu.find_writable(address); host != nullptr && inside_page<T>(address))
        [[likely]] {
        std::memcpy(host, &value, sizeof(T));
        return true;
    }
    return store_slowly(address, &value, sizeof(T));
}

template <class T>
bool Cpu::load_for_store(Seg seg, u32 offset, T& value) {
    LinearAddr address{};
    // A segment that can be written can be read: SDM vol 3A, table 3-1.
    if (!linear_for(seg, offset, sizeof(T), Access::write, address)) {
        return false;
    }
    if (const u8* host = mmu.find_writable(address); host != nullptr && inside_page<T>(address))
        [[likely]] {
        std::memcpy(&value, host, sizeof(T));
        return true;
    }
    return load_for_store_slowly(address, &value, sizeof(T));
}

template <class T>
bool Cpu::load_system(LinearAddr address, T& value) {
    if (const u8* host = mmu.find_readable_as_supervisor(address);
        host != nullptr && inside_page<T>(address)) [[likely]] {
        std::memcpy(&value, host, sizeof(T));
        return true;
    }
    return mmu.read(address, &value, sizeof(T), false, fault_);
}

template <class T>
bool Cpu::store_system(LinearAddr address, T value) {
    if (u8* host = mmu.find_writable_as_supervisor(address);
        host != nullptr && inside_page<T>(address)) [[likely]] {
        std::memcpy(host, &value, sizeof(T));
        return true;
    }
    return mmu.write(address, &value, sizeof(T), false, fault_);
}

template <class T>
bool Cpu::push(T value) {
    const u32 top = (sp() - static_cast<u32>(sizeof(T))) & stack_mask();
    if (!store(Seg::ss, top, value)) {
        return false;
    }
    set_sp(top);
    return true;
}

template <class T>
bool Cpu::pop(T& value) {
    if (!load(Seg::ss, sp(), value)) {
        return false;
    }
    set_sp(sp() + static_cast<u32>(sizeof(T)));
    return true;
}

inline bool Cpu::branch_near(u32 target) {
    if (target > state.segment(Seg::cs).limit) [[unlikely]] {
        return raise(Vector::gp, 0);
    }
    next_eip = target;
    return true;
}

using Handler = bool (*)(Cpu&, const Insn&);

}  // namespace ennead::vmcore
