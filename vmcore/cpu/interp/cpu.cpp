// SPDX-License-Identifier: MIT
// The checked ways to memory that the inline paths of cpu.h fall back on, and what follows a change
// of mode.
#include "vmcore/cpu/interp/cpu.h"

#include <algorithm>

#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {

Cpu::Cpu(CpuArena& cpu_arena, CpuWiring wiring)
    : arena(cpu_arena),
      state(arena.state()),
      mmu(arena, wiring.memory),
      io(std::move(wiring)),
      tracer(state, io.clock, io.memory) {
    mode_changed();
}

// SDM vol 3A §5.3 to §5.5: limit and type. Real and virtual-8086 mode check only the limit.
bool Cpu::check_segment(Seg seg, u32 offset, u32 size, Access access, LinearAddr& out) {
    const Segment& segment = state.segment(seg);
    const auto refuse = [&] { return raise(seg == Seg::ss ? Vector::ss : Vector::gp, 0); };
    if (state.protected_mode() && !state.v86()) {
        if ((segment.attr & Segment::kPresent) == 0) {
            return refuse();  // loaded with a null selector
        }
        const bool code = (segment.attr & Segment::kCode) != 0;
        if (access == Access::write ? code || (segment.attr & Segment::kWritable) == 0
                                    : code && (segment.attr & Segment::kReadable) == 0) {
            return refuse();
        }
    }
    const u32 last = offset + (size - 1);
    const bool wraps = last < offset;
    if ((segment.attr & (Segment::kCode | Segment::kExpandDown)) == Segment::kExpandDown) {
        const u32 top = segment.big() ? 0xffffffffu : 0xffffu;
        if (wraps || offset <= segment.limit || last > top) {
            return refuse();
        }
    } else if (segment.limit != 0xffffffffu && (wraps || last > segment.limit)) {
        // With a limit of 4 GiB the access may wrap (SDM vol 3A §5.3 leaves it open).
        return refuse();
    }
    out = LinearAddr{segment.base + offset};
    return true;
}

void Cpu::derive_segment(unsigned index) {
    const Segment& segment = state.seg[index];
    u8 rights = 0;
    const bool code = (segment.attr & Segment::kCode) != 0;
    const bool expand_down = !code && (segment.attr & Segment::kExpandDown) != 0;
    if (segment.limit == 0xffffffffu && !expand_down) {
        if (!state.protected_mode() || state.v86()) {
            rights = kReadAnywhere | kWriteAnywhere;
        } else if ((segment.attr & Segment::kPresent) != 0) {
            rights |= !code || (segment.attr & Segment::kReadable) != 0 ? kReadAnywhere : 0;
            rights |= !code && (segment.attr & Segment::kWritable) != 0 ? kWriteAnywhere : 0;
        }
    }
    state.anywhere[index] = rights;
    const auto seg = static_cast<Seg>(index);
    const u8 need = seg == Seg::cs ? kReadAnywhere : kReadAnywhere | kWriteAnywhere;
    const bool wide = seg == Seg::cs || seg == Seg::ss ? segment.big() : true;
    set_not_flat(kSegmentNotFlat << index, segment.base != 0 || (rights & need) != need || !wide);
}

bool Cpu::check_alignment(LinearAddr address, u32 size) {
    // Larger operands need 8 (SDM vol 2B, MOVUPS); those of 16 that must be aligned are #GP by
    // then.
    if (alignment_checked_ && (raw(address) & (std::min(size, 8u) - 1)) != 0) {
        return raise(Vector::ac, 0);
    }
    return true;
}

void Cpu::note_data_breakpoints(LinearAddr address, u32 size, Access access) {
    if ((watched_ & kWatchData) != 0) {
        pending_debug_ |= match_data_breakpoints(state, address, size, access);
        breakpoints.note_access(address, size, access);
    }
}

bool Cpu::load_slowly(LinearAddr address, void* out, u32 size) {
    if (!check_alignment(address, size) || !mmu.read(address, out, size, mmu.user(), fault_)) {
        return false;
    }
    note_data_breakpoints(address, size, Access::read);
    return true;
}

bool Cpu::load_for_store_slowly(LinearAddr address, void* out, u32 size) {
    if (!check_alignment(address, size) ||
        !mmu.read_for_write(address, out, size, mmu.user(), fault_)) {
        return false;
    }
    note_data_breakpoints(address, size, Access::read);
    return true;
}

bool Cpu::store_slowly(LinearAddr address, const void* bytes, u32 size) {
    if (!check_alignment(address, size) || !mmu.write(address, bytes, size, mmu.user(), fault_)) {
        return false;
    }
    note_data_breakpoints(address, size, Access::write);
    return true;
}

bool Cpu::probe_store(Seg seg, u32 offset, u32 size) {
    LinearAddr address{};
    return size == 0 || (linear_for(seg, offset, size, Access::write, address) &&
                         mmu.probe(address, size, Access::write, mmu.user(), fault_));
}

void Cpu::set_breakpoints(std::vector<Breakpoint> list) {
    breakpoints.set(std::move(list));
    mode_changed();
}

void Cpu::set_trace(std::vector<TraceRule> rules, Tracer::Sink sink) {
    tracer.set(std::move(rules), std::move(sink));
    mode_changed();
}

void Cpu::mode_changed() {
    v86_ = state.v86();
    const BreakpointKinds armed = armed_breakpoints(state);
    watched_ = static_cast<u8>(
        (armed.data || breakpoints.on_data() ? kWatchData : 0) |
        (breakpoints.on_execution() || tracer.instructions() ? kWatchExecution : 0));
    port_breakpoints_ = armed.port;
    for (unsigned i = 0; i < kSegCount; ++i) {
        derive_segment(i);
    }
    mmu.mode_changed();
    derive_privilege();
}

}  // namespace ennead::vmcore
