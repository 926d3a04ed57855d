// SPDX-License-Identifier: MIT
// MOV MOVZX MOVSX LEA XLAT, CBW CWD and kin, SETcc CMOVcc, NOP (SDM vol 1 §7.3.1).
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

template <class T, Form form>
bool move(Cpu& cpu, const Insn& insn) {
    T value;
    if constexpr (form == Form::reg_mem) {
        if (!cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
            return false;
        }
    } else if constexpr (form == Form::reg_imm || form == Form::mem_imm) {
        value = static_cast<T>(insn.imm);
    } else {
        value = get_reg<T>(cpu, insn.src);
    }
    if constexpr (form == Form::mem_reg || form == Form::mem_imm) {
        return cpu.store(insn.segment, cpu.effective_offset(insn), value);
    } else {
        set_reg<T>(cpu, insn.dst, value);
        return true;
    }
}

template <Form form>
constexpr std::array<Handler, 3> kWidths = {move<u8, form>, move<u16, form>, move<u32, form>};
constexpr FormTable kMove = {kWidths<Form::reg_reg>, kWidths<Form::reg_mem>, kWidths<Form::reg_imm>,
                             kWidths<Form::mem_reg>, kWidths<Form::mem_imm>};

// From is the source's type, with the sign that the extension gives it.
template <class From, class To, bool memory>
bool extend(Cpu& cpu, const Insn& insn) {
    using Raw = std::make_unsigned_t<From>;
    Raw value;
    if constexpr (memory) {
        if (!cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
            return false;
        }
    } else {
        value = get_reg<Raw>(cpu, insn.src);
    }
    set_reg<To>(cpu, insn.dst, static_cast<To>(static_cast<From>(value)));
    return true;
}

template <class From, class To>
Handler pick_extend(const Insn& insn) {
    return insn.has_memory ? extend<From, To, true> : extend<From, To, false>;
}

// Opcode bit 0: the source is a word.
template <class Byte, class Word>
Handler pick_extension(const Insn& insn) {
    const bool word = (insn.opcode & 1) != 0;
    if (insn.operand_size == 2) {
        return word ? pick_extend<Word, u16>(insn) : pick_extend<Byte, u16>(insn);
    }
    return word ? pick_extend<Word, u32>(insn) : pick_extend<Byte, u32>(insn);
}

bool lea32(Cpu& cpu, const Insn& insn) {
    cpu.set_r32(insn.dst, cpu.effective_offset(insn));
    return true;
}

bool lea16(Cpu& cpu, const Insn& insn) {
    cpu.set_r16(insn.dst, static_cast<u16>(cpu.effective_offset(insn)));
    return true;
}

Handler pick_lea(const Insn& insn) {
    return insn.operand_size == 4 ? lea32 : lea16;
}

}  // namespace

Handler select_move(const Insn& insn) {
    switch (insn.op) {
        case Op::mov:
            return pick(kMove, insn);
        case Op::movzx:
            return pick_extension<u8, u16>(insn);
        case Op::movsx:
            return pick_extension<i8, i16>(insn);
        case Op::lea:
            return pick_lea(insn);
        default:
            return nullptr;
    }
}

bool exec_mov(Cpu& cpu, const Insn& insn) {
    return pick(kMove, insn)(cpu, insn);
}
bool exec_movzx(Cpu& cpu, const Insn& insn) {
    return pick_extension<u8, u16>(insn)(cpu, insn);
}
bool exec_movsx(Cpu& cpu, const Insn& insn) {
    return pick_extension<i8, i16>(insn)(cpu, insn);
}
bool exec_lea(Cpu& cpu, const Insn& insn) {
    return pick_lea(insn)(cpu, insn);
}

bool exec_nop(Cpu&, const Insn&) {
    return true;
}

bool exec_xlat(Cpu& cpu, const Insn& insn) {
    u32 offset = cpu.r32(kEbx) + cpu.r8(kEax);
    if (insn.address_size == 2) {
        offset &= 0xffff;
    }
    u8 value;
    if (!cpu.load(insn.segment, offset, value)) {
        return false;
    }
    cpu.set_r8(kEax, value);
    return true;
}

// CBW, CWDE.
bool exec_cbw(Cpu& cpu, const Insn& insn) {
    if (insn.operand_size == 2) {
        cpu.set_r16(kEax, static_cast<u16>(static_cast<i8>(cpu.r8(kEax))));
    } else {
        cpu.set_r32(kEax, static_cast<u32>(static_cast<i16>(cpu.r16(kEax))));
    }
    return true;
}

// CWD, CDQ.
bool exec_cwd(Cpu& cpu, const Insn& insn) {
    if (insn.operand_size == 2) {
        cpu.set_r16(kEdx, static_cast<u16>(static_cast<i16>(cpu.r16(kEax)) >> 15));
    } else {
        cpu.set_r32(kEdx, static_cast<u32>(static_cast<i32>(cpu.r32(kEax)) >> 31));
    }
    return true;
}

bool exec_setcc(Cpu& cpu, const Insn& insn) {
    const u8 value = condition_holds(cpu.state.eflags, insn.opcode) ? 1 : 0;
    if (insn.has_memory) {
        return cpu.store(insn.segment, cpu.effective_offset(insn), value);
    }
    cpu.set_r8(insn.rm(), value);
    return true;
}

// The source is read, and may fault, whether or not the condition holds (SDM vol 2A, CMOVcc).
bool exec_cmovcc(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T value;
        if (!load_rm(cpu, insn, value)) {
            return false;
        }
        if (condition_holds(cpu.state.eflags, insn.opcode)) {
            set_reg<T>(cpu, insn.dst, value);
        }
        return true;
    });
}

}  // namespace ennead::vmcore
