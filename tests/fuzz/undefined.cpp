// SPDX-License-Identifier: MIT
#include "tests/fuzz/undefined.h"

#include "vmcore/cpu/state.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace eflags;

bool counts_by_cl(const Insn& insn) {
    return insn.op == Op::shld || insn.op == Op::shrd ? (insn.opcode & 1) != 0
                                                      : (insn.opcode & 0xfe) == 0xd2;
}
u32 count_of(const Insn& insn, u32 ecx) {
    if (counts_by_cl(insn)) {
        return ecx & 31;
    }
    const bool by_one = insn.op != Op::shld && insn.op != Op::shrd && (insn.opcode & 0xfe) == 0xd0;
    return by_one ? 1 : insn.imm & 31;
}

}  // namespace

u32 undefined_flags(const Insn& insn, u32 ecx) {
    switch (insn.op) {
        case Op::shl:
        case Op::shr:
        case Op::sar: {
            const u32 count = count_of(insn, ecx);
            const bool beyond = count >= insn.width * 8u && insn.op != Op::sar;
            return count == 0 ? 0 : kAf | (count == 1 ? 0 : kOf) | (beyond ? kCf : 0);
        }
        case Op::rol:
        case Op::ror:
        case Op::rcl:
        case Op::rcr:
            return count_of(insn, ecx) <= 1 ? 0 : kOf;
        case Op::shld:
        case Op::shrd: {
            const u32 count = count_of(insn, ecx);
            return count == 0                    ? 0
                   : undefined_result(insn, ecx) ? kArith
                                                 : kAf | (count == 1 ? 0 : kOf);
        }
        case Op::mul:
        case Op::imul_acc:
        case Op::imul_r_rm:
        case Op::imul_r_rm_imm:
            return kSf | kZf | kAf | kPf;
        case Op::div:
        case Op::idiv:
            return kArith;
        case Op::bsf:
        case Op::bsr:
            return kArith & ~kZf;
        default:
            return 0;
    }
}

u32 ever_undefined_flags(const Insn& insn) {
    u32 flags = 0;
    for (u32 count = 0; count < 32; ++count) {
        flags |= undefined_flags(insn, count);
    }
    return flags;
}

bool undefined_result(const Insn& insn, u32 ecx) {
    return (insn.op == Op::shld || insn.op == Op::shrd) &&
           count_of(insn, ecx) > insn.operand_size * 8u;
}

}  // namespace ennead::vmcore::fuzz
