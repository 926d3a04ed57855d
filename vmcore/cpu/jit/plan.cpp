// SPDX-License-Identifier: MIT
// Finds the extent of a block and the liveness of flags in it.
#include "vmcore/cpu/jit/plan.h"

#include <algorithm>
#include <span>

#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"

namespace ennead::vmcore::jit {
namespace {

// How far a look at what follows a block goes.
constexpr unsigned kLookAhead = 6;
// Conditional branches that a block may go on behind. More would translate more code that is left
// before it runs.
constexpr unsigned kMostBranches = 3;

bool decode_at(const u8* page, u32 eip, Insn& insn) {
    const u32 offset = eip & kPageMask;
    return decode({page + offset, kPageSize - offset}, CodeSize::bits32, insn) == DecodeStatus::ok;
}

// Which of the flags in `wanted` code from `eip` on may read, if that can be told from a few
// instructions of the same page; what was looked at becomes a dependency.
u32 live_at(u32 eip, u32 wanted, const u8* page, BlockPlan& plan) {
    if (!plan.same_page(eip)) {
        return wanted;
    }
    u32 live = 0;
    const u32 first = eip;
    u32 end = eip;
    for (unsigned n = 0; n < kLookAhead && wanted != 0; ++n) {
        Insn insn;
        if (!plan.same_page(eip) || !decode_at(page, eip, insn)) {
            break;
        }
        const FlagEffects effects = flag_effects(insn);
        live |= effects.reads & wanted;
        wanted &= ~(effects.reads | effects.kills);
        eip += insn.length;
        end = eip;
        if (ends_block(insn)) {
            break;
        }
    }
    if (end != first) {
        plan.depends.push_back(
            {static_cast<u16>(first & kPageMask), static_cast<u16>((end - 1) & kPageMask)});
    }
    return live | wanted;
}

u32 live_after_block(const u8* page, u32 wanted, BlockPlan& plan) {
    const BlockPlan::Step& last = plan.last();
    if (!ends_block(last.insn)) {
        return live_at(plan.end(), wanted, page, plan);
    }
    if (last.insn.operand_size != 4) {
        return wanted;
    }
    switch (last.insn.op) {
        case Op::jmp_rel:
        case Op::call_rel:
            return live_at(branch_target(last.insn, last.eip), wanted, page, plan);
        case Op::jcc:
        case Op::loop:
        case Op::loope:
        case Op::loopne:
        case Op::jcxz:
            return live_at(plan.end(), wanted, page, plan) |
                   live_at(branch_target(last.insn, last.eip), wanted, page, plan);
        default:
            return wanted;
    }
}

// Not behind a loop's end: its next round would pay for checks that serve what comes after it.
bool goes_on_behind(const BlockPlan::Step& step) {
    return step.insn.op == Op::jcc && step.insn.operand_size == 4 &&
           branch_target(step.insn, step.eip) > step.eip;
}

// `page`: null if all flags matter everywhere.
void find_live_flags(const u8* page, BlockPlan& plan) {
    u32 live = plan.live_after;
    u8 left = 0;
    for (unsigned n = plan.count; n-- != 0;) {
        BlockPlan::Step& step = plan.steps[n];
        if (n + 1 < plan.count && ends_block(step.insn)) {
            left = 0;
            if (page != nullptr) {
                const u32 target = branch_target(step.insn, step.eip);
                live |= live_at(target, eflags::kArith & ~live, page, plan);
            }
        }
        const FlagEffects& effects = step.effects = flag_effects(step.insn);
        live = (live & ~effects.kills) | effects.reads;
        step.live_before = page == nullptr ? eflags::kArith : live;
        step.left = ++left;
    }
}

}  // namespace

bool ends_block(const Insn& insn) {
    return opcode_row(insn.row).has(OpcodeRow::kEndsBlock) && insn.op != Op::sti &&
           insn.op != Op::popf;
}

bool is_bit_string(const Insn& insn) {
    return insn.has_memory && insn.src != kNoRegister &&
           (insn.op == Op::bt || insn.op == Op::bts || insn.op == Op::btr || insn.op == Op::btc);
}

bool is_x87(const Insn& insn) {
    return insn.op >= Op::fpu_d8 && insn.op <= Op::fpu_df;
}

bool uses_fpu(const Insn& insn) {
    return is_x87(insn) || insn.op == Op::fwait || opcode_row(insn.row).simd.present;
}

X87Memory x87_memory(const Insn& insn) {
    if (!is_x87(insn) || !insn.has_memory) {
        return {};
    }
    // By escape byte and ModRM's /reg (SDM vol 2D, appendix A.5).
    constexpr u8 kW = 0x80;
    constexpr u8 kForms[8][8] = {
        {4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, 4 | kW, 4 | kW, 0, 2, 0, 2 | kW},
        {4, 4, 4, 4, 4, 4, 4, 4}, {4, 4 | kW, 4 | kW, 4 | kW, 0, 10, 0, 10 | kW},
        {8, 8, 8, 8, 8, 8, 8, 8}, {8, 8 | kW, 8 | kW, 8 | kW, 0, 0, 0, 2 | kW},
        {2, 2, 2, 2, 2, 2, 2, 2}, {2, 2 | kW, 2 | kW, 2 | kW, 10, 8, 10 | kW, 8 | kW},
    };
    const u8 form = kForms[insn.opcode & 7][insn.reg()];
    return {static_cast<u8>(form & ~kW), (form & kW) != 0};
}

unsigned memory_operand_bytes(const Insn& insn) {
    if (is_x87(insn)) {
        return x87_memory(insn).bytes;
    }
    if (const SimdForm& simd = opcode_row(insn.row).simd; simd.present) {
        return simd.memory_bytes;
    }
    for (const Operand operand : opcode_row(insn.row).operands) {
        switch (operand) {
            case Operand::Eb:
            case Operand::Ob:
                return 1;
            case Operand::Ew:
                return 2;
            case Operand::Mq:
                return 8;
            case Operand::Ev:
            case Operand::Ov:
                return insn.operand_size;
            default:
                break;
        }
    }
    return insn.width;
}

u32 branch_target(const Insn& insn, u32 eip) {
    return eip + insn.length + insn.imm;
}

void plan_straddling(u32 eip, bool user, const u8* page, const u8* next, bool exact_flags,
                     BlockPlan& plan) {
    plan.eip = eip;
    plan.user = user;
    plan.exact = exact_flags;
    plan.count = 0;
    plan.straddles = true;
    plan.plain = true;
    plan.frame = {};
    plan.depends.clear();
    const u32 offset = eip & kPageMask;
    const u32 here = kPageSize - offset;
    std::array<u8, kMaxInsnLength> bytes{};
    if (here >= bytes.size()) {
        return;
    }
    std::copy_n(page + offset, here, bytes.begin());
    std::copy_n(next, bytes.size() - here, bytes.begin() + here);
    BlockPlan::Step& step = plan.steps[0];
    if (decode(bytes, CodeSize::bits32, step.insn) != DecodeStatus::ok ||
        step.insn.length <= here) {
        return;
    }
    step.eip = eip;
    plan.count = 1;
    plan.length = step.insn.length;
    plan.depends.push_back({static_cast<u16>(offset), kPageMask, false});
    plan.depends.push_back({0, static_cast<u16>(plan.length - here - 1), true});
    plan.live_after = eflags::kArith;
    find_live_flags(exact_flags ? nullptr : page, plan);
}

void plan_block(u32 eip, bool user, const u8* page, bool exact_flags, bool plain, BlockPlan& plan) {
    plan.eip = eip;
    plan.plain = plain;
    plan.user = user;
    plan.exact = exact_flags;
    plan.count = 0;
    plan.straddles = false;
    plan.depends.clear();
    u32 at = eip;
    unsigned branches = 0;
    while (plan.count < kMaxBlockInsns && plan.same_page(at)) {
        BlockPlan::Step& step = plan.steps[plan.count];
        if (!decode_at(page, at, step.insn)) {
            break;
        }
        step.eip = at;
        at += step.insn.length;
        ++plan.count;
        if (ends_block(step.insn) && !(goes_on_behind(step) && branches++ != kMostBranches)) {
            break;
        }
    }
    plan.length = at - eip;
    if (plan.count == 0) {
        return;
    }
    plan.depends.push_back(
        {static_cast<u16>(eip & kPageMask), static_cast<u16>((at - 1) & kPageMask)});
    plan.live_after = exact_flags ? eflags::kArith : live_after_block(page, eflags::kArith, plan);
    find_live_flags(exact_flags ? nullptr : page, plan);
    find_frame(plan);
}

}  // namespace ennead::vmcore::jit
