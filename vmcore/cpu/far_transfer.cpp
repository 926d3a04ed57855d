// SPDX-License-Identifier: MIT
// The last steps of every far transfer, and the checks that gates share.
#include "vmcore/cpu/far_transfer.h"

namespace ennead::vmcore {

void commit_code(Cpu& cpu, const CodeTarget& target) {
    CpuState& state = cpu.state;
    const unsigned cpl = !state.protected_mode() ? 0 : state.v86() ? 3 : target.cs.selector & 3;
    set_segment(cpu, Seg::cs, target.cs);
    state.eip = cpu.next_eip = target.eip;
    if (cpl != state.cpl) {
        cpu.set_cpl(cpl);
    }
}

void commit_code_and_stack(Cpu& cpu, const CodeTarget& target, const Segment& ss, u32 esp) {
    commit_code(cpu, target);
    set_segment(cpu, Seg::ss, ss);
    cpu.state.gpr[kEsp] = esp;
}

Segment flat_mode_cs(const Cpu& cpu, u16 selector) {
    return cpu.state.v86() ? v86_segment(selector)
                           : real_segment(cpu.state.segment(Seg::cs), selector);
}

bool gate_code_segment(Cpu& cpu, u16 selector, GateLevels levels, Descriptor& out, bool& inner,
                       u16 ext) {
    if (null_selector(selector)) {
        return cpu.raise(Vector::gp, ext);
    }
    if (!read_descriptor(cpu, selector, out, {Vector::gp, ext})) {
        return false;
    }
    inner = !out.conforming() && out.dpl() < cpu.state.cpl;
    if (!out.code() || out.dpl() > cpu.state.cpl || (inner && levels == GateLevels::same)) {
        return cpu.raise(Vector::gp, selector_error(selector, ext));
    }
    return out.present() || cpu.raise(Vector::np, selector_error(selector, ext));
}

bool code_from(Cpu& cpu, Descriptor& descriptor, u16 selector, unsigned cpl, Segment& out) {
    if (!mark_accessed(cpu, descriptor)) {
        return false;
    }
    out = descriptor.segment(static_cast<u16>((selector & 0xfffc) | cpl));
    return true;
}

}  // namespace ennead::vmcore
