// SPDX-License-Identifier: MIT
// Rows of opcodes.inc to 256-entry maps at compile time; a doubled or contradictory row does not
// compile.
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
            return RegisterIn::modrm_rm;
        case Operand::Gb:
        case Operand::Gw:
        case Operand::Gv:
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
                   register_in(operand) == RegisterIn::modrm_reg;
    }
}

constexpr OpcodeRow make_row(OpcodeMap map, unsigned first, unsigned count, int ext,
                             const char* text, Op op, std::array<Operand, 3> operands,
                             unsigned properties) {
    OpcodeRow row{.map = map,
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

constexpr auto kRows = [] {
    // The column names of opcodes.inc.
    using enum OpcodeMap;
    using enum Operand;
    constexpr int no = -1;
    constexpr unsigned B = OpcodeRow::kByte, L = OpcodeRow::kLockable, MEM = OpcodeRow::kMemoryOnly,
                       REG = OpcodeRow::kRegistersOnly, MODRM = OpcodeRow::kModrm,
                       END = OpcodeRow::kEndsBlock, FAR = OpcodeRow::kFar,
                       PRIV = OpcodeRow::kPrivileged;
    return std::to_array<OpcodeRow>({
        make_row(primary, 0, 0, no, "(bad)", Op::ud, {}, END),
#define ENNEAD_ROW(map, first, count, ext, text, op, a, b, c, properties) \
    make_row(map, first, count, ext, text, Op::op, {a, b, c}, properties),
#include "vmcore/cpu/decode/opcodes.inc"
#undef ENNEAD_ROW
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
    const unsigned from = row.ext < 0 ? 0 : static_cast<unsigned>(row.ext);
    const unsigned to = row.ext < 0 ? 7 : static_cast<unsigned>(row.ext);
    for (unsigned reg = from; reg <= to; ++reg) {
        if (cell.rows[reg] != kUndefinedRow) {
            row_doubled();
        }
        cell.rows[reg] = number;
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
