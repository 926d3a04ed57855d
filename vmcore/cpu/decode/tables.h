// SPDX-License-Identifier: MIT
// The opcode maps as the decoder and the printer read them, made from opcodes.inc at compile time.
#pragma once

#include <array>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

enum class OpcodeMap : u8 { primary, twobyte };

// As the SDM spells them (vol 2D, appendix A.2), and: Es a register of the operand size or a word
// of memory, Er the same for LAR and LSL, Z… a register in the opcode, Is a sign-extended byte, Fp
// an x87 escape.
// clang-format off
enum class Operand : u8 {
    none, Eb, Ew, Ev, Es, Er, M, Mb, Mp, Ma, Mq, Gb, Gw, Gv, Zb, Zv, AL, rAX, CL, DX, one, Ib, Is, Iz, Iw,
    Jb, Jz, Ap, Ob, Ov, Sw, Cd, Dd, Rd, Xb, Xv, Yb, Yv, Xt, Fp, segES, segCS, segSS, segDS, segFS, segGS,
};
// clang-format on

// What follows ModRM and displacement.
enum class Immediate : u8 {
    none,
    byte,
    signed_byte,
    word,
    by_size,
    signed_by_size,
    far_pointer,
    enter,
    offset
};

// Where the number of a general register comes from.
enum class RegisterIn : u8 { nowhere, modrm_rm, modrm_reg, opcode, eax, ecx, edx };

struct OpcodeRow {
    static constexpr u16 kByte = 1u << 0, kLockable = 1u << 1, kMemoryOnly = 1u << 2,
                         kRegistersOnly = 1u << 3, kModrm = 1u << 4, kEndsBlock = 1u << 5,
                         kFar = 1u << 6, kPrivileged = 1u << 7;

    OpcodeMap map{};
    u8 first = 0;
    u8 count = 0;
    i8 ext = -1;
    const char* text = "";
    Op op{};
    std::array<Operand, 3> operands{};
    u16 properties = 0;
    Immediate immediate{};
    RegisterIn dst{}, src{};

    [[nodiscard]] constexpr bool has(u16 property) const { return (properties & property) != 0; }
};

// Row 0 is what every unassigned cell leads to: #UD.
inline constexpr u16 kUndefinedRow = 0;
[[nodiscard]] const OpcodeRow& opcode_row(u16 row);

struct OpcodeTable {
    struct Cell {
        std::array<u16, 8> rows{};  // by ModRM's /reg
        bool modrm = false;
    };
    std::array<Cell, 256> cells{};
};
extern const std::array<OpcodeTable, 2> kOpcodeTables;

}  // namespace ennead::vmcore
