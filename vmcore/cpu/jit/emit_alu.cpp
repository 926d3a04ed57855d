// SPDX-License-Identifier: MIT
// Arithmetic, logic, shifts, bits: most of it is the guest's own opcode on other registers.
#include <cstddef>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/reencode.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

// What an operation does with an operand in memory.
enum class Use : u8 { none, read, write, modify };

// For operations that mean on the host what they mean in the guest, whatever their operands.
// `none`: it is not one of them.
struct Generic {
    bool is = false;
    Use destination = Use::none;  // if the first operand is in memory
};

Generic generic(const Insn& insn) {
    switch (insn.op) {
        case Op::add:
        case Op::or_:
        case Op::adc:
        case Op::sbb:
        case Op::and_:
        case Op::sub:
        case Op::xor_:
        case Op::not_:
        case Op::neg:
        case Op::rol:
        case Op::ror:
        case Op::rcl:
        case Op::rcr:
        case Op::shl:
        case Op::shr:
        case Op::sar:
        case Op::shld:
        case Op::shrd:
        case Op::xadd:
        case Op::cmpxchg:
        case Op::cmpxchg8b:
            return {true, Use::modify};
        case Op::inc:
        case Op::dec:
        case Op::xchg:
            return {insn.has_modrm, Use::modify};
        case Op::bts:
        case Op::btr:
        case Op::btc:
            return {!is_bit_string(insn), Use::modify};
        case Op::bt:
            return {!is_bit_string(insn), Use::read};
        case Op::cmp:
        case Op::test:
        case Op::mul:
        case Op::imul_acc:
        case Op::imul_r_rm:
        case Op::imul_r_rm_imm:
        case Op::movzx:
        case Op::movsx:
        case Op::cmovcc:
        case Op::bsf:
        case Op::bsr:
            return {true, Use::read};
        case Op::mov:
            return {insn.has_modrm, Use::write};
        case Op::setcc:
            return {true, Use::write};
        case Op::cbw:
        case Op::cwd:
        case Op::lahf:
        case Op::sahf:
        case Op::clc:
        case Op::stc:
        case Op::cmc:
            return {true, Use::none};
        default:
            return {};
    }
}

AccessKind kind_of(Use use) {
    switch (use) {
        case Use::write:
            return AccessKind::write;
        case Use::modify:
            return AccessKind::modify;
        default:
            return AccessKind::read;
    }
}

// Whether the operand in memory is the first one.
bool to_memory(const Insn& insn) {
    return insn.dst == kNoRegister;
}

}  // namespace

void BlockEmitter::emit_bytes(const Insn& insn, HostMemory memory) {
    const Reencoded code(insn, memory);
    a_.embed(code.bytes().data(), code.bytes().size());
}
void BlockEmitter::emit_bytes(const Mem& at) {
    emit_bytes(insn(), {at.baseReg().id(), at.indexReg().id(), at.offsetLo32()});
}

bool BlockEmitter::emit_generic() {
    const Generic what = generic(insn());
    if (!what.is) {
        return emit_register_form();
    }
    const FlagEffects& effects = step().effects;
    const bool all_killed = (effects.kills & eflags::kArith) == eflags::kArith;
    if (!insn().has_memory) {
        if (!Reencoded(insn(), {}).possible()) {
            return false;
        }
        if (operation_wants_flags()) {
            need_flags();
        }
        emit_bytes(insn(), {});
    } else {
        const Use use = to_memory(insn()) ? what.destination : Use::read;
        const AccessKind kind = insn().op == Op::xchg ? AccessKind::modify : kind_of(use);
        if (!segment_usable(kind)) {
            return false;
        }
        const unsigned high = high_byte_in_reg(insn());
        if (high == 4 && insn().op == Op::cmpxchg) {
            return false;  // AL is an operand beside AH
        }
        if (high == 0) {
            emit_bytes(begin_operand(kind));
        } else {
            // AH cannot be named beside the host's registers for addresses: AL takes its place for
            // a moment.
            const Mem at = begin_operand(kind, false);
            const u8 exchange[2] = {0x86, static_cast<u8>(0xc0 | high << 3 | (high - 4))};
            Insn swapped = insn();
            swapped.modrm = static_cast<u8>(swapped.modrm & ~(4u << 3));
            a_.embed(exchange, 2);
            emit_bytes(swapped, {at.baseReg().id(), at.indexReg().id(), at.offsetLo32()});
            a_.embed(exchange, 2);
        }
        end_access();
    }
    if (all_killed) {
        flags_produced();
    } else if (effects.writes && flags_.at != FlagsAt::host) {
        // The rest is not wanted by anybody.
        flags_ = {};
    }
    return true;
}

// Forms with a register in the opcode, whose bytes mean something else on the host.
bool BlockEmitter::emit_register_form() {
    const Insn& i = insn();
    const bool wide = i.operand_size == 4;
    switch (i.op) {
        case Op::inc:
        case Op::dec: {
            if ((live_after_step() & eflags::kCf) != 0) {
                need_flags();
            }
            const Gp reg = wide ? guest(i.dst) : guest(i.dst).r16();
            if (i.op == Op::inc) {
                a_.inc(reg);
            } else {
                a_.dec(reg);
            }
            flags_ = {};
            return true;
        }
        case Op::xchg:
            if (wide) {
                a_.xchg(guest(i.dst), guest(kEax));
            } else {
                a_.xchg(guest(i.dst).r16(), ax);
            }
            return true;
        case Op::bswap:
            if (!wide) {
                return false;
            }
            a_.bswap(guest(i.dst));
            return true;
        case Op::nop:
            return true;
        default:
            return false;
    }
}

// The host's own division would raise a signal where the guest's raises #DE, so what may do that is
// told apart before, and left to the interpreter.
bool BlockEmitter::emit_divide() {
    const Insn& i = insn();
    const bool is_signed = i.op == Op::idiv;
    if ((i.op != Op::div && !is_signed) || i.width != 4) {
        return false;
    }
    if (i.has_memory && !segment_usable(AccessKind::read)) {
        return false;
    }
    save_flags();
    if (i.has_memory) {
        const Mem at = begin_operand(AccessKind::read_first);
        leaves_if_finished();
        a_.mov(r11d, sized(at, 4));
        end_access();
    } else {
        a_.mov(r11d, guest(i.rm()));
    }
    if (is_signed) {
        // Mostly EDX:EAX is a 32-bit value and the divisor neither 0 nor -1.
        Stub wide = stub(Stub::Kind::wide_division);
        a_.lea(r13d, ptr(r11, 1));
        a_.cmp(r13d, 1);
        wide.from[wide.from_count++] = jump_later(CondCode::kBE);
        a_.mov(r13d, eax);
        a_.sar(r13d, 31);
        a_.cmp(r13d, edx);
        wide.from[wide.from_count++] = jump_later(CondCode::kNE);
        a_.idiv(r11d);
        wide.back = offset();
        later(wide);
    } else {
        a_.cmp(edx, r11d);
        finish_elsewhere(jump_later(CondCode::kAE));
        a_.div(r11d);
    }
    flags_produced();
    producer_ = -1;
    return true;
}

// EDX:EAX by R11D, signed, where the quotient may not fit.
void BlockEmitter::emit_wide_division(const Stub& stub) {
    std::array<Place, 3> exception;
    a_.movsxd(r11, r11d);
    a_.test(r11, r11);
    exception[0] = jump_later(CondCode::kZ);
    a_.mov(r13, rdx);
    a_.shl(r13, 32);
    a_.mov(r14d, eax);
    a_.or_(r13, r14);
    // The least dividend by -1 is the one case that does not fit 64 bits either. By anything else
    // it does, and the registers are to stay if it does not fit 32.
    a_.cmp(r11, -1);
    const ShortPlace divide = short_jump_later(CondCode::kNE);
    a_.mov(r14, r13);
    a_.neg(r14);
    exception[1] = jump_later(CondCode::kO);
    land(divide);
    a_.mov(gpr_field(kEax), eax);
    a_.mov(gpr_field(kEdx), edx);
    a_.mov(rax, r13);
    a_.cqo();
    a_.idiv(r11);
    a_.movsxd(r14, eax);
    a_.cmp(r14, rax);
    const ShortPlace fits = short_jump_later(CondCode::kE);
    a_.mov(eax, gpr_field(kEax));
    a_.mov(edx, gpr_field(kEdx));
    a_.cmp(eax, eax);
    exception[2] = jump_later(CondCode::kE);
    land(fits);
    a_.mov(eax, eax);
    a_.mov(edx, edx);
    jump_back(stub.back);
    finish_elsewhere(exception);
}

// BT and its kin with the bit's number in a register, which may point far away from the operand.
bool BlockEmitter::emit_bit_string() {
    const Insn& i = insn();
    AccessKind kind = AccessKind::modify;
    switch (i.op) {
        case Op::bt:
            kind = AccessKind::read;
            break;
        case Op::bts:
        case Op::btr:
        case Op::btc:
            break;
        default:
            return false;
    }
    if (i.width != 4 || !segment_usable(kind)) {
        return false;
    }
    save_flags();
    operand_address(false);
    const Mem number = context_field(offsetof(JitContext, bit_number), 4);
    a_.mov(r13d, guest(i.src));
    a_.and_(r13d, 31);
    a_.mov(number, r13d);
    a_.mov(r13d, guest(i.src));
    a_.sar(r13d, 5);
    a_.lea(r14d, ptr(r14, r13, 2));
    const Mem operand = sized(begin_access(r14d, 4, kind), 4);
    a_.mov(r11d, number);
    if (i.lock) {
        a_.lock();
    }
    switch (i.op) {
        case Op::bt:
            a_.bt(operand, r11d);
            break;
        case Op::bts:
            a_.bts(operand, r11d);
            break;
        case Op::btr:
            a_.btr(operand, r11d);
            break;
        default:
            a_.btc(operand, r11d);
            break;
    }
    end_access();
    flags_ = {};
    return true;
}

namespace {

// A picture of the flags (bits 8…15 as LAHF, bit 0 OF) from and to EFLAGS.
constexpr u32 kByLahf = eflags::kSf | eflags::kZf | eflags::kAf | eflags::kPf | eflags::kCf;
constexpr unsigned kOfBit = 11;

}  // namespace

void BlockEmitter::emit_pushf() {
    need_flags();
    fetch_flags();
    flags_ = {FlagsAt::raw, -1};
    a_.mov(r11d, state_field(offsetof(CpuState, eflags), 4));
    a_.and_(r11d, static_cast<i32>(~(eflags::kArith | eflags::kVm | eflags::kRf)));
    a_.mov(r13d, r10d);
    a_.and_(r13d, 1);
    a_.shl(r13d, kOfBit);
    a_.or_(r11d, r13d);
    a_.mov(r13d, r10d);
    a_.shr(r13d, 8);
    a_.and_(r13d, kByLahf);
    a_.or_(r11d, r13d);
    a_.mov(begin_push(), r11d);
    end_push();
}

// What unmasks interrupts is not for emitted code if one waits: held back before, or come since
// emitted code last looked up. A guest may open no more than a window of two instructions to it.
void BlockEmitter::finish_if_requested() {
    a_.cmp(context_field(offsetof(JitContext, held_requests), 4), 0);
    finish_elsewhere(jump_later(CondCode::kNE));
    a_.cmp(state_field(offsetof(CpuState, stop_at), 8), 0);
    finish_elsewhere(jump_later(CondCode::kE));
}

// What changes more than the arithmetic flags, DF and IF, or lets an interrupt in that waits, goes
// to the interpreter.
void BlockEmitter::emit_popf() {
    // Nobody reads the flags of before; but a fault shows them where everything is to be exact.
    save_flags();
    const SavedFlags before = flags_;
    const Mem top = in_stack_frame(0, AccessKind::read_first)
                        ? begin_in_frame(0, AccessKind::read_first)
                        : begin_access(r12d, 4, AccessKind::read_first);
    leaves_if_finished();
    a_.mov(r11d, sized(top, 4));
    end_access();
    const Mem flags = state_field(offsetof(CpuState, eflags), 4);
    const u32 movable = eflags::kArith | eflags::kDf | (plan_->user ? 0 : eflags::kIf);
    a_.mov(r13d, r11d);
    a_.xor_(r13d, flags);
    flags_ = before;
    a_.test(r13d, static_cast<i32>(~(movable | eflags::kFixed)));
    finish_elsewhere(jump_later(CondCode::kNZ));
    if (!plan_->user) {
        finish_if_requested();
    }
    a_.lea(r12d, ptr(r12, 4));
    a_.and_(r13d, static_cast<i32>(movable & ~eflags::kArith));
    a_.xor_(flags, r13d);
    // R10 = the picture of what was popped.
    a_.mov(r10d, r11d);
    a_.shr(r10d, kOfBit);
    a_.and_(r10d, 1);
    a_.and_(r11d, kByLahf);
    a_.shl(r11d, 8);
    a_.or_(r10d, r11d);
    flags_ = {FlagsAt::raw, -1};
}

bool BlockEmitter::emit_flag_ops() {
    const auto flags = state_field(offsetof(CpuState, eflags), 4);
    switch (insn().op) {
        case Op::pushf:
            if (insn().operand_size != 4) {
                return false;
            }
            emit_pushf();
            return true;
        case Op::popf:
            if (insn().operand_size != 4) {
                return false;
            }
            emit_popf();
            return true;
        case Op::cld:
            save_flags();
            a_.and_(flags, static_cast<i32>(~eflags::kDf));
            return true;
        case Op::std_:
            save_flags();
            a_.or_(flags, static_cast<i32>(eflags::kDf));
            return true;
        case Op::cli:
            if (plan_->user) {
                return false;
            }
            save_flags();
            a_.and_(flags, static_cast<i32>(~eflags::kIf));
            return true;
        case Op::sti: {
            if (plan_->user) {
                return false;
            }
            // If an interrupt waits, the interpreter sees to it that the next instruction comes
            // first.
            save_flags();
            finish_if_requested();
            a_.or_(flags, static_cast<i32>(eflags::kIf));
            return true;
        }
        default:
            return false;
    }
}

}  // namespace ennead::vmcore::jit
