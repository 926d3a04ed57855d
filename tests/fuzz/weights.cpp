// SPDX-License-Identifier: MIT
// How often each row of opcodes.inc comes.
#include "tests/fuzz/encode.h"

namespace ennead::vmcore::fuzz {
namespace {

// How often a row comes, against 8 for most.
unsigned weight(const OpcodeRow& row, Pick pick) {
    if (row.simd.present) {
        return pick == Pick::any ? 1 : pick == Pick::simd ? 8 : 0;
    }
    switch (row.op) {
        case Op::mov:
        case Op::movzx:
        case Op::movsx:
        case Op::lea:
            return pick == Pick::any || pick == Pick::quiet ? 24 : 0;
        case Op::push_r:
        case Op::push_imm:
        case Op::push_rm:
        case Op::pop_r:
            return pick == Pick::any || pick == Pick::quiet ? 20 : 0;
        case Op::xchg:
        case Op::not_:
        case Op::xlat:
        case Op::bswap:
        case Op::nop:
        case Op::push_sreg:
            return pick == Pick::any || pick == Pick::quiet ? 8 : 0;
        case Op::add:
        case Op::or_:
        case Op::adc:
        case Op::sbb:
        case Op::and_:
        case Op::sub:
        case Op::xor_:
        case Op::cmp:
            return pick == Pick::any || pick == Pick::producer ? 5 : 0;
        case Op::test:
        case Op::inc:
        case Op::dec:
        case Op::neg:
            return pick == Pick::any || pick == Pick::producer ? 12 : 0;
        case Op::rol:
        case Op::ror:
        case Op::rcl:
        case Op::rcr:
        case Op::shl:
        case Op::shr:
        case Op::sar:
            return pick == Pick::any || pick == Pick::producer ? 3 : 0;
        case Op::fpu_d8:
        case Op::fpu_d9:
        case Op::fpu_da:
        case Op::fpu_db:
        case Op::fpu_dc:
        case Op::fpu_dd:
        case Op::fpu_de:
        case Op::fpu_df:
            return pick == Pick::any ? 8 : pick == Pick::x87 ? 8 : 0;
        default:
            break;
    }
    if (pick != Pick::any) {
        return 0;
    }
    switch (row.op) {
        case Op::setcc:
        case Op::cmovcc:
            return 40;
        case Op::cmpxchg:
        case Op::xadd:
        case Op::cmpxchg8b:
        case Op::bt:
        case Op::bts:
        case Op::btr:
        case Op::btc:
        case Op::bsf:
        case Op::bsr:
        case Op::shld:
        case Op::shrd:
        case Op::imul_r_rm:
        case Op::imul_r_rm_imm:
            return 12;
        case Op::lahf:
        case Op::sahf:
        case Op::cmc:
        case Op::clc:
        case Op::stc:
        case Op::cld:
        case Op::cwd:
        case Op::cbw:
        case Op::leave:
        case Op::pop_rm:
            return 8;
        case Op::hlt:
        case Op::jmp_rm:
        case Op::call_rm:
        case Op::jmp_far_mem:
        case Op::call_far_mem:
        case Op::jmp_far_imm:
        case Op::call_far_imm:
        case Op::ret_far:
        case Op::ret_far_imm:
        case Op::iret:
        case Op::lgdt:
        case Op::lidt:
        case Op::ltr:
        case Op::lldt:
        case Op::mov_cr_r:
        case Op::mov_dr_r:
        case Op::sysexit:
        case Op::sysenter:
        case Op::wrmsr:
        case Op::ret_imm:
        case Op::lss:
        case Op::lmsw:
        case Op::int1:
            return 1;
        case Op::ud:
            return row.map == OpcodeMap::twobyte && row.first == 0x0b ? 2 : 1;
        case Op::jmp_rel:
        case Op::jcc:
        case Op::call_rel:
        case Op::loop:
        case Op::loope:
        case Op::loopne:
        case Op::jcxz:
            return 1;  // there are units for these
        default:
            return 4;
    }
}

struct WeightedRows {
    std::vector<u16> rows;  // each as often as it weighs

    explicit WeightedRows(Pick pick) {
        std::vector<bool> seen(4096);
        for (const OpcodeTable& table : kOpcodeTables) {
            for (const OpcodeTable::Cell& cell : table.cells) {
                for (const auto& by_prefix : cell.rows) {
                    for (const auto& by_reg : by_prefix) {
                        for (const u16 row : by_reg) {
                            if (row != kUndefinedRow && !seen[row]) {
                                seen[row] = true;
                                rows.insert(rows.end(), weight(opcode_row(row), pick), row);
                            }
                        }
                    }
                }
            }
        }
    }
};

}  // namespace

const std::vector<u16>& rows_for(Pick pick) {
    static const WeightedRows kAny(Pick::any), kQuiet(Pick::quiet), kProducer(Pick::producer),
        kX87(Pick::x87), kSimd(Pick::simd);
    switch (pick) {
        case Pick::quiet:
            return kQuiet.rows;
        case Pick::producer:
            return kProducer.rows;
        case Pick::x87:
            return kX87.rows;
        case Pick::simd:
            return kSimd.rows;
        default:
            return kAny.rows;
    }
}

}  // namespace ennead::vmcore::fuzz
