// SPDX-License-Identifier: MIT
// Accesses in a row by way of the same registers share one look at the tables: fields of a
// structure, an element that is read and written.
#include <algorithm>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

// The longer the row, the more often it reaches into the next page.
constexpr u32 kMostSpan = 256;

bool same_registers(const Insn& a, const Insn& b) {
    return a.base == b.base && a.index == b.index && a.scale == b.scale;
}

bool is_push_or_pop(const Insn& insn) {
    return insn.op == Op::push_r || insn.op == Op::push_imm || insn.op == Op::push_rm ||
           insn.op == Op::pop_r || insn.op == Op::pop_rm;
}

}  // namespace

// Not those of segments and of the system, which the interpreter does, nor those that look at
// their operand's alignment.
bool BlockEmitter::may_share(const Insn& insn) {
    const unsigned size = insn.has_memory ? memory_operand_bytes(insn) : 0;
    return size != 0 && size <= 16 && insn.op != Op::lea && insn.op != Op::nop &&
           insn.op > Op::ud && !opcode_row(insn.row).simd.aligned && !is_bit_string(insn) &&
           insn.base != kNoRegister && insn.address_size == 4 && insn.segment != Seg::fs &&
           insn.segment != Seg::gs && insn.segment != Seg::cs;
}

// Whether the frame's check covers the memory operand of the step.
bool BlockEmitter::in_frame(unsigned index, AccessKind kind) const {
    const Insn& i = plan_->steps[index].insn;
    const bool based = i.segment == Seg::fs || i.segment == Seg::gs;
    return !based && i.base != kNoRegister && i.index == kNoRegister &&
           i.base == plan_->frame.base &&
           in_frame(static_cast<i32>(i.disp), memory_operand_bytes(i), kind, index);
}

// Whether the instruction's operand is among those that the last check was for.
bool BlockEmitter::is_shared(AccessKind kind) const {
    const bool writes = kind == AccessKind::write || kind == AccessKind::modify;
    const Insn& i = insn();
    const i32 at = static_cast<i32>(i.disp) - shared_.low;
    return shared_.base == i.base && shared_.index == i.index && shared_.scale == i.scale &&
           (shared_.written || !writes) && at >= 0 &&
           static_cast<u32>(at) + memory_operand_bytes(i) <= shared_.span;
}

// The accesses from this one on for which one check would do, until something else needs R13 and
// R14 or the registers change; no base if there are no two.
BlockEmitter::Shared BlockEmitter::find_row() const {
    const Insn& first = insn();
    Shared row{.base = kNoRegister, .index = first.index, .scale = first.scale};
    i64 low = static_cast<i32>(first.disp), high = low;
    unsigned accesses = 0;
    bool certain = true;  // that the access will be made: no branch before it
    for (unsigned n = index_; n < plan_->count; ++n) {
        const Insn& each = plan_->steps[n].insn;
        certain = certain && (n == index_ || !plan_->begins_stretch(n));
        // Here the check is forgotten, and what comes later may never be reached.
        const bool stack = is_push_or_pop(each) && !(n < frame_steps_ && plan_->frame.base == kEsp);
        const u8 level = !uses_fpu(each)                 ? 0
                         : opcode_row(each.row).simd.sse ? kLevelSse
                                                         : kLevelX87;
        if (n != index_ && (stack || level > fpu_level_)) {
            break;
        }
        if (may_share(each) && same_registers(each, first)) {
            if (!certain && writes_operand(each) && !row.written) {
                break;
            }
            const i64 at = static_cast<i32>(each.disp);
            const i64 from = std::min(low, at),
                      to = std::max(high, at + memory_operand_bytes(each));
            if (to - from > kMostSpan) {
                break;
            }
            low = from;
            high = to;
            row.written |= writes_operand(each);
            ++accesses;
        } else if (each.has_memory && each.op != Op::lea &&
                   !in_frame(n, writes_operand(each) ? AccessKind::write : AccessKind::read)) {
            break;
        }
        if (stack || may_change(each, first.base) ||
            (first.index != kNoRegister && may_change(each, first.index))) {
            break;
        }
    }
    if (accesses >= 2) {
        row.base = first.base;
        row.low = static_cast<i32>(low);
        row.span = static_cast<u32>(high - low);
    }
    return row;
}

void BlockEmitter::emit_shared_check(const Shared& row) {
    save_flags();
    if (row.index != kNoRegister) {
        a_.lea(r14d, ptr(guest64(row.base), guest64(row.index), row.scale, row.low));
    } else if (row.low != 0) {
        a_.lea(r14d, ptr(guest64(row.base), row.low));
    } else {
        a_.mov(r14d, guest(row.base));
    }
    const Access access = row.written ? Access::write : Access::read;
    const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(access));
    Stub elsewhere = stub(Stub::Kind::share);
    elsewhere.access = row.written ? AccessKind::write : AccessKind::read;
    elsewhere.size = static_cast<u16>(row.span);
    a_.mov(r13d, r14d);
    a_.mov(r11d, r14d);
    a_.shr(r13d, 12);
    a_.and_(r11d, kPageMask);
    a_.mov(r13, Mem(reg::state, r13, 3, static_cast<i32>(table), 8));
    a_.cmp(r11d, kPageSize - row.span);
    elsewhere.from[elsewhere.from_count++] = jump_later(CondCode::kA);
    a_.test(r13, r13);
    elsewhere.from[elsewhere.from_count++] = jump_later(CondCode::kZ);
    elsewhere.back = offset();
    later(elsewhere);
    shared_ = row;
}

Mem BlockEmitter::begin_shared(AccessKind kind) {
    give_flags_to_operation(kind);
    return Mem(r14, r13, 0, static_cast<i32>(insn().disp) - shared_.low);
}

}  // namespace ennead::vmcore::jit
