// SPDX-License-Identifier: MIT
// What the CPU's registers hold after RESET.
#include "vmcore/cpu/state.h"

#include "vmcore/cpu/interp/cpuid.h"

namespace ennead::vmcore {

void CpuState::reset() {
    // SDM vol 3A, table 9-1. EDX holds the processor's signature.
    gpr = {};
    gpr[kEdx] = kCpuSignature;
    eip = 0xfff0;
    eflags = eflags::kFixed;

    Segment data;
    data.attr = Segment::kPresent | Segment::kCodeOrData | Segment::kWritable | Segment::kAccessed;
    seg.fill(data);
    Segment& code = segment(Seg::cs);
    code.selector = 0xf000;
    code.base = 0xffff0000;

    ldtr = Segment{};
    ldtr.attr = Segment::kPresent | 2;
    tr = Segment{};
    tr.attr = Segment::kPresent | 11;
    gdtr = DescriptorTable{};
    idtr = DescriptorTable{};
    cr0 = cr0::kCd | cr0::kNw | cr0::kEt;
    cr2 = cr3 = cr4 = 0;
    pdpte = {};
    dr = {0, 0, 0, 0, 0, 0, 0xffff0ff0, 0x400};
    cpl = 0;
    halted = interrupt_shadow = nmi_blocked = ferr = false;

    efer = 0;
    apic_base = 0xfee00900;  // enabled, bootstrap processor
    sysenter_cs = sysenter_esp = sysenter_eip = 0;
    pat = 0x0007040600070406;
    misc_enable = 1;
    // After RESET (not INIT) the FPU is as FINIT leaves it, but for the control word and the tags:
    // 0040H and 5555H.
    x87 = X87State{};
    x87.control = 0x0040;
    x87.tag = 0x5555;
    xmm = {};
    mxcsr = mxcsr::kReset;
    instructions = 0;
}

}  // namespace ennead::vmcore
