// SPDX-License-Identifier: MIT
// The opcode maps as the decoder and the printer read them, made from opcodes.inc and
// opcodes_simd.inc at compile time.
#pragma once

#include <array>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

enum class OpcodeMap : u8 { primary, twobyte };

// The prefixes that choose among the rows of an opcode. `any`: they do not, the row is for all
// four.
enum class Prefix : u8 { np, p66, pf3, pf2, any };

// As the SDM spells them (vol 2D, appendix A.2), and: Es a register of the operand size or a word
// of memory, Er the same for LAR and LSL, Z… a register in the opcode, Is a sign-extended byte, Fp
// an x87 escape. Of MMX and SSE, with the size of the memory form last (d 4, q 8, x 16 bytes):
// V… XMM in reg, W… XMM or memory, Ux XMM in r/m; P… MMX in reg, Q… MMX or memory, Nq MMX in r/m;
// M… memory; Gd and Ed 32 bits whatever the operand size, Edw the same with a word of memory; Mfx
// the 512 bytes of FXSAVE.
// clang-format off
enum class Operand : u8 {
    none, Eb, Ew, Ev, Es, Er, M, Mb, Mp, Ma, Mq, Gb, Gw, Gv, Zb, Zv, AL, rAX, CL, DX, one, Ib, Is, Iz, Iw,
    Jb, Jz, Ap, Ob, Ov, Sw, Cd, Dd, Rd, Xb, Xv, Yb, Yv, Xt, Fp, segES, segCS, segSS, segDS, segFS, segGS,
    Vx, Wx, Wq, Wd, Ux, Pq, Qq, Qd, Nq, Mx, Md, Mfx, Gd, Ed, Edw,
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

// What an MMX or SSE row says of its instruction, beyond its name: enough to check for its faults
// and to execute it on a processor with the same instruction set, as legacy prefix, 0F, opcode,
// ModRM and the memory operand, without knowing what it computes. All of it holds for every
// instruction of the row; whether there is a memory operand is Insn::has_memory.
struct SimdForm {
    enum class File : u8 { none, general, mmx, xmm };

    bool present = false;  // this is such a row; else nothing below means anything
    u8 prefix = 0;         // the mandatory one: 0, 0x66, 0xf2 or 0xf3
    // The registers that ModRM's fields name. `none`: the field is part of the opcode, or r/m is
    // memory only.
    File reg = File::none, rm = File::none;
    bool to_rm = false;    // r/m is the destination (and, in shifts, the source), not reg
    u16 memory_bytes = 0;  // size of the memory operand; 0: the row has none
    bool reads_memory = false, writes_memory = false;  // of its memory form; never both
    bool aligned = false;  // #GP(0) unless the memory operand is at a linear multiple of 16
    bool sse = false;      // #UD if CR0.EM or not CR4.OSFXSR, #NM if CR0.TS
    bool mxcsr = false;    // rounds as MXCSR says, may set its flags and raise #XM
    bool eflags = false;   // writes the arithmetic flags
    // Registers and the memory operand are all that it works on, so that executing it with the
    // same registers, MXCSR and memory does all its work. Not so for FXSAVE, FXRSTOR, LDMXCSR,
    // STMXCSR, EMMS, CLFLUSH and MASKMOV….
    bool plain = false;

    // Whether an instruction of the row uses the MMX registers: #UD if CR0.EM, #NM if CR0.TS, #MF
    // if an x87 exception waits; then TOP becomes 0 and every tag valid. Conversions from memory
    // (CVTPI2PS, CVTPI2PD) do not.
    [[nodiscard]] constexpr bool uses_mmx(bool has_memory) const {
        return reg == File::mmx || (rm == File::mmx && !has_memory);
    }
};

struct OpcodeRow {
    static constexpr u16 kByte = 1u << 0, kLockable = 1u << 1, kMemoryOnly = 1u << 2,
                         kRegistersOnly = 1u << 3, kModrm = 1u << 4, kEndsBlock = 1u << 5,
                         kFar = 1u << 6, kPrivileged = 1u << 7, kRegisterForm = 1u << 8;

    OpcodeMap map{};
    Prefix prefix = Prefix::any;
    u8 first = 0;
    u8 count = 0;
    i8 ext = -1;
    const char* text = "";
    Op op{};
    std::array<Operand, 3> operands{};
    u16 properties = 0;
    Immediate immediate{};
    RegisterIn dst{}, src{};
    SimdForm simd{};

    [[nodiscard]] constexpr bool has(u16 property) const { return (properties & property) != 0; }
};

// Row 0 is what every unassigned cell leads to: #UD.
inline constexpr u16 kUndefinedRow = 0;
[[nodiscard]] const OpcodeRow& opcode_row(u16 row);

struct OpcodeTable {
    struct Cell {
        // By whether r/m is a register, prefix and ModRM's /reg.
        std::array<std::array<std::array<u16, 8>, 4>, 2> rows{};
        bool modrm = false;
    };
    std::array<Cell, 256> cells{};
};
extern const std::array<OpcodeTable, 2> kOpcodeTables;

}  // namespace ennead::vmcore
