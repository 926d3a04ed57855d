// SPDX-License-Identifier: MIT
// Near JMP CALL RET, Jcc, LOOP, JCXZ, BOUND (SDM vol 1 §7.3.8).
#include <utility>

#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

// T is the operand size: a 16-bit near branch clears the upper half of EIP.
template <class T>
u32 relative_target(const Cpu& cpu, const Insn& insn) {
    return static_cast<T>(cpu.next_eip + insn.imm);
}

template <class T>
bool jump_relative(Cpu& cpu, const Insn& insn) {
    return cpu.branch_near(relative_target<T>(cpu, insn));
}

template <class T, unsigned condition>
bool jump_if(Cpu& cpu, const Insn& insn) {
    return !condition_holds(cpu.state.eflags, condition) ||
           cpu.branch_near(relative_target<T>(cpu, insn));
}

template <class T, std::size_t... conditions>
constexpr std::array<Handler, 16> jumps_if(std::index_sequence<conditions...>) {
    return {jump_if<T, conditions>...};
}
constexpr std::array<Handler, 16> kJump16 = jumps_if<u16>(std::make_index_sequence<16>());
constexpr std::array<Handler, 16> kJump32 = jumps_if<u32>(std::make_index_sequence<16>());

template <class T>
bool jump_operand(Cpu& cpu, const Insn& insn) {
    T target;
    return load_rm(cpu, insn, target) && cpu.branch_near(target);
}

// The target is checked before the return address is pushed (SDM vol 2A, CALL): a fault leaves the
// stack alone.
template <class T>
bool call_target(Cpu& cpu, u32 target) {
    const T back = static_cast<T>(cpu.next_eip);
    return cpu.branch_near(target) && cpu.push(back);
}

template <class T>
bool call_relative(Cpu& cpu, const Insn& insn) {
    return call_target<T>(cpu, relative_target<T>(cpu, insn));
}

template <class T>
bool call_operand(Cpu& cpu, const Insn& insn) {
    T target;
    return load_rm(cpu, insn, target) && call_target<T>(cpu, target);
}

// RET has no immediate: insn.imm is 0 there.
template <class T>
bool near_return(Cpu& cpu, const Insn& insn) {
    T target;
    if (!cpu.load(Seg::ss, cpu.sp(), target) || !cpu.branch_near(target)) {
        return false;
    }
    cpu.set_sp(cpu.sp() + u32{sizeof(T)} + insn.imm);
    return true;
}

bool branch_by_size(Cpu& cpu, const Insn& insn) {
    return cpu.branch_near(insn.operand_size == 4 ? relative_target<u32>(cpu, insn)
                                                  : relative_target<u16>(cpu, insn));
}

// CX or ECX by address size. The count changes only if the branch does not fault.
template <class Condition>
bool count_and_loop(Cpu& cpu, const Insn& insn, Condition goes_on) {
    const bool wide = insn.address_size == 4;
    const u32 count = wide ? cpu.r32(kEcx) - 1 : static_cast<u16>(cpu.r16(kEcx) - 1);
    if (count != 0 && goes_on(cpu.state.eflags) && !branch_by_size(cpu, insn)) {
        return false;
    }
    if (wide) {
        cpu.set_r32(kEcx, count);
    } else {
        cpu.set_r16(kEcx, static_cast<u16>(count));
    }
    return true;
}

template <class T>
bool check_bounds(Cpu& cpu, const Insn& insn) {
    using Signed = std::make_signed_t<T>;
    const u32 offset = cpu.effective_offset(insn);
    const u32 second = offset + u32{sizeof(T)};
    T lower, upper;
    if (!cpu.load(insn.segment, offset, lower) ||
        !cpu.load(insn.segment, insn.address_size == 2 ? second & 0xffff : second, upper)) {
        return false;
    }
    const auto index = static_cast<Signed>(get_reg<T>(cpu, insn.dst));
    if (index < static_cast<Signed>(lower) || index > static_cast<Signed>(upper)) {
        return cpu.raise(Vector::br);
    }
    return true;
}

}  // namespace

Handler select_branch(const Insn& insn) {
    const bool wide = insn.operand_size == 4;
    switch (insn.op) {
        case Op::jcc:
            return (wide ? kJump32 : kJump16)[insn.opcode & 0xf];
        case Op::jmp_rel:
            return wide ? jump_relative<u32> : jump_relative<u16>;
        case Op::jmp_rm:
            return wide ? jump_operand<u32> : jump_operand<u16>;
        case Op::call_rel:
            return wide ? call_relative<u32> : call_relative<u16>;
        case Op::call_rm:
            return wide ? call_operand<u32> : call_operand<u16>;
        case Op::ret:
        case Op::ret_imm:
            return wide ? near_return<u32> : near_return<u16>;
        default:
            return nullptr;
    }
}

bool exec_jcc(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_jmp_rel(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_jmp_rm(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_call_rel(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_call_rm(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_ret(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}
bool exec_ret_imm(Cpu& cpu, const Insn& insn) {
    return select_branch(insn)(cpu, insn);
}

bool exec_loop(Cpu& cpu, const Insn& insn) {
    return count_and_loop(cpu, insn, [](u32) { return true; });
}

bool exec_loope(Cpu& cpu, const Insn& insn) {
    return count_and_loop(cpu, insn, [](u32 flags) { return (flags & eflags::kZf) != 0; });
}

bool exec_loopne(Cpu& cpu, const Insn& insn) {
    return count_and_loop(cpu, insn, [](u32 flags) { return (flags & eflags::kZf) == 0; });
}

bool exec_jcxz(Cpu& cpu, const Insn& insn) {
    const u32 count = insn.address_size == 4 ? cpu.r32(kEcx) : cpu.r16(kEcx);
    return count != 0 || branch_by_size(cpu, insn);
}

bool exec_bound(Cpu& cpu, const Insn& insn) {
    return insn.operand_size == 4 ? check_bounds<u32>(cpu, insn) : check_bounds<u16>(cpu, insn);
}

}  // namespace ennead::vmcore
