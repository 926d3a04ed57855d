// SPDX-License-Identifier: MIT
#include "tests/fuzz/encode.h"

#include <cstdlib>

#include "tests/fuzz/address_spaces.h"
#include "tests/fuzz/undefined.h"
#include "vmcore/cpu/decode/decoder.h"

namespace ennead::vmcore::fuzz {
namespace {

// FNSTENV, FNSAVE, FXSAVE: without exact flags, what they store of the last instruction may be of
// an earlier one (docs/decisions.md, "what the JIT leaves inexact").
bool stores_x87_pointers(const Insn& insn) {
    return insn.has_memory && ((insn.op == Op::fpu_d9 && insn.reg() == 6) ||
                               (insn.op == Op::fpu_dd && insn.reg() == 6) || insn.op == Op::fxsave);
}

bool takes_selector(const OpcodeRow& row) {
    return row.op == Op::mov_sreg_rm || row.op == Op::pop_sreg;
}

}  // namespace

Insn Encoder::decoded(const std::vector<u8>& bytes) const {
    std::array<u8, 24> padded{};
    std::copy_n(bytes.begin(), std::min<std::size_t>(bytes.size(), 16), padded.begin());
    Insn insn;
    if (decode(padded, case_.code16 ? CodeSize::bits16 : CodeSize::bits32, insn) !=
        DecodeStatus::ok) {
        insn.length = 15;
    }
    return insn;
}

u32 Encoder::mapped() {
    using namespace place;
    const auto any = [&]() -> const Mapping& {
        return case_.mappings[random_.below(static_cast<u32>(case_.mappings.size()))];
    };
    const Mapping* chosen = &any();
    if (chosen->linear < kStack && !chosen->large && random_.chance(80)) {
        chosen = &any();  // rather nothing of the system's
    }
    const Mapping& page = *chosen;
    const u32 offset =
        random_.chance(50) ? kPageSize - random_.below(12) : random_.below(kPageSize);
    if (!page.large) {
        return page.linear + offset;
    }
    if ((page.entry & entry::kFrame) == 0) {  // what another page leads to
        return page.linear + static_cast<u32>(any().entry & (kLowEnd - kPageSize)) + offset;
    }
    return page.linear + random_.below(16) * kPageSize + offset;
}

u32 Encoder::pointer() {
    using namespace place;
    if (!case_.mappings.empty() && random_.chance(30)) {
        return mapped();
    }
    switch (random_.below(12)) {
        case 0:
            return kSpecial + random_.below(8) * 0x1000 + random_.between(0xff0, 0x1000);
        case 1:
            return kDataAlias + random_.below(0x1000);
        case 2:
            return (case_.paging == PagingKind::large || case_.paging == PagingKind::pae
                        ? kLargeAlias
                        : 0) +
                   kData + random_.below(0x4000);
        case 3:
        case 4:
        case 5:
            return kData + random_.between(1, 4) * 0x1000 - random_.below(12);
        case 6:
            return kStack + 0x1000 + random_.below(0x1000);
        default:
            return kData + random_.below(0x1000) * 4;
    }
}

u32 Encoder::address() {
    using namespace place;
    switch (random_.below(20)) {
        case 0:
            return kSpecial + random_.below(8) * 0x1000 + random_.below(0x1000);
        case 1:
            return kDevice + random_.below(0x40) * 4;
        case 2:
            return (case_.paging == PagingKind::off ? kDevicePhysical : kDevice) +
                   random_.below(64);
        case 3:
            return kCodeAlias + random_.below(0x2000);
        case 4:
            return random_.word();
        default:
            return pointer();
    }
}

void Encoder::put_memory(unsigned reg, std::vector<u8>& out) {
    const unsigned middle = reg << 3;
    if (short_addresses_ || random_.chance(3)) {
        // Anything that does not name a register.
        const unsigned mod = random_.below(3), rm = random_.below(8);
        out.push_back(static_cast<u8>(mod << 6 | middle | rm));
        if (short_addresses_) {
            put(out, random_.word(), mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
            return;
        }
        unsigned base = rm;
        if (rm == 4) {
            const unsigned sib = random_.below(256);
            out.push_back(static_cast<u8>(sib));
            base = sib & 7;
        }
        put(out, mod == 1 ? random_.word() : address(),
            mod == 1                ? 1
            : mod == 2 || base == 5 ? 4
                                    : 0);
        return;
    }
    switch (random_.below(8)) {
        case 0:
        case 1:  // [disp32]
            out.push_back(static_cast<u8>(middle | 5));
            put(out, address(), 4);
            break;
        case 2:  // [esp+disp8]
            out.push_back(static_cast<u8>(0x44 | middle));
            out.push_back(0x24);
            out.push_back(static_cast<u8>(random_.between(0, 60) - 8));
            break;
        case 3: {  // [pointer+index*scale+disp8], [index*scale+disp32]
            const unsigned index = random_.below(8);
            if (random_.chance(50)) {
                out.push_back(static_cast<u8>(0x44 | middle));
                out.push_back(static_cast<u8>(random_.below(4) << 6 | index << 3 |
                                              random_.pick({3u, 5u, 6u, 7u})));
                out.push_back(static_cast<u8>(random_.word()));
            } else {
                out.push_back(static_cast<u8>(0x04 | middle));
                out.push_back(static_cast<u8>(random_.below(4) << 6 | index << 3 | 5));
                put(out, address(), 4);
            }
            break;
        }
        default: {
            const unsigned base = random_.pick({3u, 5u, 6u, 7u});
            switch (random_.below(base == 5 ? 2 : 3)) {
                case 0:
                    out.push_back(static_cast<u8>(0x40 | middle | base));
                    out.push_back(static_cast<u8>(random_.word()));
                    break;
                case 1:
                    out.push_back(static_cast<u8>(0x80 | middle | base));
                    put(out, random_.chance(80) ? random_.below(0x1000) - 0x800 : random_.word(),
                        4);
                    break;
                default:
                    out.push_back(static_cast<u8>(middle | base));
                    break;
            }
            break;
        }
    }
}

void Encoder::put_modrm(const OpcodeRow& row, std::vector<u8>& out) {
    const unsigned reg = row.ext >= 0 ? static_cast<unsigned>(row.ext) : random_.below(8);
    const bool only_registers = row.has(OpcodeRow::kRegistersOnly);
    const bool only_memory = row.has(OpcodeRow::kMemoryOnly);
    const bool control = row.op == Op::jmp_rm || row.op == Op::call_rm;
    if (only_registers || row.has(OpcodeRow::kRegisterForm) ||
        (!only_memory && !control && random_.chance(45)) || (only_memory && random_.chance(1))) {
        out.push_back(static_cast<u8>(0xc0 | reg << 3 | random_.below(8)));
    } else {
        put_memory(reg, out);
    }
}

void Encoder::put_immediate(const OpcodeRow& row, unsigned operand_size, std::vector<u8>& out) {
    switch (row.immediate) {
        case Immediate::none:
            break;
        case Immediate::byte:
        case Immediate::signed_byte:
            put(out, row.op == Op::int_imm ? random_.between(0x30, 0x50) : random_.value(), 1);
            break;
        case Immediate::word:
            put(out, random_.chance(80) ? random_.below(8) * 4 : random_.word(), 2);
            break;
        case Immediate::by_size:
        case Immediate::signed_by_size:
            put(out, random_.value(), operand_size);
            break;
        case Immediate::far_pointer:
            put(out, random_.value(), operand_size);
            put(out, random_.below(selector::kCount), 2);
            break;
        case Immediate::enter:
            put(out, random_.below(64), 2);
            put(out, random_.chance(70) ? 0 : random_.below(6), 1);
            break;
        case Immediate::offset:
            put(out, address(), short_addresses_ ? 2 : 4);
            break;
    }
}

std::vector<u8> Encoder::encode(const OpcodeRow& row) {
    std::vector<u8> out;
    const bool other_operands = !row.simd.present && random_.chance(12),
               other_addresses = random_.chance(3);
    short_operands_ = other_operands != case_.code16;
    short_addresses_ = other_addresses != case_.code16;
    if (other_operands) {
        out.push_back(0x66);
    }
    if (other_addresses) {
        out.push_back(0x67);
    }
    if (random_.chance(6)) {
        out.push_back(random_.pick<u8>({0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65}));
    }
    const bool string = row.op == Op::movs || row.op == Op::stos || row.op == Op::lods ||
                        row.op == Op::cmps || row.op == Op::scas || row.op == Op::ins ||
                        row.op == Op::outs;
    if (row.simd.present && row.simd.prefix != 0) {
        out.push_back(row.simd.prefix);
    } else if (random_.chance(string ? 30 : 1)) {
        out.push_back(random_.pick<u8>({0xf2, 0xf3}));
    }
    if (random_.chance(row.has(OpcodeRow::kLockable) ? 10 : 0) || random_.below(500) == 0) {
        out.push_back(0xf0);
    }
    if (row.map == OpcodeMap::twobyte) {
        out.push_back(0x0f);
    }
    out.push_back(static_cast<u8>(row.first + random_.below(row.count)));
    if (row.has(OpcodeRow::kModrm)) {
        put_modrm(row, out);
    }
    put_immediate(row, short_operands_ ? 2 : 4, out);
    return out;
}

std::vector<u8> Encoder::instruction(Pick pick) {
    const std::vector<u16>& from = rows_for(pick);
    for (;;) {
        const OpcodeRow& row = opcode_row(from[random_.below(static_cast<u32>(from.size()))]);
        std::vector<u8> bytes = encode(row);
        const Insn insn = decoded(bytes);
        if (!case_.exact && stores_x87_pointers(insn)) {
            continue;
        }
        if (takes_selector(row) && random_.chance(80)) {
            continue;
        }
        // ESP and what points should mostly stay.
        const auto kept = [&](u8 gpr) {
            return gpr < 8 && insn.width != 1 &&
                   (gpr == kEsp ? !random_.chance(3) : is_pointer(gpr) && !random_.chance(20));
        };
        const bool reads_only = insn.op == Op::cmp || insn.op == Op::test || insn.op == Op::bt ||
                                insn.op == Op::push_r || insn.op == Op::push_rm;
        if (!reads_only && (kept(insn.dst) || (insn.op == Op::xchg && kept(insn.src)))) {
            continue;
        }
        if (pick == Pick::producer && insn.has_memory && random_.chance(85)) {
            continue;
        }
        if (undefined_result(insn, 31) && random_.chance(95)) {
            continue;
        }
        return bytes;
    }
}

}  // namespace ennead::vmcore::fuzz
