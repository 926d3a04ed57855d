// SPDX-License-Identifier: MIT
// A decoded instruction as a value: everything the encoding says, nothing of the CPU's state.
#pragma once

#include <array>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// One enumerator a row kind of ops.inc: what the instruction does, operand forms included where
// handlers differ.
enum class Op : u16 {
#define ENNEAD_OP(name) name,
#include "vmcore/cpu/decode/ops.inc"
#undef ENNEAD_OP
    count
};

inline constexpr u8 kNoRegister = 0xff;

// `length` is at most 15; longer encodings do not decode (#GP). A pure function of the bytes and
// the code size.
struct Insn {
    Op op{};
    u8 length = 0;
    u8 operand_size = 4;  // 2 or 4: the effective operand size of the non-byte forms
    u8 address_size = 4;  // 2 or 4
    u8 width = 4;         // 1 in byte forms, else operand_size
    u8 rep = 0;           // 0, 0xf2 or 0xf3: the last of these prefixes
    bool lock = false;
    u8 opcode = 0;  // the last opcode byte: its low bits often hold a register or a condition
    bool has_modrm = false;
    u8 modrm = 0;
    u8 sib = 0;  // where ModRM calls for it
    // The memory operand, if mod != 3 (also for moffs forms): seg:[base + index << scale + disp],
    // wrapping at address_size.
    bool has_memory = false;
    Seg segment = Seg::ds;  // default or override; string instructions: the source's segment
    u8 base = kNoRegister, index = kNoRegister, scale = 0;
    // The general registers of the first and second operand, whether ModRM, the opcode or the
    // instruction names them; kNoRegister where the operand is memory, immediate or another kind of
    // register. Byte forms: 4…7 are AH…BH.
    u8 dst = kNoRegister, src = kNoRegister;
    // The prefix that is part of the opcode (MMX and SSE): 0x66, 0xf2, 0xf3, or 0 where none is.
    // Where it is 0x66 it says nothing of the operand size.
    u8 prefix = 0;
    u16 row = 0;  // in decode/tables.h: kRows
    u32 disp = 0;
    u32 imm = 0;  // sign- or zero-extended to the operand size as the opcode says; near branches:
                  // the displacement, sign-extended
    u16 imm2 =
        0;  // the selector of far pointers, ENTER's first operand is in imm, its nesting level here
    std::array<u8, 16> raw{};  // the `length` bytes of the instruction, then zeros

    [[nodiscard]] u8 mod() const { return modrm >> 6; }
    [[nodiscard]] u8 reg() const { return (modrm >> 3) & 7; }
    // Of PUSH and POP of segment registers: 06 0E 16 1E, 0F A0, 0F A8 and the odd ones after them.
    [[nodiscard]] Seg segment_of_opcode() const { return static_cast<Seg>((opcode >> 3) & 7); }
    [[nodiscard]] u8 rm() const { return modrm & 7; }
};

}  // namespace ennead::vmcore
