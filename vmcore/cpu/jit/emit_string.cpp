// SPDX-License-Identifier: MIT
// String instructions going up: single ones as loads, stores and comparisons; repeated MOVS and
// STOS as long as they stay in a page.
#include <cstddef>

#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

Gp of_width(const Gp& gp, unsigned width) {
    return width == 1 ? Gp(gp.r8()) : width == 2 ? Gp(gp.r16()) : Gp(gp.r32());
}

}  // namespace

bool BlockEmitter::emit_string() {
    const Insn& i = insn();
    const bool moves = i.op == Op::movs, stores = i.op == Op::stos;
    const bool compares = i.op == Op::cmps || i.op == Op::scas;
    if ((!moves && !stores && (i.rep != 0 || (!compares && i.op != Op::lods))) ||
        i.address_size != 4 || i.segment == Seg::fs || i.segment == Seg::gs) {
        return false;
    }
    const bool wanted = wanted_flags() != 0;
    if (wanted) {
        // As a picture: the ways by way of an operand do not survive the interpreter.
        need_flags();
        fetch_flags();
        flags_ = {FlagsAt::raw, -1};
    }
    Stub special = stub(Stub::Kind::string);
    special.flags_wanted = wanted;
    special.flags_changed = compares;
    a_.test(state_field(offsetof(CpuState, eflags), 4), static_cast<i32>(eflags::kDf));
    special.from[special.from_count++] = jump_later(CondCode::kNZ);
    special.what = record(false);
    if (i.rep != 0) {
        emit_repeated(moves, special);
    } else if (compares) {
        emit_single_comparison(i.op, i.width);
    } else {
        emit_single_string(i.op, i.width);
    }
    special.back = offset();
    later(special);
    return true;
}

void BlockEmitter::emit_single_string(Op op, unsigned width) {
    const auto step = static_cast<i32>(width);
    if (op != Op::stos) {
        const bool loads = op == Op::lods;
        const Mem from =
            begin_access(esi, width, loads ? AccessKind::read : AccessKind::read_first);
        open_.resumes = loads;
        a_.mov(of_width(loads ? eax : r11d, width), sized(from, width));
        if (loads) {
            a_.lea(esi, ptr(rsi, step));
        }
        end_access();
    }
    if (op != Op::lods) {
        const bool moves = op == Op::movs;
        const Mem to = begin_access(edi, width, AccessKind::write);
        a_.mov(sized(to, width), of_width(moves ? r11d : eax, width));
        a_.lea(edi, ptr(rdi, step));
        if (moves) {
            a_.lea(esi, ptr(rsi, step));
        }
        end_access();
    }
}

void BlockEmitter::emit_single_comparison(Op op, unsigned width) {
    const auto step = static_cast<i32>(width);
    if (op == Op::cmps) {
        const Mem first = begin_access(esi, width, AccessKind::read_first);
        leaves_if_finished();
        a_.mov(of_width(r11d, width), sized(first, width));
        end_access();
    }
    const Mem second = begin_access(edi, width, AccessKind::read);
    a_.cmp(of_width(op == Op::cmps ? r11d : eax, width), sized(second, width));
    a_.lea(edi, ptr(rdi, step));
    if (op == Op::cmps) {
        a_.lea(esi, ptr(rsi, step));
    }
    end_access();
    flags_produced();
    producer_ = -1;
}

// One lookup a side. What would leave a page, or is not plain memory, is special.
void BlockEmitter::emit_repeated(bool moves, Stub& special) {
    const unsigned shift = insn().width == 1 ? 0 : insn().width == 2 ? 1 : 2;
    const auto leave_if = [this, &special](CondCode condition) {
        special.from[special.from_count++] = jump_later(condition);
    };
    const auto look_up = [this, leave_if](const Gp& address, const Gp& delta, Access access) {
        const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(access));
        // R11: bytes. They must fit between the address and the page's end.
        a_.mov(delta.r32(), address);
        a_.and_(delta.r32(), kPageMask);
        a_.add(delta.r32(), r11d);
        a_.cmp(delta.r32(), kPageSize);
        leave_if(CondCode::kA);
        a_.mov(delta.r32(), address);
        a_.shr(delta.r32(), 12);
        a_.mov(delta, Mem(reg::state, delta, 3, static_cast<i32>(table), 8));
        a_.test(delta, delta);
        leave_if(CondCode::kZ);
    };
    a_.cmp(ecx, kPageSize);
    leave_if(CondCode::kA);
    a_.mov(r11d, ecx);
    a_.shl(r11d, shift);
    if (moves) {
        look_up(esi, r14, Access::read);
    }
    look_up(edi, r13, Access::write);
    a_.add(rdi, r13);
    if (moves) {
        a_.add(rsi, r14);
    }
    call_to((moves ? thunks_.copy : thunks_.fill)[shift]);
    // The address behind the last byte of the space is 0.
    a_.sub(rdi, r13);
    a_.mov(edi, edi);
    if (moves) {
        a_.sub(rsi, r14);
        a_.mov(esi, esi);
    }
}

}  // namespace ennead::vmcore::jit
