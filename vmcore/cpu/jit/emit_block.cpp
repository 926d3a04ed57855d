// SPDX-License-Identifier: MIT
// The frame around a block's instructions: entries, ways to the interpreter, and where flags are
// kept.
#include <cstddef>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/reencode.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

BlockEmitter::BlockEmitter(const Thunks& thunks, BlockParts& parts)
    : thunks_(thunks), parts_(parts) {
    code_.init(asmjit::Environment::host());
    code_.setErrorHandler(&refusals_);
    code_.attach(&a_);
}

bool BlockEmitter::emit(const BlockPlan& plan, FetchEntries fetch, bool far, const u8* base,
                        Block& block) {
    plan_ = &plan;
    base_ = reinterpret_cast<u64>(base);
    links_.clear();
    sites_.clear();
    stubs_.clear();
    flags_ = {};
    producer_ = -1;
    checked_fs_ = checked_gs_ = false;
    forget_shared();
    fpu_level_ = 0;
    frame_steps_ = plan.frame.base == kNoRegister ? 0 : plan.frame.steps;
    index_ = 0;
    refusals_.any = false;
    a_.setOffset(0);

    if (far) {
        block.far_entry = static_cast<u16>(offset());
        piece("far entry");
        emit_far_entry(fetch.page);
    }
    block.poll_entry = static_cast<u16>(offset());
    piece("poll entry");
    const bool saves = saves_flags_first();
    emit_poll(saves);
    if (saves) {
        // What comes in by the poll has them saved already.
        const ShortPlace over = short_jump_later();
        block.near_entry = static_cast<u16>(offset());
        piece("near entry");
        fetch_flags();
        land(over);
        flags_ = {FlagsAt::raw, -1};
    } else {
        block.near_entry = static_cast<u16>(offset());
        piece("near entry");
    }
    if (plan.straddles) {
        // The next page may be another one by now, however this place was reached.
        a_.mov(r11, rcx);
        leave_unless_mapped(plan.end(), fetch.next);
    }
    if (frame_steps_ != 0) {
        emit_frame_check();
    }
    for (; index_ < plan.count; ++index_) {
        piece(nullptr);
        if (plan.begins_stretch(index_)) {
            a_.lea(reg::count, ptr(reg::count, i32{step().left}));
        }
        emit_step();
    }
    index_ = plan.count - 1;
    if (!ends_block(plan.last().insn)) {
        piece("the way on");
        need_flags();
        emit_link_jump(plan.end());
    }
    // Stubs may ask for further stubs.
    for (std::size_t n = 0; n < stubs_.size(); ++n) {
        const Stub each = stubs_[n];
        index_ = each.index;
        piece(nullptr, true);
        emit_stub(each);
    }
    return !refusals_.any;
}

// The comparison keeps the flags, whatever this block needs: if it fails, it is another block that
// goes on with them.
void BlockEmitter::emit_far_entry(u64 fetch_entry) {
    a_.mov(r11, rcx);
    leave_unless_mapped(plan_->eip, fetch_entry);
}

// Whether the first thing that the block does is a look at the tables, with flags that are wanted.
bool BlockEmitter::saves_flags_first() const {
    const BlockPlan::Step& first = plan_->steps[0];
    return first.live_before != 0 && !plan_->straddles &&
           (frame_steps_ != 0 || (first.insn.op == Op::jmp_rm && first.insn.has_memory));
}

// `keep_saved`: the flags stay in R10.
void BlockEmitter::emit_poll(bool keep_saved) {
    Stub poll = stub(Stub::Kind::poll);
    poll.flags_wanted = plan_->steps[0].live_before != 0;
    if (poll.flags_wanted) {
        fetch_flags();
    }
    a_.test(reg::count, reg::count);
    poll.from = {jump_later(CondCode::kNS)};
    poll.from_count = 1;
    later(poll);
    if (poll.flags_wanted && !keep_saved) {
        put_back_flags();
    }
}

// Goes to the dispatcher if code at `linear` no longer is fetched from where this block's came
// from. RCX is in R11 before, and itself again after.
void BlockEmitter::leave_unless_mapped(u32 linear, u64 fetch_entry) {
    const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(Access::fetch));
    a_.mov(ecx, state_field(table + u64{linear / kPageSize} * 8, 4));
    a_.lea(ecx, ptr(rcx, static_cast<i32>(0u - static_cast<u32>(fetch_entry))));
    const ShortPlace mapped = jump_later_if_ecx_zero();
    a_.mov(rcx, r11);
    a_.mov(r14d, plan_->eip);
    jump_to(thunks_.miss);
    land(mapped);
    a_.mov(rcx, r11);
}

void BlockEmitter::emit_step() {
    const bool emitted =
        emit_generic() || emit_move() || emit_stack() || emit_x87() || emit_simd() || emit_jcc();
    if (!emitted) {
        // These work with the registers that a shared check leaves something in.
        forget_shared();
        if (!emit_branch() && !emit_divide() && !emit_bit_string() && !emit_flag_ops() &&
            !emit_string() && !emit_segment_load() && !emit_rdtsc()) {
            // STI and POPF may let an interrupt in.
            interpreted(ends_block(insn()) || insn().op == Op::sti || insn().op == Op::popf);
        }
        forget_shared();
    }
    if (shared_.base != kNoRegister &&
        (may_change(insn(), shared_.base) ||
         (shared_.index != kNoRegister && may_change(insn(), shared_.index)))) {
        forget_shared();
    }
    // Its operands are known to stand only until the next instruction.
    if (producer_ != static_cast<int>(index_)) {
        producer_ = -1;
    }
}

// --- the interpreter -----------------------------------------------------------------------------

Interpreted* BlockEmitter::record(bool ends) {
    Interpreted* const what = parts_.new_interpreted();
    *what = {.insn = insn(),
             .handler = select_handler(insn()),
             .eip = step().eip,
             .left = step().left,
             .ends_block = ends,
             .uses_fpu = uses_fpu(insn())};
    return what;
}

void BlockEmitter::call_interpreter(const Interpreted* what) {
    a_.mov(r13, reinterpret_cast<u64>(what));
    call_to(thunks_.interpret);
}

void BlockEmitter::interpreted(bool ends) {
    need_flags();
    Interpreted* const what = record(ends);
    if (ends) {
        // Not a call: the host's predictor of returns would keep it for ever.
        a_.mov(r13, reinterpret_cast<u64>(what));
        jump_to(thunks_.interpret);
    } else {
        call_interpreter(what);
    }
    flags_ = {};
    producer_ = -1;
    checked_fs_ = checked_gs_ = false;
    fpu_level_ = 0;
    frame_steps_ = 0;  // translations may be others now
}

// --- flags ---------------------------------------------------------------------------------------

u32 BlockEmitter::live_after_step() const {
    return index_ + 1 < plan_->count ? plan_->steps[index_ + 1].live_before : plan_->live_after;
}

// A way to make the producer's flags again that costs less than fetching them.
BlockEmitter::SavedFlags BlockEmitter::how_to_save() const {
    if (producer_ < 0) {
        return {FlagsAt::raw, -1};
    }
    const Insn& p = plan_->steps[static_cast<unsigned>(producer_)].insn;
    if (p.width != 4 || p.dst == kNoRegister) {
        return {FlagsAt::raw, -1};
    }
    const bool immediate = p.src == kNoRegister && !p.has_memory;
    switch (p.op) {
        case Op::and_:
        case Op::or_:
        case Op::xor_:
        case Op::test:
            return p.op == Op::test && p.src != p.dst ? SavedFlags{FlagsAt::raw, -1}
                                                      : SavedFlags{FlagsAt::result, producer_};
        case Op::add:
            return immediate ? SavedFlags{FlagsAt::add, producer_} : SavedFlags{FlagsAt::raw, -1};
        case Op::sub:
        case Op::cmp:
            return immediate ? SavedFlags{FlagsAt::sub, producer_} : SavedFlags{FlagsAt::raw, -1};
        default:
            return {FlagsAt::raw, -1};
    }
}

// R10 = a picture of the flags. Keeps all else but R11.
void BlockEmitter::fetch_flags() {
    a_.mov(r11d, eax);
    a_.lahf();
    a_.seto(al);
    a_.mov(r10d, eax);
    a_.mov(eax, r11d);
}

void BlockEmitter::put_back_flags() {
    a_.mov(r11d, eax);
    a_.mov(eax, r10d);
    a_.add(al, 0x7f);  // OF: 1 + 0x7f overflows
    a_.sahf();
    a_.mov(eax, r11d);
}

// After this the host's flags may be destroyed. The producer must be the step just before: its
// result still stands in its register.
void BlockEmitter::save_flags() {
    if (wanted_flags() == 0 || flags_.at != FlagsAt::host) {
        return;
    }
    flags_ = how_to_save();
    const Insn* p =
        flags_.producer < 0 ? nullptr : &plan_->steps[static_cast<unsigned>(flags_.producer)].insn;
    switch (flags_.at) {
        case FlagsAt::result:
            a_.mov(r10d, guest(p->dst));
            break;
        case FlagsAt::add:
            a_.lea(r10d, ptr(guest64(p->dst), static_cast<i32>(0u - p->imm)));
            break;
        case FlagsAt::sub:
            if (p->op == Op::cmp) {
                a_.mov(r10d, guest(p->dst));
            } else {
                a_.lea(r10d, ptr(guest64(p->dst), static_cast<i32>(p->imm)));
            }
            break;
        default:
            fetch_flags();
            break;
    }
}

// The host's flags are the guest's after this, if anybody wants them.
void BlockEmitter::need_flags() {
    if (flags_.at != FlagsAt::host) {
        emit_restore(flags_);
        flags_ = {};
        producer_ = -1;
    }
}

u32 BlockEmitter::immediate_of(SavedFlags flags) const {
    return flags.producer < 0 ? 0 : plan_->steps[static_cast<unsigned>(flags.producer)].insn.imm;
}

void BlockEmitter::emit_restore(SavedFlags flags) {
    const u32 immediate = immediate_of(flags);
    switch (flags.at) {
        case FlagsAt::result:
            a_.test(r10d, r10d);
            break;
        case FlagsAt::add:
            a_.add(r10d, static_cast<i32>(immediate));
            break;
        case FlagsAt::sub:
            a_.sub(r10d, static_cast<i32>(immediate));
            break;
        case FlagsAt::raw:
            put_back_flags();
            break;
        default:
            break;
    }
}

// The step has put all of its flags into the host's.
void BlockEmitter::flags_produced() {
    flags_ = {};
    producer_ = static_cast<int>(index_);
}

}  // namespace ennead::vmcore::jit
