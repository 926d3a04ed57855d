// SPDX-License-Identifier: MIT
// Descriptor table registers, debug registers, MSRs, counters, HLT, software interrupts: what is
// left of the system instructions.
#include "vmcore/cpu/interp/cpuid.h"
#include "vmcore/cpu/interp/debug.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/msr.h"
#include "vmcore/cpu/interrupt.h"

namespace ennead::vmcore {
namespace {

bool supervisor(Cpu& cpu) {
    return cpu.state.cpl == 0 || cpu.raise(Vector::gp, 0);
}

bool needs_memory(Cpu& cpu, const Insn& insn) {
    return insn.has_memory || cpu.raise(Vector::ud);
}

// SDM vol 2B, SGDT and SIDT: with 16-bit operands the fourth byte of the base is stored as zero.
bool store_table(Cpu& cpu, const Insn& insn, const DescriptorTable& table) {
    if (!needs_memory(cpu, insn)) {
        return false;
    }
    const u32 at = cpu.effective_offset(insn);
    const u32 base = insn.operand_size == 2 ? table.base & 0x00ffffff : table.base;
    return cpu.probe_store(insn.segment, at, 6) && cpu.store(insn.segment, at, table.limit) &&
           cpu.store(insn.segment, at + 2, base);
}

// With 16-bit operands only 24 bits of the base are loaded.
bool load_table(Cpu& cpu, const Insn& insn, DescriptorTable& table) {
    DescriptorTable loaded;
    if (!needs_memory(cpu, insn) || !supervisor(cpu)) {
        return false;
    }
    const u32 at = cpu.effective_offset(insn);
    if (!cpu.load(insn.segment, at, loaded.limit) || !cpu.load(insn.segment, at + 2, loaded.base)) {
        return false;
    }
    loaded.base &= insn.operand_size == 2 ? 0x00ffffffu : 0xffffffffu;
    table = loaded;
    return true;
}

// DR4 and DR5 are names of DR6 and DR7 unless CR4.DE is set; DR7.GD makes every access a fault (SDM
// vol 3B §17.2).
bool debug_register(Cpu& cpu, const Insn& insn, unsigned& number) {
    number = insn.reg();
    if (number == 4 || number == 5) {
        if ((cpu.state.cr4 & cr4::kDe) != 0) {
            return cpu.raise(Vector::ud);
        }
        number += 2;
    }
    if (!supervisor(cpu)) {
        return false;
    }
    if ((cpu.state.dr[7] & debug::kDr7Gd) != 0) {
        return cpu.raise(GuestFault{.vector = Vector::db, .dr6 = debug::kDr6Bd});
    }
    return true;
}

}  // namespace

bool exec_sgdt(Cpu& cpu, const Insn& insn) {
    return store_table(cpu, insn, cpu.state.gdtr);
}
bool exec_sidt(Cpu& cpu, const Insn& insn) {
    return store_table(cpu, insn, cpu.state.idtr);
}
bool exec_lgdt(Cpu& cpu, const Insn& insn) {
    return load_table(cpu, insn, cpu.state.gdtr);
}
bool exec_lidt(Cpu& cpu, const Insn& insn) {
    return load_table(cpu, insn, cpu.state.idtr);
}

bool exec_invlpg(Cpu& cpu, const Insn& insn) {
    if (!needs_memory(cpu, insn) || !supervisor(cpu)) {
        return false;
    }
    // No limit or type check: the operand is only an address.
    cpu.mmu.invlpg(LinearAddr{cpu.state.segment(insn.segment).base + cpu.effective_offset(insn)});
    return true;
}

// There are no caches to write back.
bool exec_invd(Cpu& cpu, const Insn&) {
    return supervisor(cpu);
}
bool exec_wbinvd(Cpu& cpu, const Insn&) {
    return supervisor(cpu);
}

bool exec_mov_r_dr(Cpu& cpu, const Insn& insn) {
    unsigned number = 0;
    if (!debug_register(cpu, insn, number)) {
        return false;
    }
    cpu.set_r32(insn.rm(), cpu.state.dr[number]);
    return true;
}

bool exec_mov_dr_r(Cpu& cpu, const Insn& insn) {
    unsigned number = 0;
    if (!debug_register(cpu, insn, number)) {
        return false;
    }
    u32 value = cpu.r32(insn.rm());
    if (number == 6) {
        value = (value & 0xe00f) | debug::kDr6Fixed;
    } else if (number == 7) {
        value = (value & ~0xd800u) | debug::kDr7Fixed;  // bits 11, 12, 14, 15 are zero
    }
    cpu.state.dr[number] = value;
    cpu.mode_changed();
    return true;
}

bool exec_rdmsr(Cpu& cpu, const Insn&) {
    u64 value = 0;
    if (!supervisor(cpu) || !read_msr(cpu, cpu.r32(kEcx), value)) {
        return false;
    }
    cpu.set_r32(kEax, static_cast<u32>(value));
    cpu.set_r32(kEdx, static_cast<u32>(value >> 32));
    return true;
}

bool exec_wrmsr(Cpu& cpu, const Insn&) {
    return supervisor(cpu) &&
           write_msr(cpu, cpu.r32(kEcx), u64{cpu.r32(kEdx)} << 32 | cpu.r32(kEax));
}

bool exec_rdtsc(Cpu& cpu, const Insn&) {
    if ((cpu.state.cr4 & cr4::kTsd) != 0 && cpu.state.cpl != 0) {
        return cpu.raise(Vector::gp, 0);
    }
    const u64 value = cpu.tsc();
    cpu.set_r32(kEax, static_cast<u32>(value));
    cpu.set_r32(kEdx, static_cast<u32>(value >> 32));
    return true;
}

// There are no performance counters, so every index is a wrong one.
bool exec_rdpmc(Cpu& cpu, const Insn&) {
    return cpu.raise(Vector::gp, 0);
}

bool exec_cpuid(Cpu& cpu, const Insn&) {
    const CpuidResult result = cpuid(cpu.state, cpu.r32(kEax), cpu.r32(kEcx));
    cpu.set_r32(kEax, result.eax);
    cpu.set_r32(kEbx, result.ebx);
    cpu.set_r32(kEcx, result.ecx);
    cpu.set_r32(kEdx, result.edx);
    return true;
}

bool exec_hlt(Cpu& cpu, const Insn&) {
    if (!supervisor(cpu)) {
        return false;
    }
    cpu.state.halted = true;
    return true;
}

bool exec_ud(Cpu& cpu, const Insn&) {
    return cpu.raise(Vector::ud);
}

bool exec_int3(Cpu& cpu, const Insn&) {
    return software_interrupt(cpu, static_cast<u8>(Vector::bp), SoftwareInterrupt::int3);
}

bool exec_int_imm(Cpu& cpu, const Insn& insn) {
    return software_interrupt(cpu, static_cast<u8>(insn.imm), SoftwareInterrupt::int_n);
}

bool exec_into(Cpu& cpu, const Insn&) {
    return (cpu.state.eflags & eflags::kOf) == 0 ||
           software_interrupt(cpu, static_cast<u8>(Vector::of), SoftwareInterrupt::into);
}

// ICEBP: #DB without a bit of DR6, and without the gate's privilege check.
bool exec_int1(Cpu& cpu, const Insn&) {
    return software_interrupt(cpu, static_cast<u8>(Vector::db), SoftwareInterrupt::int1);
}

}  // namespace ennead::vmcore
