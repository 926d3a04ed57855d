// SPDX-License-Identifier: MIT
// Descriptor table reads, and the checks of segment register loads (SDM vol 3A §3.4, §5.6, §5.7).
#include "vmcore/cpu/descriptor.h"

#include <algorithm>

namespace ennead::vmcore {
namespace {

// The table that a selector's TI bit names; an LDTR that holds no LDT has no bytes.
bool table_holds(const CpuState& state, u16 selector, LinearAddr& address) {
    const u32 offset = selector & 0xfff8u;
    if ((selector & 4) != 0) {
        address = LinearAddr{state.ldtr.base + offset};
        return (state.ldtr.attr & Segment::kPresent) != 0 && offset + 7 <= state.ldtr.limit;
    }
    address = LinearAddr{state.gdtr.base + offset};
    return offset + 7 <= state.gdtr.limit;
}

bool read_at(Cpu& cpu, LinearAddr address, Descriptor& out) {
    u64 both = 0;
    if (!cpu.load_system(address, both)) {
        return false;
    }
    out = Descriptor{static_cast<u32>(both), static_cast<u32>(both >> 32), address};
    return true;
}

bool update_high(Cpu& cpu, Descriptor& descriptor, u32 high) {
    if (high == descriptor.high) {
        return true;
    }
    if (!cpu.store_system(descriptor.address + 5, static_cast<u8>(high >> 8))) {
        return false;
    }
    descriptor.high = high;
    return true;
}

// A load of a segment register other than CS in protected mode that finds nothing to complain about
// and nothing to change in the table. False: nothing is said.
bool load_common(Cpu& cpu, Seg seg, u16 selector) {
    if (null_selector(selector) && seg != Seg::ss) {
        cpu.set_null_segment(seg, selector);
        return true;
    }
    const unsigned rpl = selector & 3, cpl = cpu.state.cpl;
    Descriptor descriptor;
    if (!peek_descriptor(cpu, selector, descriptor) || !descriptor.wide_data()) {
        return false;
    }
    const unsigned dpl = descriptor.dpl();
    if (seg == Seg::ss ? rpl != cpl || dpl != cpl : std::max(rpl, cpl) > dpl) {
        return false;
    }
    cpu.set_wide_segment(seg, descriptor.base(), selector, descriptor.attr());
    return true;
}

// Every load, with every check.
[[gnu::noinline]] bool load_any(Cpu& cpu, Seg seg, u16 selector) {
    Segment loaded;
    if (!cpu.state.protected_mode()) {
        loaded = real_segment(cpu.state.segment(seg), selector);
    } else if (cpu.state.v86()) {
        loaded = v86_segment(selector);
    } else if (seg == Seg::ss) {
        if (!stack_segment(cpu, selector, cpu.state.cpl, loaded)) {
            return false;
        }
    } else if (!data_segment(cpu, selector, cpu.state.cpl, loaded)) {
        return false;
    }
    set_segment(cpu, seg, loaded);
    return true;
}

}  // namespace

bool read_descriptor(Cpu& cpu, u16 selector, Descriptor& out, CheckAs as) {
    LinearAddr address{};
    if (!table_holds(cpu.state, selector, address)) {
        return cpu.raise(as.vector, selector_error(selector, as.ext));
    }
    return read_at(cpu, address, out);
}

bool try_read_descriptor(Cpu& cpu, u16 selector, bool& found, Descriptor& out) {
    LinearAddr address{};
    found = !null_selector(selector) && table_holds(cpu.state, selector, address);
    return !found || read_at(cpu, address, out);
}

bool mark_accessed(Cpu& cpu, Descriptor& descriptor) {
    return update_high(cpu, descriptor, descriptor.high | 1u << 8);
}

bool mark_busy(Cpu& cpu, Descriptor& descriptor, bool busy) {
    const u32 bit = 1u << 9;
    return update_high(cpu, descriptor, busy ? descriptor.high | bit : descriptor.high & ~bit);
}

bool data_segment(Cpu& cpu, u16 selector, unsigned cpl, Segment& out, CheckAs as) {
    if (null_selector(selector)) {
        out = Segment{.base = 0, .limit = 0, .selector = selector, .attr = 0};
        return true;
    }
    Descriptor descriptor;
    if (!read_descriptor(cpu, selector, descriptor, as)) {
        return false;
    }
    const unsigned rpl = selector & 3;
    const bool too_deep = !descriptor.conforming() && std::max(rpl, cpl) > descriptor.dpl();
    if (!descriptor.readable() || too_deep) {
        return cpu.raise(as.vector, selector_error(selector, as.ext));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector, as.ext));
    }
    if (!mark_accessed(cpu, descriptor)) {
        return false;
    }
    out = descriptor.segment(selector);
    return true;
}

bool stack_segment(Cpu& cpu, u16 selector, unsigned cpl, Segment& out, CheckAs as) {
    if (null_selector(selector)) {
        return cpu.raise(as.vector, as.ext);
    }
    Descriptor descriptor;
    if (!read_descriptor(cpu, selector, descriptor, as)) {
        return false;
    }
    if ((selector & 3u) != cpl || !descriptor.writable() || descriptor.dpl() != cpl) {
        return cpu.raise(as.vector, selector_error(selector, as.ext));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::ss, selector_error(selector, as.ext));
    }
    if (!mark_accessed(cpu, descriptor)) {
        return false;
    }
    out = descriptor.segment(selector);
    return true;
}

Segment real_segment(const Segment& old, u16 selector) {
    // Type and privilege become those of a real-mode segment; D/B and the limit stay, which is what
    // lets code that was in protected mode before reach all of memory.
    constexpr u16 kReal =
        Segment::kPresent | Segment::kCodeOrData | Segment::kWritable | Segment::kAccessed;
    return Segment{
        .base = u32{selector} << 4,
        .limit = old.limit,
        .selector = selector,
        .attr = static_cast<u16>(kReal | (old.attr & (Segment::kBig | Segment::kGranular)))};
}

Segment v86_segment(u16 selector) {
    // SDM vol 3A §20.1.1: 64 KiB, read/write; privilege 3.
    return Segment{.base = u32{selector} << 4, .limit = 0xffff, .selector = selector, .attr = 0xf3};
}

void set_segment(Cpu& cpu, Seg seg, const Segment& value) {
    cpu.state.segment(seg) = value;
    cpu.segment_changed(seg);
}

bool load_segment_register(Cpu& cpu, Seg seg, u16 selector) {
    const bool by_descriptor = cpu.state.protected_mode() && !cpu.state.v86();
    return (by_descriptor && load_common(cpu, seg, selector)) || load_any(cpu, seg, selector);
}

void drop_inner_data_segments(Cpu& cpu) {
    for (const Seg seg : {Seg::es, Seg::ds, Seg::fs, Seg::gs}) {
        const Segment& segment = cpu.state.segment(seg);
        const bool conforming =
            (segment.attr & Segment::kCode) != 0 && (segment.attr & Segment::kConforming) != 0;
        if (!conforming && segment.dpl() < cpu.state.cpl) {
            cpu.set_null_segment(seg, 0);
        }
    }
}

}  // namespace ennead::vmcore
