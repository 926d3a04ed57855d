// SPDX-License-Identifier: MIT
// MOVS, STOS and LODS going up: single ones as loads and stores, repeated ones by the host's own,
// as long as they stay in a page.
#include <cstddef>

#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;
using asmjit::Imm;

namespace {

Mem sized(Mem memory, u32 bytes) {
    memory.setSize(bytes);
    return memory;
}

Gp of_width(const Gp& gp, unsigned width) {
    return width == 1 ? Gp(gp.r8()) : width == 2 ? Gp(gp.r16()) : Gp(gp.r32());
}

}  // namespace

bool BlockEmitter::emit_string() {
    const Insn& i = insn();
    const bool moves = i.op == Op::movs, stores = i.op == Op::stos, loads = i.op == Op::lods;
    if ((!moves && !stores && !loads) || i.address_size != 4 || i.segment == Seg::fs ||
        i.segment == Seg::gs || (loads && i.rep != 0)) {
        return false;
    }
    const bool wanted = wanted_flags() != 0;
    if (wanted) {
        // As a picture: the ways by way of an operand do not survive the interpreter.
        need_flags();
        fetch_flags();
        flags_ = {FlagsAt::raw, -1};
    }
    Label special = a_.newLabel(), done = a_.newLabel();
    a_.test(state_field(offsetof(CpuState, eflags), 4), static_cast<i32>(eflags::kDf));
    a_.jnz(special);
    if (i.rep != 0) {
        emit_repeated(moves, special);
    } else {
        const unsigned width = i.width;
        const auto step = static_cast<i32>(width);
        if (moves || loads) {
            access(esi, width, AccessKind::read, [this, width, step, loads](const Mem& at) {
                a_.mov(of_width(loads ? eax : r11d, width), sized(at, width));
                if (loads) {
                    a_.lea(esi, ptr(rsi, step));
                }
            });
        }
        if (moves || stores) {
            access(edi, width, AccessKind::write, [this, width, step, moves](const Mem& at) {
                a_.mov(sized(at, width), of_width(moves ? r11d : eax, width));
                a_.lea(edi, ptr(rdi, step));
                if (moves) {
                    a_.lea(esi, ptr(rsi, step));
                }
            });
        }
    }
    a_.bind(done);
    later([this, special, done, wanted] {
        a_.bind(special);
        if (wanted) {
            put_back_flags();
        }
        call_interpreter(record(false));
        if (wanted) {
            fetch_flags();
        }
        a_.jmp(done);
    });
    return true;
}

// One lookup a side. What would leave a page, or is not plain memory, is special.
void BlockEmitter::emit_repeated(bool moves, Label special) {
    const unsigned shift = insn().width == 1 ? 0 : insn().width == 2 ? 1 : 2;
    const auto look_up = [this, special](const Gp& address, const Gp& delta, Access access) {
        const u32 table = CpuArena::table_offset(plan_->user, static_cast<unsigned>(access));
        // R11: bytes. They must fit between the address and the page's end.
        a_.mov(delta.r32(), address);
        a_.and_(delta.r32(), kPageMask);
        a_.add(delta.r32(), r11d);
        a_.cmp(delta.r32(), kPageSize);
        a_.ja(special);
        a_.mov(delta.r32(), address);
        a_.shr(delta.r32(), 12);
        a_.mov(delta, Mem(reg::state, delta, 3, static_cast<i32>(table), 8));
        a_.test(delta, delta);
        a_.jz(special);
    };
    a_.cmp(ecx, kPageSize);
    a_.ja(special);
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
    switch (shift | (moves ? 4u : 0u)) {
        case 0:
            a_.rep().stosb();
            break;
        case 1:
            a_.rep().stosw();
            break;
        case 2:
            a_.rep().stosd();
            break;
        case 4:
            a_.rep().movsb();
            break;
        case 5:
            a_.rep().movsw();
            break;
        default:
            a_.rep().movsd();
            break;
    }
    // The address behind the last byte of the space is 0.
    a_.sub(rdi, r13);
    a_.mov(edi, edi);
    if (moves) {
        a_.sub(rsi, r14);
        a_.mov(esi, esi);
    }
}

}  // namespace ennead::vmcore::jit
