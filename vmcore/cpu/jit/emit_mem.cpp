// SPDX-License-Identifier: MIT
// The way to an operand in memory: address, translation by the flat tables, and what is done when
// that fails.
#include <cstddef>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

// The lowest byte of a host register, for TEST with a small mask.
asmjit::x86::Gp low_byte(const asmjit::x86::Gp& gp) {
    return gpb(gp.id());
}

}  // namespace

BlockEmitter::Gp BlockEmitter::operand_address(bool direct) {
    const Insn& i = insn();
    const bool based = i.base != kNoRegister, indexed = i.index != kNoRegister;
    const bool segmented = i.segment == Seg::fs || i.segment == Seg::gs;
    if (direct && based && !indexed && i.disp == 0 && !segmented) {
        return guest(i.base);
    }
    forget_shared();
    const auto disp = static_cast<i32>(i.disp);
    if (based && indexed) {
        a_.lea(r14d, ptr(guest64(i.base), guest64(i.index), i.scale, disp));
    } else if (based) {
        a_.lea(r14d, ptr(guest64(i.base), disp));
    } else if (indexed) {
        // Without a base: [index * scale + disp32].
        a_.lea(r14d, Mem(static_cast<u64>(i64{disp}), guest64(i.index), i.scale, 0));
    } else {
        a_.mov(r14d, i.disp);
    }
    if (segmented) {
        const auto base = offsetof(CpuState, seg) +
                          static_cast<unsigned>(i.segment) * sizeof(Segment) +
                          offsetof(Segment, base);
        a_.mov(r13d, state_field(base, 4));
        a_.lea(r14d, ptr(r14, r13));
    }
    return r14d;
}

// FS and GS may be anything: only if they reach everywhere is the access emitted, else the
// instruction goes to the interpreter. The others are flat, or no block would be made. False: the
// instruction cannot be emitted.
bool BlockEmitter::segment_usable(AccessKind kind) {
    const Insn& i = insn();
    if (i.address_size != 4 || (i.segment == Seg::cs && kind != AccessKind::read)) {
        return false;
    }
    bool* checked = i.segment == Seg::fs   ? &checked_fs_
                    : i.segment == Seg::gs ? &checked_gs_
                                           : nullptr;
    if (checked == nullptr || *checked) {
        return true;
    }
    const auto rights = offsetof(CpuState, anywhere) + static_cast<unsigned>(i.segment);
    save_flags();
    a_.cmp(state_field(rights, 1), kReadAnywhere | kWriteAnywhere);
    // The rest of the block is emitted for a segment that is flat.
    finish_elsewhere(jump_later(CondCode::kNE));
    *checked = true;
    return true;
}

// Whether the step's own operation reads flags, or leaves some of those that are wanted.
bool BlockEmitter::operation_wants_flags() const {
    const FlagEffects& effects = step().effects;
    return insn().op != Op::pushf /* has fetched them before */ &&
           (effects.reads != 0 || (effects.writes && (live_after_step() & ~effects.kills) != 0));
}

// An operation that reads flags, or leaves some of those that are wanted, needs them as it works on
// its operand; one that only fetches it first sees to that itself.
void BlockEmitter::give_flags_to_operation(AccessKind kind) {
    if (kind != AccessKind::read_first && operation_wants_flags()) {
        need_flags();
    }
}

// What follows the table's answer is one test for sizes whose operands are mostly aligned, and
// another for those that often are not (i386 aligns doubles to 4).
Mem BlockEmitter::begin_access(Gp address, unsigned size, AccessKind kind) {
    save_flags();
    forget_shared();
    const u32 table = table_for(kind);
    a_.mov(r13d, address);
    a_.shr(r13d, 12);
    a_.mov(r13, Mem(reg::state, r13, 3, static_cast<i32>(table), 8));
    open_access(address, size, kind);
    if (size == 2 || size == 4) {
        a_.test(low_byte(address), static_cast<i32>(size - 1));
        open_.from[open_.from_count++] = jump_later(CondCode::kNZ);
    } else if (size > 4) {
        a_.mov(r11d, address);
        a_.and_(r11d, kPageMask);
        a_.cmp(r11d, kPageSize - size);
        open_.from[open_.from_count++] = jump_later(CondCode::kA);
    }
    open_.back = offset();
    give_flags_to_operation(kind);
    return Mem(address.r64(), r13, 0, 0);
}

// The table's entry is known, and so is that the operand does not reach into the next page.
Mem BlockEmitter::begin_constant_access(u32 address, unsigned size, AccessKind kind) {
    save_flags();
    forget_shared();
    a_.mov(r14d, address);
    a_.mov(r13, state_field(table_for(kind) + u64{address / kPageSize} * 8, 8));
    open_access(r14d, size, kind);
    open_.back = offset();
    give_flags_to_operation(kind);
    return Mem(r14, r13, 0, 0);
}

u32 BlockEmitter::table_for(AccessKind kind) const {
    const bool writes = kind == AccessKind::write || kind == AccessKind::modify;
    return CpuArena::table_offset(plan_->user,
                                  static_cast<unsigned>(writes ? Access::write : Access::read));
}

// R13 = the table's entry: nothing for what has to be asked for.
void BlockEmitter::open_access(Gp address, unsigned size, AccessKind kind) {
    open_ = stub(Stub::Kind::access);
    open_.access = kind;
    open_.size = static_cast<u16>(size);
    open_.gp = static_cast<u8>(address.id());
    a_.test(r13, r13);
    open_.from[open_.from_count++] = jump_later(CondCode::kZ);
    is_open_ = true;
}

void BlockEmitter::end_access() {
    if (is_open_) {
        is_open_ = false;
        open_.resume = offset();
        later(open_);
    }
}

void BlockEmitter::emit_access_stub(const Stub& stub) {
    if (const Gp address = gpd(stub.gp); address.id() != r14d.id()) {
        a_.mov(r14d, address);
    }
    call_to(thunks_.access[static_cast<unsigned>(stub.access)][size_index(stub.size)]);
    add_site(stub, stub.resumes ? stub.resume : 0);
    jump_back(stub.back);
}

// Whether the frame's check covers the access at `at` bytes from where its register now points.
bool BlockEmitter::in_frame(i32 at, unsigned size, AccessKind kind, unsigned index) const {
    const Frame& frame = plan_->frame;
    const bool writes = kind == AccessKind::write || kind == AccessKind::modify;
    if (index >= frame_steps_ || (writes && !frame.written)) {
        return false;
    }
    const i32 from_start = at + (frame.base == kEsp ? plan_->steps[index].esp : 0);
    return from_start >= frame.low &&
           from_start + static_cast<i32>(size) <= frame.low + static_cast<i32>(frame.span);
}

Mem BlockEmitter::begin_in_frame(i32 at, AccessKind kind) {
    give_flags_to_operation(kind);
    return Mem(guest64(plan_->frame.base), r9, 0, at);
}

// R9 = distance to host memory for the frame; the flags are saved, if wanted. If it is not all in
// one page that may be read (and written), the block is done the other way, with a look-up for each
// access.
void BlockEmitter::emit_frame_check() {
    const Frame& frame = plan_->frame;
    const bool keep_flags = flags_.at != FlagsAt::host;
    Stub plain = stub(Stub::Kind::plain);
    plain.flags_wanted = keep_flags;
    const Access access = frame.written ? Access::write : Access::read;
    const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(access));
    // The accesses add in 64 bits: what wraps at 4 GiB goes the other way.
    a_.mov(r13d, guest(frame.base));
    if (frame.low != 0) {
        a_.add(r13d, frame.low);
        plain.from[plain.from_count++] = jump_later(CondCode::kAE);
    }
    a_.mov(r9d, r13d);
    a_.shr(r9d, 12);
    a_.mov(r9, Mem(reg::state, r9, 3, static_cast<i32>(table), 8));
    a_.and_(r13d, kPageMask);
    a_.test(r9, r9);
    plain.from[plain.from_count++] = jump_later(CondCode::kZ);
    a_.cmp(r13d, kPageSize - frame.span);
    plain.from[plain.from_count++] = jump_later(CondCode::kA);
    later(plain);
}

// The instruction's memory operand.
Mem BlockEmitter::begin_operand(AccessKind kind, bool direct) {
    if (in_frame(index_, kind)) {
        return begin_in_frame(static_cast<i32>(insn().disp), kind);
    }
    if (!plan_->plain && may_share(insn())) {
        if (!is_shared(kind)) {
            if (const Shared row = find_row(); row.base != kNoRegister) {
                emit_shared_check(row);
            }
        }
        if (is_shared(kind)) {
            return begin_shared(kind);
        }
    }
    const Insn& i = insn();
    const unsigned size = memory_operand_bytes(i);
    if (i.base == kNoRegister && i.index == kNoRegister && i.segment != Seg::fs &&
        i.segment != Seg::gs && (i.disp & kPageMask) <= kPageSize - size) {
        return begin_constant_access(i.disp, size, kind);
    }
    return begin_access(operand_address(direct), size, kind);
}

}  // namespace ennead::vmcore::jit
