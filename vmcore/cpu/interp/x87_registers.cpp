// SPDX-License-Identifier: MIT
// The x87 encodings whose ModRM byte names registers, and those that are one instruction each.
#include "vmcore/cpu/interp/x87_registers.h"

#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore::x87 {
namespace {

// D9 E0…FF: one instruction each.
bool exec_d9_single(X87State& s, u8 modrm) {
    switch (modrm) {
        case 0xe0:
            chs(s);
            return true;
        case 0xe1:
            abs(s);
            return true;
        case 0xe4:
            unary(s, Unary::tst);
            return true;
        case 0xe5:
            xam(s);
            return true;
        case 0xf0:
            unary(s, Unary::f2xm1);
            return true;
        case 0xf1:
            binary_pop(s, BinaryPop::yl2x);
            return true;
        case 0xf2:
            push(s, Push::tan);
            return true;
        case 0xf3:
            binary_pop(s, BinaryPop::patan);
            return true;
        case 0xf4:
            push(s, Push::xtract);
            return true;
        case 0xf5:
            binary(s, Binary::prem1);
            return true;
        case 0xf6:
            rotate(s, -1);
            return true;
        case 0xf7:
            rotate(s, 1);
            return true;
        case 0xf8:
            binary(s, Binary::prem);
            return true;
        case 0xf9:
            binary_pop(s, BinaryPop::yl2xp1);
            return true;
        case 0xfa:
            unary(s, Unary::sqrt);
            return true;
        case 0xfb:
            push(s, Push::sincos);
            return true;
        case 0xfc:
            unary(s, Unary::rndint);
            return true;
        case 0xfd:
            binary(s, Binary::scale);
            return true;
        case 0xfe:
            unary(s, Unary::sin);
            return true;
        case 0xff:
            unary(s, Unary::cos);
            return true;
        default:
            break;
    }
    if (modrm >= 0xe8 && modrm <= 0xee) {
        load_constant(s, static_cast<Constant>(modrm - 0xe8));
        return true;
    }
    return false;
}

bool exec_d9_registers(X87State& s, unsigned group, unsigned i, u8 modrm) {
    switch (group) {
        case 0:
            load_st(s, i);
            return true;
        case 1:
            exchange(s, i);
            return true;
        case 2:
            return i == 0;  // FNOP
        case 3:
            store_st_unchecked(s, i);
            return true;
        default:
            return exec_d9_single(s, modrm);
    }
}

// FCMOVcc: B, E, BE, U in DA and their opposites in DB (SDM vol 2A).
bool condition_holds(u32 flags, unsigned group, bool negated) {
    static constexpr u32 kTested[] = {eflags::kCf, eflags::kZf, eflags::kCf | eflags::kZf,
                                      eflags::kPf};
    return ((flags & kTested[group]) != 0) != negated;
}

bool exec_dd_registers(X87State& s, unsigned group, unsigned i) {
    switch (group) {
        case 0:
            free_register(s, i, false);
            return true;
        case 1:
            exchange(s, i);
            return true;
        case 2:
            store_st(s, i, false);
            return true;
        case 3:
            store_st(s, i, true);
            return true;
        case 4:
            compare(s, i, true, 0);
            return true;
        case 5:
            compare(s, i, true, 1);
            return true;
        default:
            return false;
    }
}

bool exec_df_registers(CpuState& state, unsigned group, unsigned i) {
    X87State& s = state.x87;
    switch (group) {
        case 0:
            free_register(s, i, true);
            return true;
        case 1:
            exchange(s, i);
            return true;
        case 2:
        case 3:
            store_st(s, i, true);
            return true;
        case 5:
            compare_to_flags(s, i, true, true, state.eflags);
            return true;
        case 6:
            compare_to_flags(s, i, false, true, state.eflags);
            return true;
        default:
            return false;
    }
}

bool exec_db_registers(CpuState& state, unsigned group, unsigned i) {
    X87State& s = state.x87;
    if (group < 4) {
        move_if(s, i, condition_holds(state.eflags, group, true));
    } else if (group == 5) {
        compare_to_flags(s, i, true, false, state.eflags);
    } else if (group == 6) {
        compare_to_flags(s, i, false, false, state.eflags);
    } else {
        return false;
    }
    return true;
}

bool exec_da_registers(CpuState& state, unsigned group, unsigned i, u8 modrm) {
    if (group < 4) {
        move_if(state.x87, i, condition_holds(state.eflags, group, false));
        return true;
    }
    if (modrm == 0xe9) {
        compare(state.x87, 1, true, 2);  // FUCOMPP
        return true;
    }
    return false;
}

// D8, DC and DE: ST(0) op ST(i), the result to ST(0) or to ST(i), and in DE a pop.
bool exec_arith_registers(X87State& s, u8 opcode, Arith op, unsigned i) {
    const bool pop = opcode == 0xde;
    if (op != Arith::com && op != Arith::comp) {
        arith(s, op, i, opcode == 0xd8 ? 0 : i, pop);
        return true;
    }
    if (pop && op == Arith::comp) {
        if (i != 1) {
            return false;  // only FCOMPP, DE D9
        }
        compare(s, 1, false, 2);
        return true;
    }
    compare(s, i, false, pop || op == Arith::comp ? 1 : 0);
    return true;
}

}  // namespace

bool exec_registers(CpuState& state, u8 opcode, u8 modrm) {
    X87State& s = state.x87;
    const unsigned group = (modrm >> 3) & 7;
    const unsigned i = modrm & 7;
    switch (opcode) {
        case 0xd9:
            return exec_d9_registers(s, group, i, modrm);
        case 0xda:
            return exec_da_registers(state, group, i, modrm);
        case 0xdb:
            return exec_db_registers(state, group, i);
        case 0xdd:
            return exec_dd_registers(s, group, i);
        case 0xdf:
            return exec_df_registers(state, group, i);
        default:
            return exec_arith_registers(s, opcode, static_cast<Arith>(group), i);
    }
}

}  // namespace ennead::vmcore::x87
