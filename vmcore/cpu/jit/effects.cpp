// SPDX-License-Identifier: MIT
// Flags read and written by operation (SDM vol 1, appendix A).
#include "vmcore/cpu/jit/effects.h"

#include <array>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/state.h"

namespace ennead::vmcore::jit {
namespace {

using namespace eflags;

constexpr u32 kRotated = kCf | kOf;
constexpr u32 kByLahf = kSf | kZf | kAf | kPf | kCf;

constexpr FlagEffects kNone{};
constexpr FlagEffects kReplacesAll{.kills = kArith, .writes = true};
constexpr FlagEffects kUnknown{.reads = kArith, .writes = true};

// The count is in CL, or is the immediate, or 1.
bool count_in_cl(const Insn& insn) {
    return insn.op == Op::shld || insn.op == Op::shrd ? (insn.opcode & 1) != 0
                                                      : (insn.opcode & 0xfe) == 0xd2;
}
u32 fixed_count(const Insn& insn) {
    const bool by_one = (insn.opcode & 0xfe) == 0xd0;
    return by_one ? 1 : insn.imm & 31;
}

FlagEffects shift(const Insn& insn) {
    if (count_in_cl(insn)) {
        return {.writes = true};
    }
    return fixed_count(insn) == 0 ? kNone : kReplacesAll;
}

FlagEffects rotate(const Insn& insn, bool through_carry) {
    const u32 reads = through_carry ? kCf : 0;
    // RCL and RCR take the count modulo 9 or 17 in the short forms, which may leave 0.
    const bool sure =
        !count_in_cl(insn) && fixed_count(insn) != 0 && (!through_carry || insn.width == 4);
    return {.reads = reads, .kills = sure ? kRotated : 0, .writes = true};
}

FlagEffects x87(const Insn& insn) {
    if (insn.has_memory) {
        return kNone;
    }
    if ((insn.opcode == 0xda || insn.opcode == 0xdb) && insn.modrm < 0xe0) {
        return {.reads = kCf | kZf | kPf};  // FCMOVcc
    }
    if ((insn.opcode == 0xdb || insn.opcode == 0xdf) && insn.modrm >= 0xe8 && insn.modrm < 0xf8) {
        return kReplacesAll;  // FCOMI and its kin
    }
    return kNone;
}

}  // namespace

u32 condition_reads(unsigned condition) {
    constexpr std::array<u32, 8> kReads = {kOf, kCf, kZf,       kCf | kZf,
                                           kSf, kPf, kSf | kOf, kSf | kOf | kZf};
    return kReads[(condition >> 1) & 7];
}

FlagEffects flag_effects(const Insn& insn) {
    switch (insn.op) {
        case Op::add:
        case Op::sub:
        case Op::cmp:
        case Op::and_:
        case Op::or_:
        case Op::xor_:
        case Op::test:
        case Op::neg:
        case Op::xadd:
        case Op::cmpxchg:
        case Op::bsf:
        case Op::bsr:
        case Op::mul:
        case Op::imul_acc:
        case Op::imul_r_rm:
        case Op::imul_r_rm_imm:
            return kReplacesAll;
        case Op::div:
        case Op::idiv:
            return {.writes = true};  // leaves them undefined; but a #DE shows those of before
        case Op::adc:
        case Op::sbb:
            return {.reads = kCf, .kills = kArith, .writes = true};
        case Op::inc:
        case Op::dec:
            return {.kills = kArith & ~kCf, .writes = true};
        case Op::shl:
        case Op::shr:
        case Op::sar:
        case Op::shld:
        case Op::shrd:
            return shift(insn);
        case Op::rol:
        case Op::ror:
            return rotate(insn, false);
        case Op::rcl:
        case Op::rcr:
            return rotate(insn, true);
        case Op::bt:
        case Op::bts:
        case Op::btr:
        case Op::btc:
            return {.kills = kCf, .writes = true};
        case Op::cmpxchg8b:
            return {.kills = kZf, .writes = true};
        case Op::cmps:
        case Op::scas:
            return {.kills = insn.rep == 0 ? kArith : 0, .writes = true};
        case Op::setcc:
        case Op::cmovcc:
        case Op::jcc:
            return {.reads = condition_reads(insn.opcode)};
        case Op::loope:
        case Op::loopne:
            return {.reads = kZf};
        case Op::lahf:
            return {.reads = kByLahf};
        case Op::sahf:
            return {.kills = kByLahf, .writes = true};
        case Op::clc:
        case Op::stc:
            return {.kills = kCf, .writes = true};
        case Op::cmc:
            return {.reads = kCf, .kills = kCf, .writes = true};
        case Op::popf:
            return kReplacesAll;
        case Op::pushf:
            return {.reads = kArith};
        case Op::fpu_d8:
        case Op::fpu_d9:
        case Op::fpu_da:
        case Op::fpu_db:
        case Op::fpu_dc:
        case Op::fpu_dd:
        case Op::fpu_de:
        case Op::fpu_df:
            return x87(insn);
        case Op::mov:
        case Op::movzx:
        case Op::movsx:
        case Op::lea:
        case Op::xlat:
        case Op::bswap:
        case Op::cbw:
        case Op::cwd:
        case Op::xchg:
        case Op::nop:
        case Op::not_:
        case Op::push_r:
        case Op::push_imm:
        case Op::push_rm:
        case Op::pop_r:
        case Op::pop_rm:
        case Op::pusha:
        case Op::popa:
        case Op::enter:
        case Op::leave:
        case Op::movs:
        case Op::stos:
        case Op::lods:
        case Op::ins:
        case Op::outs:
        case Op::jmp_rel:
        case Op::jmp_rm:
        case Op::call_rel:
        case Op::call_rm:
        case Op::ret:
        case Op::ret_imm:
        case Op::loop:
        case Op::jcxz:
        case Op::cli:
        case Op::sti:
        case Op::cld:
        case Op::std_:
        case Op::fwait:
        case Op::rdtsc:
        case Op::cpuid:
        case Op::in_imm:
        case Op::in_dx:
        case Op::out_imm:
        case Op::out_dx:
        case Op::rdmsr:
        case Op::mov_rm_sreg:
        case Op::mov_sreg_rm:
        case Op::push_sreg:
        case Op::pop_sreg:
        case Op::mov_r_cr:
        case Op::mov_r_dr:
        case Op::salc:
            return insn.op == Op::salc ? FlagEffects{.reads = kCf} : kNone;
        default: {
            const SimdForm& simd = opcode_row(insn.row).simd;
            if (!simd.present) {
                return kUnknown;
            }
            return simd.eflags ? kReplacesAll : kNone;
        }
    }
}

bool may_change(const Insn& insn, u8 gpr) {
    // 4…7 are AH…BH in byte forms.
    const auto is = [&](u8 operand) {
        return operand != kNoRegister && (insn.width == 1 ? operand & 3 : operand) == gpr;
    };
    switch (insn.op) {
        case Op::mov:
        case Op::movzx:
        case Op::movsx:
        case Op::lea:
        case Op::bswap:
        case Op::add:
        case Op::or_:
        case Op::adc:
        case Op::sbb:
        case Op::and_:
        case Op::sub:
        case Op::xor_:
        case Op::not_:
        case Op::neg:
        case Op::inc:
        case Op::dec:
        case Op::rol:
        case Op::ror:
        case Op::rcl:
        case Op::rcr:
        case Op::shl:
        case Op::shr:
        case Op::sar:
        case Op::shld:
        case Op::shrd:
        case Op::cmovcc:
        case Op::setcc:
        case Op::imul_r_rm:
        case Op::imul_r_rm_imm:
        case Op::bsf:
        case Op::bsr:
            // MOVZX and MOVSX have a byte as their source only.
            return insn.op == Op::movzx || insn.op == Op::movsx ? insn.dst == gpr : is(insn.dst);
        case Op::xchg:
        case Op::xadd:
            return is(insn.dst) || is(insn.src);
        case Op::cmp:
        case Op::test:
        case Op::bt:
        case Op::jcc:
        case Op::jmp_rel:
        case Op::nop:
        case Op::fwait:
            return false;
        case Op::push_r:
        case Op::push_imm:
        case Op::push_rm:
            return gpr == kEsp;
        case Op::pop_r:
            return gpr == kEsp || insn.dst == gpr;
        case Op::mul:
        case Op::imul_acc:
        case Op::cwd:
            return gpr == kEax || gpr == kEdx;
        case Op::cbw:
            return gpr == kEax;
        case Op::fpu_d8:
        case Op::fpu_d9:
        case Op::fpu_da:
        case Op::fpu_db:
        case Op::fpu_dc:
        case Op::fpu_dd:
        case Op::fpu_de:
            return false;
        default: {
            const SimdForm& simd = opcode_row(insn.row).simd;
            return !simd.present || !simd.plain || simd.reg == SimdForm::File::general ||
                   (simd.rm == SimdForm::File::general && !insn.has_memory);
        }
    }
}

}  // namespace ennead::vmcore::jit
