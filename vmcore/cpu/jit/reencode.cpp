// SPDX-License-Identifier: MIT
// Prefixes, REX, ModRM and SIB of the host's form (SDM vol 2A §2.2).
#include "vmcore/cpu/jit/reencode.h"

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/context.h"

namespace ennead::vmcore::jit {
namespace {

enum class Kind { other, byte_register, register_ };

Kind kind_of(Operand operand) {
    switch (operand) {
        case Operand::Eb:
        case Operand::Gb:
            return Kind::byte_register;
        case Operand::Ew:
        case Operand::Ev:
        case Operand::Es:
        case Operand::Er:
        case Operand::Rd:
        case Operand::Gw:
        case Operand::Gv:
            return Kind::register_;
        default:
            return Kind::other;
    }
}

bool is_reg_field(Operand operand) {
    return operand == Operand::Gb || operand == Operand::Gw || operand == Operand::Gv;
}
bool is_rm_field(Operand operand) {
    switch (operand) {
        case Operand::Eb:
        case Operand::Ew:
        case Operand::Ev:
        case Operand::Es:
        case Operand::Er:
        case Operand::Rd:
            return true;
        default:
            return false;
    }
}

unsigned immediate_bytes(const Insn& insn) {
    switch (opcode_row(insn.row).immediate) {
        case Immediate::byte:
        case Immediate::signed_byte:
            return 1;
        case Immediate::word:
            return 2;
        case Immediate::by_size:
            return insn.operand_size;
        default:
            return 0;
    }
}

}  // namespace

unsigned high_byte_in_reg(const Insn& insn) {
    for (const Operand operand : opcode_row(insn.row).operands) {
        if (operand == Operand::Gb && insn.reg() >= 4) {
            return insn.reg();
        }
    }
    return 0;
}

Reencoded::Reencoded(const Insn& insn, HostMemory memory) {
    const OpcodeRow& row = opcode_row(insn.row);
    unsigned reg = insn.reg(), rm = insn.rm();
    bool high_byte = false;
    for (const Operand operand : row.operands) {
        const Kind kind = kind_of(operand);
        if (is_reg_field(operand)) {
            high_byte |= kind == Kind::byte_register && reg >= 4;
            reg = kind == Kind::register_ ? host_number(reg) : reg;
        } else if (is_rm_field(operand) && !insn.has_memory) {
            high_byte |= kind == Kind::byte_register && rm >= 4;
            rm = kind == Kind::register_ ? host_number(rm) : rm;
        }
    }
    if (row.simd.present) {
        reg = row.simd.reg == SimdForm::File::general ? host_number(reg) : reg;
        rm = row.simd.rm == SimdForm::File::general && !insn.has_memory ? host_number(rm) : rm;
    }
    const bool escape = insn.op >= Op::fpu_d8 && insn.op <= Op::fpu_df;
    unsigned rex = 0;
    if (insn.has_modrm) {
        rex |= (reg >> 3) << 2;
        rex |= insn.has_memory ? (memory.index >> 3) << 1 | memory.base >> 3 : rm >> 3;
    }
    possible_ = !(high_byte && rex != 0);
    if (row.simd.present) {
        if (row.simd.prefix != 0) {
            put(row.simd.prefix);
        }
    } else if (insn.operand_size == 2 && !escape) {
        put(0x66);
    }
    if (insn.lock) {
        put(0xf0);
    }
    if (rex != 0) {
        put(0x40 | rex);
    }
    if (row.map == OpcodeMap::twobyte) {
        put(0x0f);
    }
    const bool alias_of_80 = row.map == OpcodeMap::primary && insn.opcode == 0x82;
    put(alias_of_80 ? 0x80 : insn.opcode);  // the alias is #UD in 64-bit mode
    if (insn.has_modrm && insn.has_memory) {
        // As a base, the numbers 5 and 13 want a displacement.
        const bool none = memory.disp == 0 && (memory.base & 7) != 5;
        const bool small = memory.disp >= -128 && memory.disp < 128;
        const unsigned mod = none ? 0 : small ? 1 : 2;
        put(mod << 6 | (reg & 7) << 3 | 4);
        put((memory.index & 7) << 3 | (memory.base & 7));
        for (unsigned n = 0; n < (none ? 0u : small ? 1u : 4u); ++n) {
            put(static_cast<u32>(memory.disp) >> (8 * n) & 0xff);
        }
    } else if (insn.has_modrm) {
        put(0xc0 | (reg & 7) << 3 | (rm & 7));
    }
    for (unsigned n = 0; n < immediate_bytes(insn); ++n) {
        put(insn.imm >> (8 * n) & 0xff);
    }
}

}  // namespace ennead::vmcore::jit
