// SPDX-License-Identifier: MIT
// XCHG XADD CMPXCHG CMPXCHG8B BSWAP (SDM vol 1 §7.3.1.2). Each is one step for the guest: there is
// one vCPU, and devices reach RAM between instructions.
#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {

bool exec_xchg(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        const T other = get_reg<T>(cpu, insn.src);
        if (!insn.has_memory) {
            set_reg<T>(cpu, insn.src, get_reg<T>(cpu, insn.dst));
            set_reg<T>(cpu, insn.dst, other);
            return true;
        }
        T old;
        if (!modify_rm<T>(cpu, insn, [&](T value) {
                old = value;
                return other;
            })) {
            return false;
        }
        set_reg<T>(cpu, insn.src, old);
        return true;
    });
}

bool exec_xadd(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        const T addend = get_reg<T>(cpu, insn.src);
        T old{}, sum{};
        const auto add = [&](T value) {
            old = value;
            return sum = static_cast<T>(value + addend);
        };
        if (insn.has_memory) {
            if (!modify_rm<T>(cpu, insn, add)) {
                return false;
            }
            set_reg<T>(cpu, insn.src, old);
        } else {
            // The exchange comes first (SDM vol 2D, XADD): with both operands the same register the
            // sum stays.
            add(get_reg<T>(cpu, insn.dst));
            set_reg<T>(cpu, insn.src, old);
            set_reg<T>(cpu, insn.dst, sum);
        }
        flags::merge(cpu.state.eflags, eflags::kArith, flags::add(old, addend, sum));
        return true;
    });
}

// "The destination operand is written to even when the comparison is not successful" (SDM vol 2A,
// CMPXCHG).
bool exec_cmpxchg(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        const T expected = get_reg<T>(cpu, kEax);
        const T wanted = get_reg<T>(cpu, insn.src);
        T old{};
        if (!modify_rm<T>(cpu, insn, [&](T value) {
                old = value;
                return value == expected ? wanted : value;
            })) {
            return false;
        }
        if (old != expected) {
            set_reg<T>(cpu, kEax, old);
        }
        flags::merge(cpu.state.eflags, eflags::kArith,
                     flags::sub(expected, old, static_cast<T>(expected - old)));
        return true;
    });
}

bool exec_cmpxchg8b(Cpu& cpu, const Insn& insn) {
    const u64 expected = u64{cpu.r32(kEdx)} << 32 | cpu.r32(kEax);
    const u64 wanted = u64{cpu.r32(kEcx)} << 32 | cpu.r32(kEbx);
    const u32 offset = cpu.effective_offset(insn);
    u64 old;
    if (!cpu.load_for_store(insn.segment, offset, old)) {
        return false;
    }
    const bool equal = old == expected;
    if (!cpu.store(insn.segment, offset, equal ? wanted : old)) {
        return false;
    }
    if (!equal) {
        cpu.set_r32(kEax, static_cast<u32>(old));
        cpu.set_r32(kEdx, static_cast<u32>(old >> 32));
    }
    flags::merge(cpu.state.eflags, eflags::kZf, equal ? eflags::kZf : 0);
    return true;
}

// A 16-bit BSWAP is undefined; processors give zero.
bool exec_bswap(Cpu& cpu, const Insn& insn) {
    if (insn.operand_size == 2) {
        cpu.set_r16(insn.dst, 0);
    } else {
        cpu.set_r32(insn.dst, __builtin_bswap32(cpu.r32(insn.dst)));
    }
    return true;
}

}  // namespace ennead::vmcore
