// SPDX-License-Identifier: MIT
// Rows of opcodes.inc and opcodes_simd.inc to 256-entry maps at compile time; a doubled or
// contradictory row does not compile.
#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore {
namespace {

constexpr Immediate immediate_of(Operand operand) {
    switch (operand) {
        case Operand::Ib:
            return Immediate::byte;
        case Operand::Is:
        case Operand::Jb:
            return Immediate::signed_byte;
        case Operand::Iw:
            return Immediate::word;
        case Operand::Iz:
            return Immediate::by_size;
        case Operand::Jz:
            return Immediate::signed_by_size;
        case Operand::Ap:
            return Immediate::far_pointer;
        case Operand::Ob:
        case Operand::Ov:
            return Immediate::offset;
        default:
            return Immediate::none;
    }
}

constexpr Immediate immediate_of(const std::array<Operand, 3>& operands) {
    if (operands[0] == Operand::Iw && operands[1] == Operand::Ib) {
        return Immediate::enter;
    }
    for (const Operand operand : operands) {
        if (immediate_of(operand) != Immediate::none) {
            return immediate_of(operand);
        }
    }
    return Immediate::none;
}

constexpr RegisterIn register_in(Operand operand) {
    switch (operand) {
        case Operand::Eb:
        case Operand::Ew:
        case Operand::Ev:
        case Operand::Es:
        case Operand::Er:
        case Operand::Rd:
        case Operand::Ed:
        case Operand::Edw:
            return RegisterIn::modrm_rm;
        case Operand::Gb:
        case Operand::Gw:
        case Operand::Gv:
        case Operand::Gd:
            return RegisterIn::modrm_reg;
        case Operand::Zb:
        case Operand::Zv:
            return RegisterIn::opcode;
        case Operand::AL:
        case Operand::rAX:
            return RegisterIn::eax;
        case Operand::CL:
            return RegisterIn::ecx;
        case Operand::DX:
            return RegisterIn::edx;
        default:
            return RegisterIn::nowhere;
    }
}

// An operand of MMX and SSE rows: which registers reg or r/m name, and how large it is in memory.
struct SimdOperand {
    SimdForm::File reg = SimdForm::File::none, rm = SimdForm::File::none;
    u16 memory_bytes = 0;

    [[nodiscard]] constexpr bool used() const { return reg != SimdForm::File::none || in_rm(); }
    [[nodiscard]] constexpr bool in_rm() const {
        return rm != SimdForm::File::none || memory_bytes != 0;
    }
};

constexpr SimdOperand simd_operand(Operand operand) {
    using enum SimdForm::File;
    switch (operand) {
        case Operand::Vx:
            return {.reg = xmm};
        case Operand::Wx:
            return {.rm = xmm, .memory_bytes = 16};
        case Operand::Wq:
            return {.rm = xmm, .memory_bytes = 8};
        case Operand::Wd:
            return {.rm = xmm, .memory_bytes = 4};
        case Operand::Ux:
            return {.rm = xmm};
        case Operand::Pq:
            return {.reg = mmx};
        case Operand::Qq:
            return {.rm = mmx, .memory_bytes = 8};
        case Operand::Qd:
            return {.rm = mmx, .memory_bytes = 4};
        case Operand::Nq:
            return {.rm = mmx};
        case Operand::Mb:
            return {.memory_bytes = 1};
        case Operand::Md:
            return {.memory_bytes = 4};
        case Operand::Mq:
            return {.memory_bytes = 8};
        case Operand::Mx:
            return {.memory_bytes = 16};
        case Operand::Mfx:
            return {.memory_bytes = 512};
        case Operand::Gd:
            return {.reg = general};
        case Operand::Ed:
            return {.rm = general, .memory_bytes = 4};
        case Operand::Edw:
            return {.rm = general, .memory_bytes = 2};
        default:
            return {};
    }
}

constexpr bool needs_modrm(Operand operand) {
    switch (operand) {
        case Operand::M:
        case Operand::Mb:
        case Operand::Mp:
        case Operand::Ma:
        case Operand::Mq:
        case Operand::Sw:
        case Operand::Cd:
        case Operand::Dd:
            return true;
        default:
            return register_in(operand) == RegisterIn::modrm_rm ||
                   register_in(operand) == RegisterIn::modrm_reg || simd_operand(operand).used();
    }
}

constexpr OpcodeRow make_row(OpcodeMap map, Prefix prefix, unsigned first, unsigned count, int ext,
                             const char* text, Op op, std::array<Operand, 3> operands,
                             unsigned properties) {
    OpcodeRow row{.map = map,
                  .prefix = prefix,
                  .first = static_cast<u8>(first),
                  .count = static_cast<u8>(count),
                  .ext = static_cast<i8>(ext),
                  .text = text,
                  .op = op,
                  .operands = operands,
                  .properties = static_cast<u16>(properties),
                  .immediate = immediate_of(operands),
                  .dst = register_in(operands[0]),
                  .src = register_in(operands[1])};
    if (ext >= 0 || needs_modrm(operands[0]) || needs_modrm(operands[1])) {
        row.properties |= OpcodeRow::kModrm;
    }
    return row;
}

// Properties of MMX and SSE rows only; the others are OpcodeRow's.
constexpr unsigned kUnaligned = 1u << 16, kUsesMxcsr = 1u << 17, kWritesEflags = 1u << 18,
                   kNeedsSse = 1u << 19, kNotPlain = 1u << 20, kReadsFirst = 1u << 21;

constexpr u8 prefix_byte(Prefix prefix) {
    switch (prefix) {
        case Prefix::p66:
            return 0x66;
        case Prefix::pf3:
            return 0xf3;
        case Prefix::pf2:
            return 0xf2;
        default:
            return 0;
    }
}

constexpr SimdForm simd_form(const OpcodeRow& row, unsigned properties) {
    using enum SimdForm::File;
    SimdForm form{.present = true,
                  .prefix = prefix_byte(row.prefix),
                  .sse = (properties & kNeedsSse) != 0,
                  .mxcsr = (properties & kUsesMxcsr) != 0,
                  .eflags = (properties & kWritesEflags) != 0,
                  .plain = (properties & kNotPlain) == 0};
    for (unsigned i = 0; i < row.operands.size(); ++i) {
        const SimdOperand operand = simd_operand(row.operands[i]);
        form.sse = form.sse || operand.reg == xmm || operand.rm == xmm;
        form.reg = operand.reg != none ? operand.reg : form.reg;
        if (operand.in_rm()) {
            form.rm = operand.rm;
            form.memory_bytes = operand.memory_bytes;
            form.to_rm = i == 0 && (properties & kReadsFirst) == 0;
        }
    }
    form.writes_memory = form.memory_bytes != 0 && form.to_rm;
    form.reads_memory = form.memory_bytes != 0 && !form.to_rm;
    form.aligned = form.memory_bytes >= 16 && (properties & kUnaligned) == 0;
    return form;
}

constexpr OpcodeRow make_simd_row(Prefix prefix, unsigned opcode, int ext, const char* text, Op op,
                                  std::array<Operand, 3> operands, unsigned properties) {
    OpcodeRow row = make_row(OpcodeMap::twobyte, prefix, opcode, 1, ext, text, op, operands,
                             properties & 0xffff);
    row.simd = simd_form(row, properties);
    // An operand that exists only in memory, or only in registers, leaves the other half of the
    // cell to other rows.
    for (const Operand operand : operands) {
        if (const SimdOperand simd = simd_operand(operand); simd.in_rm()) {
            row.properties |= simd.rm == SimdForm::File::none ? OpcodeRow::kMemoryOnly : 0;
            row.properties |= simd.memory_bytes == 0 ? OpcodeRow::kRegisterForm : 0;
        }
    }
    return row;
}

constexpr auto kRows = [] {
    // The column names of opcodes.inc.
    using enum OpcodeMap;
    using enum Prefix;
    using enum Operand;
    constexpr int no = -1;
    constexpr unsigned B = OpcodeRow::kByte, L = OpcodeRow::kLockable, MEM = OpcodeRow::kMemoryOnly,
                       REG = OpcodeRow::kRegistersOnly, MODRM = OpcodeRow::kModrm,
                       END = OpcodeRow::kEndsBlock, FAR = OpcodeRow::kFar,
                       PRIV = OpcodeRow::kPrivileged, RFORM = OpcodeRow::kRegisterForm,
                       U = kUnaligned, F = kUsesMxcsr, E = kWritesEflags, SSE = kNeedsSse,
                       SPECIAL = kNotPlain, IN = kReadsFirst;
    return std::to_array<OpcodeRow>({
        make_row(primary, any, 0, 0, no, "(bad)", Op::ud, {}, END),
#define ENNEAD_ROW(map, first, count, ext, text, op, a, b, c, properties) \
    make_row(map, any, first, count, ext, text, Op::op, {a, b, c}, properties),
#include "vmcore/cpu/decode/opcodes.inc"
#undef ENNEAD_ROW
#define ENNEAD_SIMD_ROW(prefix, opcode, ext, text, op, a, b, c, properties) \
    make_simd_row(prefix, opcode, ext, text, Op::op, {a, b, c}, properties),
#include "vmcore/cpu/decode/opcodes_simd.inc"
#undef ENNEAD_SIMD_ROW
    });
}();

// Not constexpr: reaching it makes the tables below fail to compile.
void row_doubled() {}
void row_disagrees_about_modrm() {}

constexpr void enter_row(OpcodeTable::Cell& cell, const OpcodeRow& row, u16 number,
                         bool first_here) {
    if (first_here) {
        cell.modrm = row.has(OpcodeRow::kModrm);
    } else if (cell.modrm != row.has(OpcodeRow::kModrm)) {
        row_disagrees_about_modrm();
    }
    const auto prefix = static_cast<unsigned>(row.prefix);
    for (unsigned place = 0; place < 2 * 4 * 8; ++place) {
        const unsigned is_register = place >> 5, column = (place >> 3) & 3, reg = place & 7;
        if ((row.prefix != Prefix::any && column != prefix) ||
            (row.ext >= 0 && reg != static_cast<unsigned>(row.ext)) ||
            row.has(is_register != 0 ? OpcodeRow::kMemoryOnly : OpcodeRow::kRegisterForm)) {
            continue;
        }
        if (cell.rows[is_register][column][reg] != kUndefinedRow) {
            row_doubled();
        }
        cell.rows[is_register][column][reg] = number;
    }
}

constexpr std::array<OpcodeTable, 2> build_tables() {
    std::array<OpcodeTable, 2> tables{};
    std::array<std::array<bool, 256>, 2> seen{};
    for (u16 number = 1; number < kRows.size(); ++number) {
        const OpcodeRow& row = kRows[number];
        const auto map = static_cast<unsigned>(row.map);
        for (unsigned opcode = row.first; opcode < unsigned{row.first} + row.count; ++opcode) {
            enter_row(tables[map].cells[opcode], row, number, !seen[map][opcode]);
            seen[map][opcode] = true;
        }
    }
    return tables;
}

}  // namespace

constexpr std::array<OpcodeTable, 2> kOpcodeTables = build_tables();

const OpcodeRow& opcode_row(u16 row) {
    return kRows[row];
}

}  // namespace ennead::vmcore
