// SPDX-License-Identifier: MIT
// Moves that are not the same bytes on the host, and the stack.
#include <cstddef>

#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

// AL…BH by the numbers of the encoding; none of them needs or bears REX.
asmjit::x86::Gp byte_register(unsigned n) {
    return n < 4 ? asmjit::x86::Gp(gpb_lo(n)) : asmjit::x86::Gp(gpb_hi(n - 4));
}

}  // namespace

bool BlockEmitter::emit_move() {
    const Insn& i = insn();
    const bool wide = i.operand_size == 4;
    switch (i.op) {
        case Op::mov:
            break;
        case Op::lea: {
            if (i.address_size != 4) {
                return false;
            }
            const Gp to = wide ? guest(i.dst) : guest(i.dst).r16();
            const auto disp = static_cast<i32>(i.disp);
            if (i.base != kNoRegister && i.index != kNoRegister) {
                a_.lea(to, ptr(guest64(i.base), guest64(i.index), i.scale, disp));
            } else if (i.base != kNoRegister) {
                a_.lea(to, ptr(guest64(i.base), disp));
            } else if (i.index != kNoRegister) {
                a_.lea(to, Mem(static_cast<u64>(i64{disp}), guest64(i.index), i.scale, 0));
            } else if (wide) {
                a_.mov(to, i.disp);
            } else {
                a_.mov(to, i.disp & 0xffff);
            }
            return true;
        }
        case Op::xlat:
            if (!segment_usable(AccessKind::read)) {
                return false;
            }
            forget_shared();
            a_.movzx(r14d, al);
            a_.lea(r14d, ptr(rbx, r14));
            if (i.segment == Seg::fs || i.segment == Seg::gs) {
                return false;
            }
            a_.mov(al, begin_access(r14d, 1, AccessKind::read));
            end_access();
            return true;
        case Op::mov_rm_sreg: {
            if (i.has_memory) {
                return false;
            }
            const Mem selector = state_field(selector_field(static_cast<Seg>(i.reg())), 2);
            if (wide) {
                a_.movzx(guest(i.rm()), selector);
            } else {
                a_.mov(guest(i.rm()).r16(), selector);
            }
            return true;
        }
        case Op::mov_r_cr:
            return emit_read_control();
        default:
            return false;
    }
    // MOV without ModRM: a register and an immediate, or the accumulator and an address.
    if (!i.has_memory) {
        if (i.width == 1) {
            a_.mov(byte_register(i.dst), i.imm & 0xff);
        } else if (wide) {
            a_.mov(guest(i.dst), i.imm);
        } else {
            a_.mov(guest(i.dst).r16(), i.imm & 0xffff);
        }
        return true;
    }
    const bool load = i.dst != kNoRegister;
    const AccessKind kind = load ? AccessKind::read : AccessKind::write;
    if (!segment_usable(kind)) {
        return false;
    }
    const Gp accumulator = i.width == 1 ? Gp(al) : wide ? Gp(eax) : Gp(ax);
    const Mem at = begin_operand(kind);
    if (load) {
        a_.mov(accumulator, at);
    } else {
        a_.mov(at, accumulator);
    }
    end_access();
    return true;
}

bool BlockEmitter::in_stack_frame(i32 at, AccessKind kind) const {
    return plan_->frame.base == kEsp && in_frame(at, 4, kind);
}

// The new top of the stack.
Mem BlockEmitter::begin_push() {
    if (in_stack_frame(-4, AccessKind::write)) {
        return sized(begin_in_frame(-4, AccessKind::write), 4);
    }
    forget_shared();
    a_.lea(r14d, ptr(r12, -4));
    return sized(begin_access(r14d, 4, AccessKind::write), 4);
}

void BlockEmitter::end_push() {
    a_.lea(r12d, ptr(r12, -4));
    end_access();
}

Mem BlockEmitter::begin_pop() {
    return sized(in_stack_frame(0, AccessKind::read) ? begin_in_frame(0, AccessKind::read)
                                                     : begin_access(r12d, 4, AccessKind::read),
                 4);
}

bool BlockEmitter::emit_stack() {
    const Insn& i = insn();
    if (i.operand_size != 4) {
        return false;
    }
    switch (i.op) {
        case Op::push_r:
            a_.mov(begin_push(), guest(i.dst));
            end_push();
            return true;
        case Op::push_imm:
            a_.mov(begin_push(), static_cast<i32>(i.imm));
            end_push();
            return true;
        case Op::push_sreg:
            save_flags();  // now: it may use R11
            a_.movzx(r11d, state_field(selector_field(i.segment_of_opcode()), 2));
            a_.mov(begin_push(), r11d);
            end_push();
            return true;
        case Op::push_rm:
            if (!i.has_memory) {
                a_.mov(begin_push(), guest(i.rm()));
                end_push();
                return true;
            }
            if (!segment_usable(AccessKind::read)) {
                return false;
            }
            save_flags();
            {
                const Mem at = begin_operand(AccessKind::read_first);
                leaves_if_finished();
                a_.mov(r11d, sized(at, 4));
                end_access();
            }
            a_.mov(begin_push(), r11d);
            end_push();
            return true;
        case Op::pop_rm:
            if (i.has_memory) {
                return false;
            }
            [[fallthrough]];
        case Op::pop_r: {
            const unsigned reg = i.op == Op::pop_r ? i.dst : i.rm();
            a_.mov(guest(reg), begin_pop());
            if (reg != kEsp) {
                a_.lea(r12d, ptr(r12, 4));
            }
            end_access();
            return true;
        }
        case Op::leave: {
            const bool framed = plan_->frame.base == kEbp && in_frame(0, 4, AccessKind::read);
            const Mem at = framed ? begin_in_frame(0, AccessKind::read)
                                  : begin_access(ebp, 4, AccessKind::read);
            a_.mov(r11d, sized(at, 4));
            a_.lea(r12d, ptr(rbp, 4));
            a_.mov(ebp, r11d);
            end_access();
            return true;
        }
        default:
            return false;
    }
}

}  // namespace ennead::vmcore::jit
