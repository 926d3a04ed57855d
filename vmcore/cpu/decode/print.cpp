// SPDX-License-Identifier: MIT
// Instructions as text: mnemonics from the opcode rows, operands by kind.
#include "vmcore/cpu/decode/print.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore {
namespace {

constexpr std::array<const char*, 8> kNames8 = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
constexpr std::array<const char*, 8> kNames16 = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
constexpr std::array<const char*, 8> kNames32 = {"eax", "ecx", "edx", "ebx",
                                                 "esp", "ebp", "esi", "edi"};
constexpr std::array<const char*, 6> kSegments = {"es", "cs", "ss", "ds", "fs", "gs"};
constexpr std::array<const char*, 16> kConditions = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                                     "s", "ns", "p", "np", "l", "ge", "le", "g"};

std::string hex(u32 value) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%x", value);
    return text;
}

const char* register_name(unsigned n, unsigned width) {
    return width == 1 ? kNames8[n & 7] : width == 2 ? kNames16[n & 7] : kNames32[n & 7];
}

const char* segment_name(Seg seg) {
    return kSegments[static_cast<unsigned>(seg)];
}

const char* size_name(unsigned width) {
    switch (width) {
        case 1:
            return "BYTE PTR ";
        case 2:
            return "WORD PTR ";
        case 4:
            return "DWORD PTR ";
        case 6:
            return "FWORD PTR ";
        case 8:
            return "QWORD PTR ";
        case 16:
            return "XMMWORD PTR ";
        default:
            return "";
    }
}

bool is_segment_prefix(u8 byte) {
    return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 ||
           byte == 0x65;
}

// Calls `wanted` with each prefix; whether it said yes to one.
template <class Wanted>
bool any_prefix(const Insn& insn, Wanted wanted) {
    for (const u8 byte : insn.raw) {
        const bool prefix = is_segment_prefix(byte) || byte == 0x66 || byte == 0x67 ||
                            byte == 0xf0 || byte == 0xf2 || byte == 0xf3;
        if (!prefix) {
            return false;
        }
        if (wanted(byte)) {
            return true;
        }
    }
    return false;
}

std::string register_or_memory(const Insn& insn, unsigned register_width, unsigned memory_width) {
    return insn.has_memory ? size_name(memory_width) + print_address(insn)
                           : register_name(insn.rm(), register_width);
}

std::string string_operand(const Insn& insn, Seg seg, Gpr index, unsigned width) {
    return std::string(size_name(width)) + segment_name(seg) + ":[" +
           register_name(index, insn.address_size) + "]";
}

std::string immediate(const Insn& insn, unsigned width) {
    const u32 mask = width == 4 ? 0xffffffffu : (1u << 8 * width) - 1;
    return hex(insn.imm & mask);
}

std::string branch_target(const Insn& insn, u32 eip) {
    const u32 target = eip + insn.length + insn.imm;
    return hex(insn.operand_size == 2 ? target & 0xffff : target);
}

std::string mmx_name(unsigned n) {
    return "mm" + std::to_string(n);
}

std::string xmm_name(unsigned n) {
    return "xmm" + std::to_string(n);
}

std::string memory_or(const Insn& insn, unsigned bytes, const std::string& register_text) {
    return insn.has_memory ? size_name(bytes) + print_address(insn) : register_text;
}

std::string operand_text(const Insn& insn, Operand operand, u32 eip) {
    const unsigned size = insn.operand_size;
    switch (operand) {
        case Operand::none:
            return "";
        case Operand::Eb:
            return register_or_memory(insn, 1, 1);
        case Operand::Ew:
            return register_or_memory(insn, 2, 2);
        case Operand::Ev:
            return register_or_memory(insn, size, size);
        case Operand::Es:
        case Operand::Er:
            return register_or_memory(insn, size, 2);
        case Operand::M:
            return print_address(insn);
        case Operand::Mb:
            return "BYTE PTR " + print_address(insn);
        case Operand::Mp:
            return size_name(size + 2) + print_address(insn);
        case Operand::Ma:
            return size_name(size * 2) + print_address(insn);
        case Operand::Mq:
            return "QWORD PTR " + print_address(insn);
        case Operand::Gb:
            return register_name(insn.reg(), 1);
        case Operand::Gw:
            return register_name(insn.reg(), 2);
        case Operand::Gv:
            return register_name(insn.reg(), size);
        case Operand::Zb:
            return register_name(insn.opcode, 1);
        case Operand::Zv:
            return register_name(insn.opcode, size);
        case Operand::AL:
            return "al";
        case Operand::rAX:
            return register_name(kEax, size);
        case Operand::CL:
            return "cl";
        case Operand::DX:
            return "dx";
        case Operand::one:
            return "1";
        case Operand::Ib:
            return insn.op == Op::enter ? hex(insn.imm2) : immediate(insn, 1);
        case Operand::Iw:
            return immediate(insn, 2);
        case Operand::Is:
        case Operand::Iz:
            return immediate(insn, size);
        case Operand::Jb:
        case Operand::Jz:
            return branch_target(insn, eip);
        case Operand::Ap:
            return hex(insn.imm2) + ":" + hex(insn.imm);
        case Operand::Ob:
        case Operand::Ov:
            return print_address(insn);
        case Operand::Sw:
            return kSegments[insn.reg() % kSegCount];
        case Operand::Cd:
            return "cr" + std::to_string(insn.reg());
        case Operand::Dd:
            return "dr" + std::to_string(insn.reg());
        case Operand::Rd:
            return register_name(insn.rm(), 4);
        case Operand::Xb:
        case Operand::Xv:
            return string_operand(insn, insn.segment, kEsi, insn.width);
        case Operand::Yb:
        case Operand::Yv:
            return string_operand(insn, Seg::es, kEdi, insn.width);
        case Operand::Xt:
            return string_operand(insn, insn.segment, kEbx, 1);
        case Operand::segES:
            return "es";
        case Operand::segCS:
            return "cs";
        case Operand::segSS:
            return "ss";
        case Operand::segDS:
            return "ds";
        case Operand::segFS:
            return "fs";
        case Operand::segGS:
            return "gs";
        case Operand::Vx:
            return xmm_name(insn.reg());
        case Operand::Wx:
        case Operand::Ux:
            return memory_or(insn, 16, xmm_name(insn.rm()));
        case Operand::Wq:
            return memory_or(insn, 8, xmm_name(insn.rm()));
        case Operand::Wd:
            return memory_or(insn, 4, xmm_name(insn.rm()));
        case Operand::Pq:
            return mmx_name(insn.reg());
        case Operand::Qq:
        case Operand::Nq:
            return memory_or(insn, 8, mmx_name(insn.rm()));
        case Operand::Qd:
            return memory_or(insn, 4, mmx_name(insn.rm()));
        case Operand::Mx:
            return "XMMWORD PTR " + print_address(insn);
        case Operand::Md:
            return "DWORD PTR " + print_address(insn);
        case Operand::Mfx:
            return print_address(insn);
        case Operand::Gd:
            return register_name(insn.reg(), 4);
        case Operand::Ed:
            return register_or_memory(insn, 4, 4);
        case Operand::Edw:
            return register_or_memory(insn, 4, 2);
        case Operand::Fp:
            break;  // print_x87() did it
    }
    return "";
}

// `16|32` where the mnemonic depends on the operand size.
std::string_view by_operand_size(std::string_view text, unsigned size) {
    const std::size_t bar = text.find('|');
    if (bar == std::string_view::npos) {
        return text;
    }
    return size == 2 ? text.substr(0, bar) : text.substr(bar + 1);
}

// Instructions without operands to show it by say a size that is not the code's in their name.
bool names_its_size(Op op, const OpcodeRow& row) {
    switch (op) {
        case Op::pusha:
        case Op::popa:
        case Op::pushf:
        case Op::popf:
        case Op::iret:
        case Op::ret_far:
        case Op::ret_far_imm:
        case Op::ret:
        case Op::ret_imm:
        case Op::leave:
        case Op::enter:
        case Op::push_imm:
        case Op::call_rel:
        case Op::push_sreg:
        case Op::pop_sreg:
            return true;
        default:
            return op == Op::jmp_rel && row.operands[0] == Operand::Jz;
    }
}

// CMPccPS and kin have a name for each of the eight predicates, and then no immediate.
bool names_its_predicate(const Insn& insn) {
    return (insn.op == Op::cmpps || insn.op == Op::cmppd || insn.op == Op::cmpss ||
            insn.op == Op::cmpsd) &&
           insn.imm < 8;
}

std::string mnemonic(const Insn& insn, const OpcodeRow& row) {
    std::string name(by_operand_size(row.text, insn.operand_size));
    switch (insn.op) {
        case Op::jcc:
        case Op::setcc:
        case Op::cmovcc:
            return name + kConditions[insn.opcode & 0xf];
        case Op::jcxz:
            return insn.address_size == 2 ? "jcxz" : "jecxz";
        case Op::nop:
            return insn.rep == 0xf3 && insn.opcode == 0x90 ? "pause" : name;
        default:
            break;
    }
    if (names_its_predicate(insn)) {
        static constexpr const char* kPredicates[8] = {"eq",  "lt",  "le",  "unord",
                                                       "neq", "nlt", "nle", "ord"};
        return name.insert(3, kPredicates[insn.imm]);
    }
    if (names_its_size(insn.op, row) && any_prefix(insn, [](u8 byte) { return byte == 0x66; })) {
        name += insn.operand_size == 2 ? "w" : "d";
    }
    return name;
}

const char* prefix_text(const Insn& insn) {
    if (insn.lock) {
        return "lock ";
    }
    switch (insn.op) {
        case Op::movs:
        case Op::stos:
        case Op::lods:
        case Op::ins:
        case Op::outs:
            return insn.rep == 0xf3 ? "rep " : insn.rep == 0xf2 ? "repnz " : "";
        case Op::cmps:
        case Op::scas:
            return insn.rep == 0xf3 ? "repz " : insn.rep == 0xf2 ? "repnz " : "";
        default:
            return "";
    }
}

}  // namespace

std::string print_address(const Insn& insn) {
    const unsigned size = insn.address_size;
    std::string segment;
    if (any_prefix(insn, is_segment_prefix)) {  // a redundant one is shown too
        segment = std::string(segment_name(insn.segment)) + ":";
    }
    // 32-bit ModRM forms with a SIB byte that names no index still show one, if it is not the plain
    // [ESP] form.
    const bool has_sib = insn.has_modrm && size == 4 && insn.mod() != 3 && insn.rm() == 4;
    const bool empty_index =
        has_sib && insn.index == kNoRegister && (insn.base != kEsp || (insn.sib >> 6) != 0);
    if (insn.base == kNoRegister && insn.index == kNoRegister && !empty_index) {
        return (segment.empty() ? std::string(segment_name(insn.segment)) + ":" : segment) +
               hex(size == 2 ? insn.disp & 0xffff : insn.disp);
    }
    std::string text = segment + "[";
    if (insn.base != kNoRegister) {
        text += register_name(insn.base, size);
    }
    if (insn.index != kNoRegister || empty_index) {
        text += insn.base != kNoRegister ? "+" : "";
        text += empty_index ? "eiz" : register_name(insn.index, size);
        if (size == 4) {
            text += "*" + std::to_string(1u << (insn.sib >> 6));
        }
    }
    if (insn.mod() != 0 || insn.base == kNoRegister) {
        const bool registers = insn.base != kNoRegister || insn.index != kNoRegister;
        const bool negative = registers && static_cast<i32>(insn.disp) < 0;
        text += (negative ? "-" : "+") + hex(negative ? 0 - insn.disp : insn.disp);
    }
    return text + "]";
}

std::string print(const Insn& insn, u32 eip) {
    const OpcodeRow& row = opcode_row(insn.row);
    if (row.operands[0] == Operand::Fp) {
        return print_x87(insn);
    }
    if (insn.op == Op::ud && row.text[0] == '(') {
        return row.text;
    }
    std::string text = prefix_text(insn) + mnemonic(insn, row);
    const char* separator = " ";
    for (const Operand operand : row.operands) {
        if (operand == Operand::Ib && names_its_predicate(insn)) {
            continue;
        }
        const std::string shown = operand_text(insn, operand, eip);
        if (!shown.empty()) {
            text += separator + shown;
            separator = ",";
        }
    }
    return text;
}

}  // namespace ennead::vmcore
