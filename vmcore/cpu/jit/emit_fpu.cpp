// SPDX-License-Identifier: MIT
// x87, MMX and SSE: the guest's own instructions, on the host's registers.
#include <cstddef>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/effects.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/reencode.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

namespace {

// The documented encodings without a memory operand (SDM vol 2D, appendix A.5); the others are left
// to the interpreter, which knows which of them processors execute all the same.
bool documented(const Insn& insn) {
    const unsigned m = insn.modrm;
    switch (insn.opcode) {
        case 0xd8:
            return true;
        case 0xd9:
            return m <= 0xd0 || m == 0xe0 || m == 0xe1 || m == 0xe4 || m == 0xe5 ||
                   (m >= 0xe8 && m <= 0xee) || m >= 0xf0;
        case 0xda:
            return m <= 0xdf || m == 0xe9;
        case 0xdb:
            return m <= 0xdf || m == 0xe2 || (m >= 0xe8 && m <= 0xf7);
        case 0xdc:
            return m <= 0xcf || m >= 0xe0;
        case 0xdd:
            return m <= 0xc7 || (m >= 0xd0 && m <= 0xef);
        case 0xde:
            return m <= 0xcf || m == 0xd9 || m >= 0xe0;
        default:
            return m == 0xe0 || (m >= 0xe8 && m <= 0xf7);
    }
}

// Instructions that leave the pointers alone (SDM vol 1 §8.1.8).
bool is_control(const Insn& insn) {
    if (insn.has_memory) {
        return (insn.opcode == 0xd9 && insn.reg() >= 4) ||
               (insn.opcode == 0xdd && (insn.reg() == 4 || insn.reg() >= 6));
    }
    return (insn.opcode == 0xdb && (insn.modrm == 0xe2 || insn.modrm == 0xe3)) ||
           (insn.opcode == 0xdf && insn.modrm == 0xe0);
}

asmjit::x86::Mem x87_field(std::size_t offset, u32 size) {
    return state_field(offsetof(CpuState, x87) + offset, size);
}

}  // namespace

// Before the first such instruction: brings the guest's state into the host's registers. If that
// cannot be, the interpreter does the instruction and the block is left.
void BlockEmitter::need_fpu(u8 level) {
    if (fpu_level_ >= level) {
        return;
    }
    fpu_level_ = level;
    save_flags();
    forget_shared();
    a_.cmp(context_field(offsetof(JitContext, fpu_live), 1), level);
    Stub loading = stub(Stub::Kind::fpu);
    loading.level = level;
    loading.from[loading.from_count++] = jump_later(CondCode::kB);
    loading.back = offset();
    later(loading);
}

// Where the last x87 instruction and its operand were is noted where somebody may ask for it:
// before an instruction that stores it, and at the last one before the block may be left.
bool BlockEmitter::pointers_wanted() const {
    if (plan_->exact) {
        return true;
    }
    for (unsigned n = index_ + 1; n < plan_->count; ++n) {
        const Insn& later = plan_->steps[n].insn;
        if (plan_->begins_stretch(n)) {
            break;
        }
        if (later.op >= Op::fpu_d8 && later.op <= Op::fpu_df) {
            return is_control(later);
        }
        if (uses_fpu(later)) {
            return true;
        }
    }
    return true;
}

void BlockEmitter::note_x87() {
    if (is_control(insn()) || !pointers_wanted()) {
        return;
    }
    const unsigned opcode = (insn().opcode & 7u) << 8 | insn().modrm;
    a_.mov(x87_field(offsetof(X87State, instruction_offset), 4), static_cast<i32>(step().eip));
    a_.mov(x87_field(offsetof(X87State, opcode), 2), opcode);
    a_.mov(r11w, state_field(selector_field(Seg::cs), 2));
    a_.mov(x87_field(offsetof(X87State, instruction_selector), 2), r11w);
}

// The same for the operand at [base + index + offset], where the index is the distance to host
// memory.
void BlockEmitter::note_operand(const Mem& at, Seg segment) {
    a_.lea(r11d, ptr(at.baseReg().as<Gp>().r64(), at.offsetLo32()));
    if (segment == Seg::fs || segment == Seg::gs) {
        a_.mov(r13d, state_field(segment_field(segment) + offsetof(Segment, base), 4));
        a_.not_(r13);
        a_.lea(r11d, ptr(r11, r13, 0, 1));
    }
    a_.mov(x87_field(offsetof(X87State, operand_offset), 4), r11d);
    a_.mov(r11w, state_field(selector_field(segment), 2));
    a_.mov(x87_field(offsetof(X87State, operand_selector), 2), r11w);
}

bool BlockEmitter::emit_x87() {
    const Insn& i = insn();
    if (i.op == Op::fwait) {
        need_fpu(kLevelX87);
        return true;
    }
    if (i.op < Op::fpu_d8 || i.op > Op::fpu_df) {
        return false;
    }
    if (i.has_memory) {
        const X87Memory form = x87_memory(i);
        const AccessKind kind = form.writes ? AccessKind::write : AccessKind::read;
        if (form.bytes == 0 || !segment_usable(kind)) {
            return false;
        }
        need_fpu(kLevelX87);
        if (i.opcode == 0xd9 && i.reg() == 5) {
            return emit_load_control(true);
        }
        const bool note = !is_control(i) && pointers_wanted();
        const Mem at = begin_operand(kind);
        leaves_if_finished();
        emit_bytes(at);
        if (note) {
            note_operand(at, i.segment);
        }
        note_x87();
        end_access();
        return true;
    }
    if (!documented(i)) {
        return false;
    }
    need_fpu(kLevelX87);
    if (operation_wants_flags()) {
        need_flags();
    }
    emit_bytes(insn(), {});
    note_x87();
    if ((step().effects.kills & eflags::kArith) == eflags::kArith) {
        flags_produced();
        producer_ = -1;
    }
    return true;
}

// FLDCW and LDMXCSR: a value that unmasks an exception, or is none, is for the interpreter.
bool BlockEmitter::emit_load_control(bool x87) {
    save_flags();
    const Mem at = begin_operand(AccessKind::read_first);
    leaves_if_finished();
    if (x87) {
        a_.movzx(r11d, sized(at, 2));
    } else {
        a_.mov(r11d, sized(at, 4));
    }
    end_access();
    const Mem value = context_field(offsetof(JitContext, bit_number), 4);
    constexpr u32 kX87Masks = 0x3f;
    a_.mov(value, r11d);
    a_.not_(r11d);
    if (x87) {
        a_.test(r11d, static_cast<i32>(kX87Masks));
        finish_elsewhere(jump_later(CondCode::kNZ));
        a_.fldcw(context_field(offsetof(JitContext, bit_number), 2));
    } else {
        // All masks set, and nothing else but what there is.
        a_.and_(r11d, static_cast<i32>(mxcsr::kMasks | ~mxcsr::kSupported));
        a_.cmp(r11d, static_cast<i32>(~mxcsr::kSupported));
        finish_elsewhere(jump_later(CondCode::kNE));
        a_.ldmxcsr(value);
    }
    return true;
}

bool BlockEmitter::emit_simd() {
    const Insn& i = insn();
    const SimdForm& form = opcode_row(i.row).simd;
    const bool control = i.op == Op::ldmxcsr || i.op == Op::stmxcsr;
    if (!form.present || (!form.plain && !control && i.op != Op::emms)) {
        return false;
    }
    const u8 level = form.sse ? kLevelSse : kLevelX87;
    if (i.has_memory) {
        const AccessKind kind = form.writes_memory ? AccessKind::write : AccessKind::read;
        if (form.memory_bytes == 0 || !segment_usable(kind)) {
            return false;
        }
        need_fpu(level);
        if (i.op == Op::ldmxcsr) {
            return emit_load_control(false);
        }
        if (form.aligned) {
            emit_aligned(kind);
        } else {
            const Mem at = begin_operand(kind);
            leaves_if_finished();
            emit_bytes(at);
            end_access();
        }
    } else {
        need_fpu(level);
        emit_bytes(insn(), {});
    }
    if (form.eflags) {
        flags_produced();
        producer_ = -1;
    }
    return true;
}

// What is not aligned raises #GP, which the interpreter does.
void BlockEmitter::emit_aligned(AccessKind kind) {
    save_flags();
    const Gp address = operand_address(true);
    a_.test(gpb(address.id()), 15);
    finish_elsewhere(jump_later(CondCode::kNZ));
    const Mem at = begin_access(address, 16, kind);
    leaves_if_finished();
    emit_bytes(at);
    end_access();
}

}  // namespace ennead::vmcore::jit
