// SPDX-License-Identifier: MIT
// Near branches: links, the return stack, and indirect jumps.
#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

bool BlockEmitter::emit_branch() {
    const Insn& i = insn();
    if (i.operand_size != 4) {
        return false;
    }
    switch (i.op) {
        case Op::jmp_rel:
            need_flags();
            emit_link_jump(branch_target(i, step().eip));
            return true;
        case Op::loop:
        case Op::loope:
        case Op::loopne:
        case Op::jcxz:
            if (i.address_size != 4) {
                return false;
            }
            emit_count_branch();
            return true;
        case Op::call_rel:
            emit_call(branch_target(i, step().eip));
            return true;
        case Op::jmp_rm:
            if (i.has_memory) {
                if (!segment_usable(AccessKind::read)) {
                    return false;
                }
                a_.mov(r14d, sized(begin_operand(AccessKind::read), 4));
                end_access();
            } else {
                a_.mov(r14d, guest(i.rm()));
            }
            need_flags();
            if (i.has_memory && i.index == kNoRegister) {
                emit_guessed_jump();
            } else {
                emit_indirect(false);
            }
            return true;
        case Op::call_rm:
            if (i.has_memory && !segment_usable(AccessKind::read)) {
                return false;
            }
            emit_call_operand();
            return true;
        case Op::ret:
        case Op::ret_imm:
            emit_return();
            return true;
        default:
            return false;
    }
}

bool BlockEmitter::emit_jcc() {
    if (insn().op != Op::jcc || insn().operand_size != 4) {
        return false;
    }
    need_flags();
    const u32 target = branch_target(insn(), step().eip);
    add_link(jump_later(static_cast<CondCode>(insn().opcode & 0xf)), target, entry_for(target));
    if (index_ + 1 == plan_->count) {
        emit_link_jump(next_eip());
    }
    return true;
}

// LOOP and JECXZ, without a change of the flags.
void BlockEmitter::emit_count_branch() {
    const Insn& i = insn();
    need_flags();
    const u32 target = branch_target(i, step().eip), next = next_eip();
    if (i.op == Op::jcxz) {
        const ShortPlace zero = jump_later_if_ecx_zero();
        emit_link_jump(next);
        land(zero);
        emit_link_jump(target);
        return;
    }
    a_.lea(ecx, ptr(rcx, -1));
    const ShortPlace zero = jump_later_if_ecx_zero();
    if (i.op == Op::loop) {
        emit_link_jump(target);
    } else {
        const ShortPlace over = short_jump_later(i.op == Op::loope ? CondCode::kNE : CondCode::kE);
        emit_link_jump(target);
        land(over);
    }
    land(zero);
    emit_link_jump(next);
}

void BlockEmitter::emit_call(u32 target) {
    const u32 back = next_eip();
    a_.mov(begin_push(), static_cast<i32>(back));
    end_push();
    need_flags();
    if (target == back) {
        // "call next; pop": the way to read EIP. Nothing will return here.
        emit_link_jump(target);
        return;
    }
    constexpr std::array<u8, 1> kCall = {0xe8};
    emit_rel32(kCall, 0);
    add_link({offset() - 4}, target, entry_for(target));
    emit_return_site();
}

void BlockEmitter::emit_call_operand() {
    const u32 back = next_eip();
    save_flags();  // now: it may use R11
    if (insn().has_memory) {
        const Mem at = begin_operand(AccessKind::read_first);
        leaves_if_finished();
        a_.mov(r11d, sized(at, 4));
        end_access();
    } else {
        a_.mov(r11d, guest(insn().rm()));
    }
    a_.mov(begin_push(), static_cast<i32>(back));
    end_push();
    a_.mov(r14d, r11d);
    need_flags();
    emit_indirect(true);
    emit_return_site();
}

void BlockEmitter::emit_return() {
    a_.mov(r14d, begin_pop());
    a_.lea(r12d, ptr(r12, static_cast<i32>(4 + insn().imm)));
    end_access();
    need_flags();
    a_.ret();
}

}  // namespace ennead::vmcore::jit
