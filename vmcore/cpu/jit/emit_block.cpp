// SPDX-License-Identifier: MIT
// The frame around a block's instructions: entries, links, ways to the interpreter, and where flags
// are kept.
#include <cstddef>
#include <cstdlib>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/reencode.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;
using asmjit::Imm;

BlockEmitter::BlockEmitter(const Thunks& thunks, LinkNumbers& numbers)
    : thunks_(thunks), numbers_(numbers) {}

void BlockEmitter::emit(const BlockPlan& plan, FetchEntries fetch, u64 base, Block& block) {
    plan_ = &plan;
    block_ = &block;
    links_.clear();
    later_.clear();
    flags_ = {};
    producer_ = -1;
    checked_fs_ = checked_gs_ = false;
    fpu_level_ = 0;
    frame_steps_ = plan.frame.base == kNoRegister ? 0 : plan.frame.steps;
    code_.reset();
    code_.init(asmjit::Environment::host(), base);
    code_.attach(&a_);

    emit_entries(fetch);
    for (index_ = 0; index_ < plan.count; ++index_) {
        emit_step();
    }
    index_ = plan.count - 1;
    if (!ends_block(plan.last().insn)) {
        need_flags();
        emit_link_jump(plan.end());
    }
    // What is deferred may defer more.
    for (std::size_t n = 0; n < later_.size(); ++n) {
        const Later what = std::move(later_[n]);
        index_ = what.index;
        what.emit();
    }
    code_.flatten();
    code_.relocateToBase(base);
}

void BlockEmitter::copy(u8* to) {
    if (code_.copyFlattenedData(to, code_.codeSize()) != asmjit::kErrorOk) {
        std::abort();  // the sizes are asmjit's own
    }
}

// The comparisons with what an indirect jump wanted and with the page that the linear address now
// leads to keep the flags, whatever this block needs: if they fail, it is another block that goes
// on with them.
void BlockEmitter::emit_entries(FetchEntries fetch) {
    Label wanted = a_.newLabel();
    const u32 eip = plan_->eip;
    a_.mov(r11, rcx);
    a_.lea(ecx, ptr(r14, static_cast<i32>(0u - eip)));
    a_.jecxz(ecx, wanted);
    a_.mov(rcx, r11);
    a_.jmp(Imm(thunks_.miss));

    block_->far_entry = static_cast<u16>(offset());
    a_.mov(r11, rcx);
    a_.bind(wanted);
    leave_unless_mapped(eip, fetch.page);

    block_->poll_entry = static_cast<u16>(offset());
    Label poll = a_.newLabel();
    const bool keep_flags = plan_->steps[0].live_before != 0;
    if (keep_flags) {
        fetch_flags();
    }
    a_.cmp(reg::count, state_field(offsetof(CpuState, stop_at), 8));
    a_.jae(poll);
    if (keep_flags) {
        put_back_flags();
    }
    later([this, poll, eip, keep_flags] {
        a_.bind(poll);
        if (keep_flags) {
            put_back_flags();
        }
        a_.mov(r14d, eip);
        a_.jmp(Imm(thunks_.poll));
    });
    block_->near_entry = static_cast<u16>(offset());
    if (plan_->straddles) {
        // The next page may be another one by now, however this place was reached.
        a_.mov(r11, rcx);
        leave_unless_mapped(plan_->end(), fetch.next);
    }
    if (frame_steps_ != 0) {
        emit_frame_check();
    }
    a_.lea(reg::count, ptr(reg::count, static_cast<i32>(plan_->count)));
}

// Goes to the dispatcher if code at `linear` no longer is fetched from where this block's came
// from. RCX is in R11 before, and itself again after.
void BlockEmitter::leave_unless_mapped(u32 linear, u64 fetch_entry) {
    Label mapped = a_.newLabel();
    const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(Access::fetch));
    a_.mov(ecx, state_field(table + u64{linear / kPageSize} * 8, 4));
    a_.lea(ecx, ptr(rcx, static_cast<i32>(0u - static_cast<u32>(fetch_entry))));
    a_.jecxz(ecx, mapped);
    a_.mov(rcx, r11);
    a_.mov(r14d, plan_->eip);
    a_.jmp(Imm(thunks_.miss));
    a_.bind(mapped);
    a_.mov(rcx, r11);
}

void BlockEmitter::emit_step() {
    const bool emitted = emit_generic() || emit_move() || emit_stack() || emit_divide() ||
                         emit_bit_string() || emit_flag_ops() || emit_branch() || emit_string() ||
                         emit_x87() || emit_simd();
    if (!emitted) {
        // STI and POPF may let an interrupt in.
        interpreted(ends_block(insn()) || insn().op == Op::sti || insn().op == Op::popf);
    }
    // Its operands are known to stand only until the next instruction.
    if (producer_ != static_cast<int>(index_)) {
        producer_ = -1;
    }
}

// --- links ---------------------------------------------------------------------------------------

Link::Entry BlockEmitter::entry_for(u32 target) const {
    if (!plan_->same_page(target)) {
        return Link::Entry::far;
    }
    const bool close = (target ^ plan_->eip) < kUnpolledBytes;
    return close && target > step().eip ? Link::Entry::near : Link::Entry::poll;
}

// A label for the code that asks for the link to be made.
BlockEmitter::Label BlockEmitter::link_stub(u32 target, Link::Entry entry, u32& index) {
    Label stub = a_.newLabel();
    index = static_cast<u32>(links_.size());
    const u32 number = numbers_.new_link(target, entry);
    links_.push_back({.number = number});
    later([this, stub, index, number] {
        a_.bind(stub);
        links_[index].stub = offset();
        a_.mov(r13d, number);
        a_.jmp(Imm(thunks_.link));
    });
    return stub;
}

void BlockEmitter::note_place(u32 index) {
    links_[index].place = offset() - 4;
}

void BlockEmitter::emit_link_jump(u32 target) {
    emit_link_jump(target, entry_for(target));
}

void BlockEmitter::emit_link_jump(u32 target, Link::Entry entry) {
    u32 link = 0;
    const Label stub = link_stub(target, entry, link);
    a_.long_().jmp(stub);
    note_place(link);
}

void BlockEmitter::emit_indirect(bool call) {
    const Mem entry(reg::state, r13, 3, static_cast<i32>(CpuArena::jump_table_offset(plan_->user)),
                    8);
    a_.movzx(r13d, r14w);
    if (call) {
        a_.call(entry);
    } else {
        a_.jmp(entry);
    }
}

// Behind a host CALL: a guest return has come back here, with the EIP that it found in R14.
void BlockEmitter::emit_return_site() {
    Label same = a_.newLabel();
    a_.mov(r11, rcx);
    a_.lea(ecx, ptr(r14, static_cast<i32>(0u - next_eip())));
    a_.jecxz(ecx, same);
    a_.mov(rcx, r11);
    emit_indirect(false);
    a_.bind(same);
    a_.mov(rcx, r11);
    // Returns can follow on each other without end.
    const bool same_page = plan_->same_page(next_eip());
    emit_link_jump(next_eip(), same_page ? Link::Entry::poll : Link::Entry::far);
}

// --- the interpreter -----------------------------------------------------------------------------

Interpreted* BlockEmitter::record(bool ends) {
    auto* what = new Interpreted{.insn = insn(),
                                 .handler = select_handler(insn()),
                                 .eip = step().eip,
                                 .left = static_cast<u8>(plan_->count - index_),
                                 .ends_block = ends,
                                 .uses_fpu = uses_fpu(insn())};
    block_->interpreted.push_back(what);
    return what;
}

void BlockEmitter::call_interpreter(Interpreted* what) {
    a_.mov(r13, reinterpret_cast<u64>(what));
    a_.call(Imm(thunks_.interpret));
}

void BlockEmitter::interpreted(bool ends) {
    need_flags();
    call_interpreter(record(ends));
    flags_ = {};
    producer_ = -1;
    checked_fs_ = checked_gs_ = false;
    fpu_level_ = 0;
    frame_steps_ = 0;  // translations may be others now
}

// The return address that has just been emitted: the guest goes on at `eip`, with `left`
// instructions of the block not done.
void BlockEmitter::add_site(u32 eip, unsigned left) {
    block_->sites.push_back({.offset = offset(),
                             .eip_offset = static_cast<u16>(eip - plan_->eip),
                             .left = static_cast<u8>(left)});
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
        emit_restore();
        flags_ = {};
        producer_ = -1;
    }
}

void BlockEmitter::emit_restore() {
    const u32 immediate =
        flags_.producer < 0 ? 0 : plan_->steps[static_cast<unsigned>(flags_.producer)].insn.imm;
    switch (flags_.at) {
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
