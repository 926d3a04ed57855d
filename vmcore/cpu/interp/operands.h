// SPDX-License-Identifier: MIT
// What handlers share: registers and ModRM operands by type, and the choice of a handler by operand
// form.
#pragma once

#include <array>
#include <type_traits>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

template <class T>
[[nodiscard]] inline T get_reg(const Cpu& cpu, unsigned n) {
    if constexpr (sizeof(T) == 1) {
        return cpu.r8(n);
    } else if constexpr (sizeof(T) == 2) {
        return cpu.r16(n);
    } else {
        return cpu.r32(n);
    }
}

template <class T>
inline void set_reg(Cpu& cpu, unsigned n, T value) {
    if constexpr (sizeof(T) == 1) {
        cpu.set_r8(n, value);
    } else if constexpr (sizeof(T) == 2) {
        cpu.set_r16(n, value);
    } else {
        cpu.set_r32(n, value);
    }
}

// The operand that ModRM's mod and r/m name.
template <class T>
[[nodiscard]] inline bool load_rm(Cpu& cpu, const Insn& insn, T& value) {
    if (insn.has_memory) {
        return cpu.load(insn.segment, cpu.effective_offset(insn), value);
    }
    value = get_reg<T>(cpu, insn.rm());
    return true;
}

// Reads the r/m operand, lets `change` make its new value, writes it back. Nothing has changed if
// it fails.
template <class T, class Change>
[[nodiscard]] inline bool modify_rm(Cpu& cpu, const Insn& insn, Change change) {
    if (!insn.has_memory) {
        set_reg<T>(cpu, insn.rm(), change(get_reg<T>(cpu, insn.rm())));
        return true;
    }
    const u32 offset = cpu.effective_offset(insn);
    T value;
    if (!cpu.load_for_store(insn.segment, offset, value)) {
        return false;
    }
    return cpu.store(insn.segment, offset, static_cast<T>(change(value)));
}

// 0, 1, 2 for a width of 1, 2, 4 bytes.
[[nodiscard]] constexpr unsigned width_index(unsigned width) {
    return width >> 1;
}

// Calls `body.template operator()<T>()` with the unsigned type of `width` bytes.
template <class Body>
[[nodiscard]] inline bool with_width(unsigned width, Body body) {
    switch (width) {
        case 1:
            return body.template operator()<u8>();
        case 2:
            return body.template operator()<u16>();
        default:
            return body.template operator()<u32>();
    }
}

// The forms of a two-operand instruction, destination first.
enum class Form : u8 { reg_reg, reg_mem, reg_imm, mem_reg, mem_imm };
inline constexpr unsigned kFormCount = 5;

[[nodiscard]] inline Form form_of(const Insn& insn) {
    if (!insn.has_memory) {
        return insn.src == kNoRegister ? Form::reg_imm : Form::reg_reg;
    }
    if (insn.dst != kNoRegister) {
        return Form::reg_mem;
    }
    return insn.src == kNoRegister ? Form::mem_imm : Form::mem_reg;
}

// Handlers by form and width.
using FormTable = std::array<std::array<Handler, 3>, kFormCount>;

[[nodiscard]] inline Handler pick(const FormTable& table, const Insn& insn) {
    return table[static_cast<unsigned>(form_of(insn))][width_index(insn.width)];
}

// Whether the condition in an opcode's low four bits holds (SDM vol 1, appendix B).
[[nodiscard]] inline bool condition_holds(u32 flags, unsigned condition) {
    using namespace eflags;
    bool holds = false;
    switch ((condition >> 1) & 7) {
        case 0:
            holds = (flags & kOf) != 0;
            break;
        case 1:
            holds = (flags & kCf) != 0;
            break;
        case 2:
            holds = (flags & kZf) != 0;
            break;
        case 3:
            holds = (flags & (kCf | kZf)) != 0;
            break;
        case 4:
            holds = (flags & kSf) != 0;
            break;
        case 5:
            holds = (flags & kPf) != 0;
            break;
        case 6:
            holds = ((flags >> 7) & 1) != ((flags >> 11) & 1);
            break;
        case 7:
            holds = (flags & kZf) != 0 || ((flags >> 7) & 1) != ((flags >> 11) & 1);
            break;
    }
    return holds != ((condition & 1) != 0);
}

}  // namespace ennead::vmcore
