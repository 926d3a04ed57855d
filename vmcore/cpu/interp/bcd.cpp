// SPDX-License-Identifier: MIT
// Decimal adjustment: DAA DAS AAA AAS AAM AAD (SDM vol 2A). OF, undefined throughout, is cleared.
#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

bool half_carry(const Cpu& cpu, u8 al) {
    return (al & 0xf) > 9 || (cpu.state.eflags & eflags::kAf) != 0;
}

void set_flags(Cpu& cpu, u8 al, bool af, bool cf) {
    flags::merge(cpu.state.eflags, eflags::kArith,
                 flags::sign_zero_parity(al) | (af ? eflags::kAf : 0) | (cf ? eflags::kCf : 0));
}

// SF, ZF and PF, undefined here, follow AL.
bool adjust_unpacked(Cpu& cpu, u16 by) {
    const u8 al = cpu.r8(kEax);
    const bool adjust = half_carry(cpu, al);
    const u16 ax = static_cast<u16>(cpu.r16(kEax) + (adjust ? by : 0));
    cpu.set_r16(kEax, ax & 0xff0f);
    set_flags(cpu, ax & 0xf, adjust, adjust);
    return true;
}

}  // namespace

bool exec_daa(Cpu& cpu, const Insn&) {
    const u8 old = cpu.r8(kEax);
    const bool low = half_carry(cpu, old);
    const bool high = old > 0x99 || (cpu.state.eflags & eflags::kCf) != 0;
    const u8 al = static_cast<u8>(old + (low ? 6 : 0) + (high ? 0x60 : 0));
    cpu.set_r8(kEax, al);
    set_flags(cpu, al, low, high);
    return true;
}

// Unlike DAA's, a borrow out of the low adjustment reaches CF by itself.
bool exec_das(Cpu& cpu, const Insn&) {
    const u8 old = cpu.r8(kEax);
    const bool low = half_carry(cpu, old);
    const bool high = old > 0x99 || (cpu.state.eflags & eflags::kCf) != 0;
    const u8 al = static_cast<u8>(old - (low ? 6 : 0) - (high ? 0x60 : 0));
    cpu.set_r8(kEax, al);
    set_flags(cpu, al, low, high || (low && old < 6));
    return true;
}

bool exec_aaa(Cpu& cpu, const Insn&) {
    return adjust_unpacked(cpu, 0x106);
}
// AX - 6, then AH - 1.
bool exec_aas(Cpu& cpu, const Insn&) {
    return adjust_unpacked(cpu, static_cast<u16>(-0x106));
}

bool exec_aam(Cpu& cpu, const Insn& insn) {
    const u8 base = static_cast<u8>(insn.imm);
    if (base == 0) {
        return cpu.raise(Vector::de);
    }
    const u8 al = cpu.r8(kEax);
    cpu.set_r16(kEax, static_cast<u16>((al / base) << 8 | al % base));
    set_flags(cpu, al % base, false, false);
    return true;
}

bool exec_aad(Cpu& cpu, const Insn& insn) {
    const u16 ax = cpu.r16(kEax);
    const u8 al = static_cast<u8>(ax + (ax >> 8) * insn.imm);
    cpu.set_r16(kEax, al);
    set_flags(cpu, al, false, false);
    return true;
}

}  // namespace ennead::vmcore
