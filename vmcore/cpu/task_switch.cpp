// SPDX-License-Identifier: MIT
// Task switches in the order of SDM vol 3A §7.3, for 16-bit and 32-bit TSSs.
#include "vmcore/cpu/task_switch.h"

#include <array>

#include "vmcore/cpu/interp/control_registers.h"
#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {
namespace {

// Where things stand in a TSS (SDM vol 3A, figures 7-2 and 7-10).
struct Layout {
    unsigned word;  // bytes of a register
    u32 eip, eflags, gpr, segments, ldt;
    unsigned segment_count;
    unsigned segment_stride;
    u32 minimum_limit;
};
constexpr Layout kTss32{4, 0x20, 0x24, 0x28, 0x48, 0x60, 6, 4, 0x67};
constexpr Layout kTss16{2, 0x0e, 0x10, 0x12, 0x22, 0x2a, 4, 2, 0x2b};
constexpr u32 kCr3Offset = 0x1c, kTrapOffset = 0x64;

const Layout& layout_of(bool is_32bit) {
    return is_32bit ? kTss32 : kTss16;
}

// What a TSS holds, widened to 32 bits.
struct TaskImage {
    u32 eip = 0, eflags = 0, cr3 = 0;
    std::array<u32, 8> gpr{};
    std::array<u16, kSegCount> selectors{};
    u16 ldt = 0;
    bool trap = false;
};

bool load_word(Cpu& cpu, LinearAddr address, unsigned size, u32& value) {
    if (size == 4) {
        return cpu.load_system(address, value);
    }
    u16 half = 0;
    if (!cpu.load_system(address, half)) {
        return false;
    }
    value = half;
    return true;
}

bool store_word(Cpu& cpu, LinearAddr address, unsigned size, u32 value) {
    return size == 4 ? cpu.store_system(address, value)
                     : cpu.store_system(address, static_cast<u16>(value));
}

bool read_image(Cpu& cpu, LinearAddr base, bool is_32bit, TaskImage& image) {
    const Layout& at = layout_of(is_32bit);
    if (!load_word(cpu, base + at.eip, at.word, image.eip) ||
        !load_word(cpu, base + at.eflags, at.word, image.eflags) ||
        !cpu.load_system(base + at.ldt, image.ldt)) {
        return false;
    }
    for (unsigned i = 0; i < 8; ++i) {
        if (!load_word(cpu, base + at.gpr + i * at.word, at.word, image.gpr[i])) {
            return false;
        }
        if (!is_32bit) {
            image.gpr[i] |= 0xffff0000;  // as processors do; the SDM leaves the upper halves open
        }
    }
    for (unsigned i = 0; i < at.segment_count; ++i) {
        if (!cpu.load_system(base + at.segments + i * at.segment_stride, image.selectors[i])) {
            return false;
        }
    }
    u16 trap = 0;
    if (is_32bit && (!cpu.load_system(base + kCr3Offset, image.cr3) ||
                     !cpu.load_system(base + kTrapOffset, trap))) {
        return false;
    }
    image.trap = (trap & 1) != 0;
    return true;
}

// Step 8: EIP, EFLAGS, general and segment registers; CR3 and LDTR are not saved.
bool save_state(Cpu& cpu, u32 return_eip, u32 flags) {
    const bool is_32bit = current_tss_is_32bit(cpu.state);
    const Layout& at = layout_of(is_32bit);
    const LinearAddr base{cpu.state.tr.base};
    if (!store_word(cpu, base + at.eip, at.word, return_eip) ||
        !store_word(cpu, base + at.eflags, at.word, flags)) {
        return false;
    }
    for (unsigned i = 0; i < 8; ++i) {
        if (!store_word(cpu, base + at.gpr + i * at.word, at.word, cpu.state.gpr[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < at.segment_count; ++i) {
        if (!cpu.store_system(base + at.segments + i * at.segment_stride,
                              cpu.state.seg[i].selector)) {
            return false;
        }
    }
    return true;
}

bool load_ldtr(Cpu& cpu, u16 selector, CheckAs as) {
    cpu.state.ldtr = Segment{.base = 0, .limit = 0, .selector = selector, .attr = 0};
    if (null_selector(selector)) {
        return true;
    }
    Descriptor descriptor;
    if ((selector & 4) != 0) {
        return cpu.raise(Vector::ts, selector_error(selector, as.ext));
    }
    if (!read_descriptor(cpu, selector, descriptor, as)) {
        return false;
    }
    if (!descriptor.system() || descriptor.type() != SystemType::ldt || !descriptor.present()) {
        return cpu.raise(Vector::ts, selector_error(selector, as.ext));
    }
    cpu.state.ldtr = descriptor.segment(selector);
    return true;
}

bool load_code(Cpu& cpu, u16 selector, CheckAs as) {
    if (null_selector(selector)) {
        return cpu.raise(Vector::ts, selector_error(selector, as.ext));
    }
    Descriptor descriptor;
    if (!read_descriptor(cpu, selector, descriptor, as)) {
        return false;
    }
    const unsigned rpl = selector & 3;
    if (!descriptor.code() ||
        (descriptor.conforming() ? descriptor.dpl() > rpl : descriptor.dpl() != rpl)) {
        return cpu.raise(Vector::ts, selector_error(selector, as.ext));
    }
    if (!descriptor.present()) {
        return cpu.raise(Vector::np, selector_error(selector, as.ext));
    }
    if (!mark_accessed(cpu, descriptor)) {
        return false;
    }
    set_segment(cpu, Seg::cs, descriptor.segment(selector));
    return true;
}

// Behind the commit point: descriptors are loaded and checked in the context of the new task.
bool load_segments(Cpu& cpu, const TaskImage& image, u16 ext) {
    const CheckAs as{Vector::ts, ext};
    if (!load_ldtr(cpu, image.ldt, as)) {
        return false;
    }
    if (cpu.state.v86()) {
        for (unsigned i = 0; i < kSegCount; ++i) {
            set_segment(cpu, static_cast<Seg>(i), v86_segment(image.selectors[i]));
        }
        return true;
    }
    const auto selector = [&](Seg seg) { return image.selectors[static_cast<unsigned>(seg)]; };
    Segment loaded;
    if (!load_code(cpu, selector(Seg::cs), as) ||
        !stack_segment(cpu, selector(Seg::ss), cpu.state.cpl, loaded, as)) {
        return false;
    }
    set_segment(cpu, Seg::ss, loaded);
    for (const Seg seg : {Seg::ds, Seg::es, Seg::fs, Seg::gs}) {
        if (!data_segment(cpu, selector(seg), cpu.state.cpl, loaded, as)) {
            return false;
        }
        set_segment(cpu, seg, loaded);
    }
    return true;
}

void load_registers(Cpu& cpu, const TaskImage& image, u32 flags) {
    CpuState& state = cpu.state;
    state.gpr = image.gpr;
    state.eip = cpu.next_eip = image.eip;
    constexpr u32 kKnown = eflags::kArith | eflags::kTf | eflags::kIf | eflags::kDf |
                           eflags::kIopl | eflags::kNt | eflags::kRf | eflags::kVm | eflags::kAc |
                           eflags::kVif | eflags::kVip | eflags::kId;
    state.eflags = (flags & kKnown) | eflags::kFixed;
    for (unsigned i = 0; i < kSegCount; ++i) {
        // Unusable until the descriptors are in.
        state.seg[i] = Segment{.base = 0, .limit = 0, .selector = image.selectors[i], .attr = 0};
    }
    // The new CPL holds even while CS still is to be checked, so that a fault then is one of the
    // new task.
    state.cpl = state.v86() ? 3 : image.selectors[static_cast<unsigned>(Seg::cs)] & 3;
    state.cr0 |= cr0::kTs;
    state.dr[7] &= ~debug::kDr7LocalEnables;
    cpu.mode_changed();
}

}  // namespace

bool current_tss_is_32bit(const CpuState& state) {
    return (state.tr.attr & 8) != 0;
}

bool read_inner_stack(Cpu& cpu, unsigned level, InnerStack& out, u16 ext) {
    const Segment& tr = cpu.state.tr;
    const bool is_32bit = current_tss_is_32bit(cpu.state);
    const u32 at = is_32bit ? 4 + 8 * level : 2 + 4 * level;
    const u32 size = is_32bit ? 8 : 4;
    if ((tr.attr & Segment::kPresent) == 0 || at + size - 1 > tr.limit) {
        return cpu.raise(Vector::ts, selector_error(tr.selector, ext));
    }
    const LinearAddr base = LinearAddr{tr.base} + at;
    u16 selector = 0;
    if (!load_word(cpu, base, size / 2, out.esp) || !cpu.load_system(base + size / 2, selector)) {
        return false;
    }
    return stack_segment(cpu, selector, level, out.ss, CheckAs{Vector::ts, ext});
}

bool read_tss_descriptor(Cpu& cpu, u16 selector, TaskSwitch kind, Descriptor& out, CheckAs as) {
    if ((selector & 4) != 0 || null_selector(selector)) {
        return cpu.raise(as.vector, selector_error(selector, as.ext));
    }
    if (!read_descriptor(cpu, selector, out, as)) {
        return false;
    }
    if (!out.is_tss() || out.busy() != (kind == TaskSwitch::leave)) {
        return cpu.raise(as.vector, selector_error(selector, as.ext));
    }
    return out.present() || cpu.raise(Vector::np, selector_error(selector, as.ext));
}

bool switch_task(Cpu& cpu, u16 selector, Descriptor tss, TaskSwitch kind, u32 return_eip, u16 ext) {
    CpuState& state = cpu.state;
    const bool to_32bit = tss.is_32bit_system();
    const LinearAddr new_base{tss.base()};
    const u32 old_size = layout_of(current_tss_is_32bit(state)).minimum_limit + 1;
    if (tss.limit() < layout_of(to_32bit).minimum_limit) {
        return cpu.raise(Vector::ts, selector_error(selector, ext));
    }
    if ((state.tr.attr & Segment::kPresent) == 0 || state.tr.limit < old_size - 1) {
        return cpu.raise(Vector::ts, selector_error(state.tr.selector, ext));
    }
    // Everything that may fault is touched before anything changes: both TSSs and their
    // descriptors.
    TaskImage image;
    GuestFault fault;
    Descriptor old_descriptor;
    std::array<u64, 4> pdptes = state.pdpte;
    if (!read_image(cpu, new_base, to_32bit, image)) {
        return false;
    }
    const LinearAddr old_base{state.tr.base};
    if (!cpu.mmu.probe(old_base, old_size, Access::write, false, fault) ||
        !cpu.mmu.probe(tss.address, 8, Access::write, false, fault) ||
        (kind == TaskSwitch::nest && !cpu.mmu.probe(new_base, 2, Access::write, false, fault))) {
        return cpu.raise(fault);
    }
    const bool reload_cr3 = to_32bit && (state.cr0 & cr0::kPg) != 0;
    if (reload_cr3 && (state.cr4 & cr4::kPae) != 0 &&
        !read_pdptes(cpu.mmu.memory(), image.cr3, pdptes)) {
        return cpu.raise(Vector::gp, ext);
    }
    if (kind != TaskSwitch::nest &&
        (!read_descriptor(cpu, state.tr.selector, old_descriptor, {Vector::ts, ext}) ||
         !mark_busy(cpu, old_descriptor, false))) {
        return false;
    }
    const u32 saved_flags = kind == TaskSwitch::leave ? state.eflags & ~eflags::kNt : state.eflags;
    if (!save_state(cpu, return_eip, saved_flags)) {
        return false;
    }
    if (kind == TaskSwitch::nest) {
        if (!cpu.store_system(new_base, state.tr.selector)) {
            return false;
        }
        image.eflags |= eflags::kNt;
    }
    if (kind != TaskSwitch::leave && !mark_busy(cpu, tss, true)) {
        return false;
    }
    // The commit point: from here on the new task runs.
    state.tr = tss.segment(selector);
    state.tr.attr |= 2;
    if (reload_cr3) {
        load_cr3(cpu, image.cr3, pdptes);
    }
    load_registers(cpu, image, image.eflags);
    if (!load_segments(cpu, image, ext)) {
        return false;
    }
    if (image.trap) {
        cpu.add_pending_debug(debug::kDr6Bt);
    }
    return state.eip <= state.segment(Seg::cs).limit || cpu.raise(Vector::gp, ext);
}

}  // namespace ennead::vmcore
