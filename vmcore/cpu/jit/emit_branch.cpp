// SPDX-License-Identifier: MIT
// Near branches: links, the return stack, and indirect jumps.
#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;
using asmjit::Imm;

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
        case Op::jcc:
            emit_jcc();
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
                operand_access(
                    AccessKind::read, [this](const Mem& at) { a_.mov(r14d, at); }, true);
            } else {
                a_.mov(r14d, guest(i.rm()));
            }
            need_flags();
            emit_indirect(false);
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

void BlockEmitter::emit_jcc() {
    need_flags();
    const u32 target = branch_target(insn(), step().eip);
    u32 link = 0;
    const Label taken = link_stub(target, entry_for(target), link);
    a_.long_().j(static_cast<CondCode>(insn().opcode & 0xf), taken);
    note_place(link);
    emit_link_jump(next_eip());
}

// LOOP and JECXZ, without a change of the flags.
void BlockEmitter::emit_count_branch() {
    const Insn& i = insn();
    need_flags();
    Label zero = a_.newLabel();
    const u32 target = branch_target(i, step().eip), next = next_eip();
    if (i.op == Op::jcxz) {
        a_.jecxz(ecx, zero);
        emit_link_jump(next);
        a_.bind(zero);
        emit_link_jump(target);
        return;
    }
    a_.lea(ecx, ptr(rcx, -1));
    a_.jecxz(ecx, zero);
    if (i.op == Op::loope) {
        a_.short_().jne(zero);
    } else if (i.op == Op::loopne) {
        a_.short_().je(zero);
    }
    emit_link_jump(target);
    a_.bind(zero);
    emit_link_jump(next);
}

void BlockEmitter::emit_call(u32 target) {
    const u32 back = next_eip();
    push([this, back](const Mem& at) { a_.mov(at, static_cast<i32>(back)); });
    need_flags();
    if (target == back) {
        // "call next; pop": the way to read EIP. Nothing will return here.
        emit_link_jump(target);
        return;
    }
    u32 link = 0;
    const Label stub = link_stub(target, entry_for(target), link);
    a_.call(stub);
    note_place(link);
    emit_return_site();
}

void BlockEmitter::emit_call_operand() {
    const u32 back = next_eip();
    save_flags();  // now: it may use R11
    if (insn().has_memory) {
        operand_access(AccessKind::read, [this](const Mem& at) { a_.mov(r11d, at); });
    } else {
        a_.mov(r11d, guest(insn().rm()));
    }
    push([this, back](const Mem& at) { a_.mov(at, static_cast<i32>(back)); });
    a_.mov(r14d, r11d);
    need_flags();
    emit_indirect(true);
    emit_return_site();
}

void BlockEmitter::emit_return() {
    const auto released = static_cast<i32>(4 + insn().imm);
    pop([this, released](const Mem& at) {
        a_.mov(r14d, at);
        a_.lea(r12d, ptr(r12, released));
    });
    need_flags();
    a_.ret();
}

}  // namespace ennead::vmcore::jit
