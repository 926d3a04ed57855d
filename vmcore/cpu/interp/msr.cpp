// SPDX-License-Identifier: MIT
// RDMSR and WRMSR by register (SDM vol 4, table 2-2).
#include "vmcore/cpu/interp/msr.h"

#include "vmcore/cpu/mmu/page_walk.h"

namespace ennead::vmcore {
namespace {

enum Msr : u32 {
    kTimeStampCounter = 0x10,
    kPlatformId = 0x17,
    kApicBase = 0x1b,
    kTscAdjust = 0x3b,
    kBiosUpdateTrigger = 0x79,
    kBiosSignId = 0x8b,
    kSysenterCs = 0x174,
    kSysenterEsp = 0x175,
    kSysenterEip = 0x176,
    kMiscEnable = 0x1a0,
    kDebugCtl = 0x1d9,
    kPat = 0x277,
    kTscDeadline = 0x6e0,
    kEfer = 0xc0000080,
};

// SDM vol 3A, table 11-10: 2 and 3 are reserved, as is everything above 7.
bool valid_pat(u64 value) {
    for (unsigned i = 0; i < 8; ++i) {
        const u64 type = value >> (8 * i) & 0xff;
        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

// A deadline is given in ticks of the TSC: when that is set, it comes at another time.
void set_tsc_offset(Cpu& cpu, u64 offset) {
    cpu.state.tsc_offset = offset;
    if (const u64 deadline = cpu.io.interrupts.tsc_deadline(); deadline != 0) {
        cpu.io.interrupts.tsc_deadline_written(deadline);
    }
}

bool write_apic_base(Cpu& cpu, u64 value) {
    constexpr u64 kAddress = ((1ull << kPhysicalAddressBits) - 1) & ~u64{kPageMask};
    if ((value & ~(kAddress | kApicBaseBsp | kApicBaseEnable)) != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    // The BSP flag tells what the hardware is; it does not change.
    cpu.state.apic_base = (value & ~kApicBaseBsp) | (cpu.state.apic_base & kApicBaseBsp);
    cpu.io.interrupts.apic_base_written(cpu.state.apic_base);
    return true;
}

}  // namespace

bool read_msr(Cpu& cpu, u32 index, u64& value) {
    const CpuState& state = cpu.state;
    // clang-format off
    switch (index) {
        case kTimeStampCounter: value = cpu.tsc(); return true;
        // The machine's clock starts at zero, so all that anyone added to the counter is the offset.
        case kTscAdjust: value = state.tsc_offset; return true;
        case kPlatformId: value = 0; return true;
        case kApicBase: value = state.apic_base; return true;
        // No microcode update was loaded.
        case kBiosSignId: value = 0; return true;
        case kSysenterCs: value = state.sysenter_cs; return true;
        case kSysenterEsp: value = state.sysenter_esp; return true;
        case kSysenterEip: value = state.sysenter_eip; return true;
        case kMiscEnable: value = state.misc_enable; return true;
        // No branch records and no branch stepping: every bit is zero and stays so.
        case kDebugCtl: value = 0; return true;
        case kPat: value = state.pat; return true;
        case kTscDeadline: value = cpu.io.interrupts.tsc_deadline(); return true;
        case kEfer: value = state.efer; return true;
        default: return cpu.raise(Vector::gp, 0);
    }
    // clang-format on
}

bool write_msr(Cpu& cpu, u32 index, u64 value) {
    CpuState& state = cpu.state;
    const auto refuse_unless = [&](bool fine) { return fine || cpu.raise(Vector::gp, 0); };
    switch (index) {
        case kTimeStampCounter:
            set_tsc_offset(cpu, value - cpu.io.clock.now_ns());
            return true;
        case kTscAdjust:
            set_tsc_offset(cpu, value);
            return true;
        case kApicBase:
            return write_apic_base(cpu, value);
        case kBiosUpdateTrigger:
        case kBiosSignId:
            return true;  // an update is ignored; software clears BIOS_SIGN_ID before it reads it
        case kSysenterCs:
            state.sysenter_cs = static_cast<u32>(value);
            return true;
        case kSysenterEsp:
            state.sysenter_esp = static_cast<u32>(value);
            return true;
        case kSysenterEip:
            state.sysenter_eip = static_cast<u32>(value);
            return true;
        case kMiscEnable:
            if (!refuse_unless((value & ~(kMiscFastStrings | kMiscLimitCpuid)) == 0)) {
                return false;
            }
            state.misc_enable = value;
            return true;
        case kDebugCtl:
            return refuse_unless(value == 0);
        case kPat:
            if (!refuse_unless(valid_pat(value))) {
                return false;
            }
            state.pat = value;
            return true;
        case kTscDeadline:
            cpu.io.interrupts.tsc_deadline_written(value);
            return true;
        case kEfer:
            if (!refuse_unless((value & ~u64{efer::kNxe}) == 0)) {
                return false;
            }
            state.efer = value;
            cpu.mode_changed();
            return true;
        default:
            return cpu.raise(Vector::gp, 0);
    }
}

}  // namespace ennead::vmcore
