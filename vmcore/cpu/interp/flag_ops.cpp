// SPDX-License-Identifier: MIT
// CLC STC CMC CLD STD LAHF SAHF SALC (SDM vol 1 §7.3.13).
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

// What LAHF and SAHF move: SF ZF AF PF CF.
constexpr u32 kLow = eflags::kSf | eflags::kZf | eflags::kAf | eflags::kPf | eflags::kCf;

}  // namespace

bool exec_clc(Cpu& cpu, const Insn&) {
    cpu.state.eflags &= ~eflags::kCf;
    return true;
}

bool exec_stc(Cpu& cpu, const Insn&) {
    cpu.state.eflags |= eflags::kCf;
    return true;
}

bool exec_cmc(Cpu& cpu, const Insn&) {
    cpu.state.eflags ^= eflags::kCf;
    return true;
}

bool exec_cld(Cpu& cpu, const Insn&) {
    cpu.state.eflags &= ~eflags::kDf;
    return true;
}

bool exec_std_(Cpu& cpu, const Insn&) {
    cpu.state.eflags |= eflags::kDf;
    return true;
}

bool exec_lahf(Cpu& cpu, const Insn&) {
    cpu.set_r8(kEax + 4, static_cast<u8>((cpu.state.eflags & kLow) | eflags::kFixed));
    return true;
}

bool exec_sahf(Cpu& cpu, const Insn&) {
    cpu.state.eflags = (cpu.state.eflags & ~kLow) | (cpu.r8(kEax + 4) & kLow);
    return true;
}

// Undocumented, on every Intel part: AL becomes 0 or 0xff by CF.
bool exec_salc(Cpu& cpu, const Insn&) {
    cpu.set_r8(kEax, (cpu.state.eflags & eflags::kCf) != 0 ? 0xff : 0);
    return true;
}

}  // namespace ennead::vmcore
