// SPDX-License-Identifier: MIT
// The way to an operand in memory: address, translation by the flat tables, and what is done when
// that fails.
#include <bit>
#include <cstddef>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;
using asmjit::Imm;

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
    Label elsewhere = a_.newLabel();
    a_.cmp(state_field(rights, 1), kReadAnywhere | kWriteAnywhere);
    a_.jne(elsewhere);
    const SavedFlags saved = flags_;
    // The rest of the block is emitted for a segment that is flat: leave after the instruction.
    Interpreted* what = record(true);
    later([this, elsewhere, saved, what] {
        a_.bind(elsewhere);
        flags_ = saved;
        if (saved.at != FlagsAt::host) {
            emit_restore();
        }
        call_interpreter(what);
    });
    *checked = true;
    return true;
}

// Whether the step's own operation reads flags, or leaves some of those that are wanted.
bool BlockEmitter::operation_wants_flags() const {
    const FlagEffects effects = flag_effects(insn());
    return insn().op != Op::pushf /* has fetched them before */ &&
           (effects.reads != 0 || (effects.writes && (live_after_step() & ~effects.kills) != 0));
}

void BlockEmitter::access(Gp address, unsigned size, AccessKind kind, const Body& body) {
    save_flags();
    const FlagEffects effects = flag_effects(insn());
    const u32 table = CpuArena::table_offset(
        plan_->user,
        static_cast<unsigned>(kind == AccessKind::read ? Access::read : Access::write));
    const Mem entry(reg::state, r13, 3, static_cast<i32>(table), 8);
    Label absent = a_.newLabel(), odd = a_.newLabel(), back = a_.newLabel(), after = a_.newLabel();
    const auto look_up = [this, address, entry] {
        a_.mov(r13d, address);
        a_.shr(r13d, 12);
        a_.mov(r13, entry);
    };
    look_up();
    a_.test(r13, r13);
    a_.long_().jz(absent);
    if (size > 1) {
        // What is aligned crosses no page's end; ten bytes go by the next power of two.
        a_.test(low_byte(address), static_cast<i32>(std::bit_ceil(size) - 1));
        a_.long_().jnz(odd);
    }
    a_.bind(back);
    // An operation that reads flags, or leaves some of those that are wanted, needs them now.
    const bool restore = flags_.at != FlagsAt::host && operation_wants_flags();
    const SavedFlags saved = flags_;
    const auto operate = [this, saved, restore, address, body] {
        if (restore) {
            flags_ = saved;
            emit_restore();
        }
        body(Mem(address.r64(), r13, 0, 0));
    };
    operate();
    a_.bind(after);
    if (restore) {
        flags_ = {};
        producer_ = -1;
    }

    const u32 eip = step().eip, next = next_eip();
    const unsigned left = plan_->count - index_;
    later([=, this, unanswered = unanswered_] {
        const bool guarded = saved.at != FlagsAt::host;
        const auto n = size_index(size);
        const Thunks::Access& thunks = thunks_.access[static_cast<unsigned>(kind)];
        Label faulted = a_.newLabel(), test = a_.newLabel();
        if (size > 1) {
            // Not aligned; most such operands do not cross a page's end all the same.
            a_.bind(odd);
            a_.mov(r13d, address);
            a_.and_(r13d, kPageMask);
            a_.cmp(r13d, kPageSize - size);
            a_.ja(absent);
            look_up();
            a_.jmp(back);
        }
        a_.bind(absent);
        if (unanswered) {
            a_.jmp(*unanswered);
            return;
        }
        if (address.id() != r14d.id()) {
            a_.mov(r14d, address);
        }
        a_.call(Imm(guarded ? thunks.guarded[n] : thunks.plain[n]));
        add_site(eip, left);
        if (kind == AccessKind::read) {
            if (guarded) {
                a_.test(r13, r13);
                a_.jz(faulted);
            }
            a_.jmp(back);
        } else {
            a_.long_().jmp(guarded ? test : back);
            operate();
            // Otherwise they are in the host's, and the plain way keeps them.
            const bool calls = insn().op == Op::call_rel || insn().op == Op::call_rm;
            const bool flags_saved = guarded && !restore && !effects.writes;
            a_.call(Imm(flags_saved || calls ? thunks_.commit_guarded : thunks_.commit_plain));
            add_site(next, left - 1);
            if (calls) {
                // Goes where it goes even if what it pushes has changed code: nothing of this block
                // is run after it.
                a_.jmp(after);
            } else if (flags_saved) {
                a_.test(r13d, r13d);
                a_.jz(after);
                flags_ = saved;
                emit_restore();
                a_.call(Imm(thunks_.changed));
                add_site(next, left - 1);
            } else {
                a_.jmp(after);
            }
            if (guarded) {
                a_.bind(test);
                a_.test(r13, r13);
                a_.jnz(back);
            }
        }
        if (guarded) {
            a_.bind(faulted);
            flags_ = saved;
            emit_restore();
            a_.call(Imm(thunks_.fault));
            add_site(eip, left);
        }
    });
}

// The access at `at` bytes from where the frame's register now points, if the frame's check covers
// it.
bool BlockEmitter::access_in_frame(i32 at, unsigned size, AccessKind kind, const Body& body) {
    const Frame& frame = plan_->frame;
    if (index_ >= frame_steps_ || (kind != AccessKind::read && !frame.written)) {
        return false;
    }
    const i32 from_start = at + (frame.base == kEsp ? step().esp : 0);
    if (from_start < frame.low ||
        from_start + static_cast<i32>(size) > frame.low + static_cast<i32>(frame.span)) {
        return false;
    }
    if (operation_wants_flags()) {
        need_flags();
    }
    body(Mem(guest64(frame.base), r9, 0, at));
    return true;
}

// R9 = distance to host memory for the frame; if it is not all in one page that may be read (and
// written), the block is done the other way, with a look-up for each access.
void BlockEmitter::emit_frame_check() {
    const Frame& frame = plan_->frame;
    const bool keep_flags = plan_->steps[0].live_before != 0;
    if (keep_flags) {
        fetch_flags();
    }
    u32 link = 0;
    Label plain = link_stub(plan_->eip, Link::Entry::plain, link), elsewhere = a_.newLabel();
    const Access access = frame.written ? Access::write : Access::read;
    const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(access));
    // The accesses add in 64 bits: what wraps at 4 GiB goes the other way.
    a_.mov(r13d, guest(frame.base));
    if (frame.low != 0) {
        a_.add(r13d, frame.low);
        a_.jnc(elsewhere);
    }
    a_.mov(r9d, r13d);
    a_.shr(r9d, 12);
    a_.mov(r9, Mem(reg::state, r9, 3, static_cast<i32>(table), 8));
    a_.and_(r13d, kPageMask);
    a_.test(r9, r9);
    a_.jz(elsewhere);
    a_.cmp(r13d, kPageSize - frame.span);
    a_.ja(elsewhere);
    if (keep_flags) {
        put_back_flags();
    }
    later([this, elsewhere, plain, link, keep_flags] {
        a_.bind(elsewhere);
        if (keep_flags) {
            put_back_flags();
        }
        a_.long_().jmp(plain);
        note_place(link);
    });
}

void BlockEmitter::operand_access(AccessKind kind, const Body& body, bool direct) {
    const unsigned size = memory_operand_bytes(insn());
    const Insn& i = insn();
    const bool based = i.segment == Seg::fs || i.segment == Seg::gs;
    if (!based && i.base == plan_->frame.base && i.index == kNoRegister && i.base != kNoRegister &&
        access_in_frame(static_cast<i32>(i.disp), size, kind, body)) {
        return;
    }
    access(operand_address(direct), size, kind, body);
}

}  // namespace ennead::vmcore::jit
