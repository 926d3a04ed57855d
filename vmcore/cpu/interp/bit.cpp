// SPDX-License-Identifier: MIT
// BT BTS BTR BTC, BSF BSR (SDM vol 2A).
#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

enum class Change { none, set, reset, complement };

template <class T, Change change>
T changed(T value, unsigned bit) {
    const T mask = static_cast<T>(T{1} << bit);
    switch (change) {
        case Change::set:
            return value | mask;
        case Change::reset:
            return static_cast<T>(value & ~mask);
        case Change::complement:
            return value ^ mask;
        case Change::none:
            break;
    }
    return value;
}

// CF takes the bit as it was; the other flags, undefined but for ZF, stay (SDM vol 2A, BT).
void set_carry(Cpu& cpu, bool on) {
    flags::merge(cpu.state.eflags, eflags::kCf, on ? eflags::kCf : 0);
}

// With the bit's number in a register it may lie outside of the operand, in either direction: a
// signed bit string that starts at the address (SDM vol 2A, BT).
template <class T>
u32 operand_offset(const Cpu& cpu, const Insn& insn, T number) {
    const i32 operand = static_cast<std::make_signed_t<T>>(number) >> (sizeof(T) == 2 ? 4 : 5);
    const u32 offset = cpu.effective_offset(insn) + static_cast<u32>(operand) * u32{sizeof(T)};
    return insn.address_size == 2 ? offset & 0xffff : offset;
}

template <class T, Change change>
bool test_bit(Cpu& cpu, const Insn& insn) {
    const bool by_register = insn.src != kNoRegister;
    const T number = by_register ? get_reg<T>(cpu, insn.src) : static_cast<T>(insn.imm);
    const unsigned bit = number % flags::kBits<T>;
    if (!insn.has_memory) {
        const T value = get_reg<T>(cpu, insn.dst);
        if constexpr (change != Change::none) {
            set_reg<T>(cpu, insn.dst, changed<T, change>(value, bit));
        }
        set_carry(cpu, (value >> bit & 1) != 0);
        return true;
    }
    const u32 offset =
        by_register ? operand_offset<T>(cpu, insn, number) : cpu.effective_offset(insn);
    T value;
    if constexpr (change == Change::none) {
        if (!cpu.load(insn.segment, offset, value)) {
            return false;
        }
    } else if (!cpu.load_for_store(insn.segment, offset, value) ||
               !cpu.store(insn.segment, offset, changed<T, change>(value, bit))) {
        return false;
    }
    set_carry(cpu, (value >> bit & 1) != 0);
    return true;
}

template <Change change>
bool test_bit_of_width(Cpu& cpu, const Insn& insn) {
    return insn.operand_size == 2 ? test_bit<u16, change>(cpu, insn)
                                  : test_bit<u32, change>(cpu, insn);
}

// A source of zero leaves the destination alone, as all processors do (the SDM leaves it open).
template <class T>
bool scan(Cpu& cpu, const Insn& insn, bool from_top) {
    T source;
    if (!load_rm(cpu, insn, source)) {
        return false;
    }
    u32 found = 0;
    if (source != 0) {
        found = static_cast<u32>(from_top ? 31 - __builtin_clz(source) : __builtin_ctz(source));
        set_reg<T>(cpu, insn.dst, static_cast<T>(found));
    }
    flags::merge(cpu.state.eflags, eflags::kArith, flags::bit_scan(source, found));
    return true;
}

bool scan_of_width(Cpu& cpu, const Insn& insn, bool from_top) {
    return insn.operand_size == 2 ? scan<u16>(cpu, insn, from_top) : scan<u32>(cpu, insn, from_top);
}

}  // namespace

bool exec_bt(Cpu& cpu, const Insn& insn) {
    return test_bit_of_width<Change::none>(cpu, insn);
}
bool exec_bts(Cpu& cpu, const Insn& insn) {
    return test_bit_of_width<Change::set>(cpu, insn);
}
bool exec_btr(Cpu& cpu, const Insn& insn) {
    return test_bit_of_width<Change::reset>(cpu, insn);
}
bool exec_btc(Cpu& cpu, const Insn& insn) {
    return test_bit_of_width<Change::complement>(cpu, insn);
}
bool exec_bsf(Cpu& cpu, const Insn& insn) {
    return scan_of_width(cpu, insn, false);
}
bool exec_bsr(Cpu& cpu, const Insn& insn) {
    return scan_of_width(cpu, insn, true);
}

}  // namespace ennead::vmcore
