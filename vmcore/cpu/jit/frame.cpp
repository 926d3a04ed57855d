// SPDX-License-Identifier: MIT
// Which accesses of a block go to the same stack frame.
#include <algorithm>
#include <optional>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/jit/plan.h"

namespace ennead::vmcore::jit {
namespace {

// The check costs a little more than the look-up of one access.
constexpr unsigned kLeastAccesses = 2;
constexpr u32 kMostSpan = 2048;

struct Extent {
    i32 low = 0;
    i32 high = 0;  // one past the end
    bool written = false;
};

// An access to the stack that the operation makes by itself, as offsets from ESP before it.
std::optional<Extent> stack_access(const Insn& insn) {
    switch (insn.op) {
        case Op::push_r:
        case Op::push_imm:
        case Op::push_rm:
        case Op::push_sreg:
        case Op::pushf:
        case Op::call_rel:
        case Op::call_rm:
            return Extent{-4, 0, true};
        case Op::pop_r:
        case Op::pop_rm:
        case Op::pop_sreg:
        case Op::popf:
        case Op::ret:
        case Op::ret_imm:
            return Extent{0, 4, false};
        default:
            return std::nullopt;
    }
}

// How far it moves ESP; nothing if that is not fixed.
std::optional<i32> esp_movement(const Insn& insn) {
    switch (insn.op) {
        case Op::push_r:
        case Op::push_imm:
        case Op::push_rm:
        case Op::push_sreg:
        case Op::pushf:
            return -4;
        case Op::popf:
        case Op::pop_sreg:
            return 4;
        case Op::pop_r:
        case Op::pop_rm:
            return insn.dst == kEsp ? std::nullopt : std::optional(4);
        case Op::add:
        case Op::sub:
            if (insn.width == 4 && insn.dst == kEsp && insn.src == kNoRegister &&
                !insn.has_memory) {
                const auto by = static_cast<i32>(insn.imm);
                if (by < -65536 || by > 65536) {
                    return std::nullopt;
                }
                return insn.op == Op::add ? by : -by;
            }
            break;
        case Op::cmp:
        case Op::test:
            return 0;
        default:
            break;
    }
    // A byte register of the same number is taken for the register: that only costs a frame.
    const bool both = insn.op == Op::xchg || insn.op == Op::xadd;
    return insn.dst == kEsp || (insn.src == kEsp && both) || insn.op == Op::leave
               ? std::nullopt
               : std::optional(0);
}

bool changes_ebp(const Insn& insn) {
    if (insn.op == Op::cmp || insn.op == Op::test || insn.op == Op::push_r) {
        return false;
    }
    return insn.dst == kEbp || insn.op == Op::leave || insn.op == Op::popa ||
           insn.op == Op::enter ||
           (insn.src == kEbp && (insn.op == Op::xchg || insn.op == Op::xadd));
}

bool operand_in_frame(const Insn& insn, u8 base) {
    return insn.has_memory && !is_bit_string(insn) && insn.base == base &&
           insn.index == kNoRegister && insn.address_size == 4 && insn.segment != Seg::fs &&
           insn.segment != Seg::gs && insn.segment != Seg::cs;
}

struct Candidate {
    Frame frame;
    unsigned accesses = 0;
    i32 high = 0;

    // False: the frame would become too long.
    bool take(const Extent& extent) {
        ++accesses;
        return widen(extent);
    }
    bool widen(const Extent& extent) {
        const i32 low = std::min(frame.low, extent.low);
        const i32 top = std::max(high, extent.high);
        if (top - low > static_cast<i32>(kMostSpan)) {
            return false;
        }
        frame.low = low;
        high = top;
        frame.span = static_cast<u32>(top - low);
        frame.written |= extent.written;
        return true;
    }
};

}  // namespace

bool writes_operand(const Insn& insn) {
    if (const X87Memory x87 = x87_memory(insn); x87.bytes != 0) {
        return x87.writes;
    }
    if (const SimdForm& simd = opcode_row(insn.row).simd; simd.present) {
        return simd.writes_memory;
    }
    if (insn.dst != kNoRegister) {
        return insn.op == Op::xchg;
    }
    switch (insn.op) {
        case Op::cmp:
        case Op::test:
        case Op::bt:
        case Op::mul:
        case Op::imul_acc:
        case Op::div:
        case Op::idiv:
        case Op::push_rm:
        case Op::call_rm:
        case Op::jmp_rm:
            return false;
        default:
            return true;
    }
}

void find_frame(BlockPlan& plan) {
    plan.frame = {};
    if (plan.plain) {
        return;
    }
    Candidate by_esp, by_ebp;
    by_esp.frame.base = kEsp;
    by_ebp.frame.base = kEbp;
    bool esp_known = true, ebp_known = true;
    i32 esp = 0;
    for (unsigned n = 0; n < plan.count && (esp_known || ebp_known); ++n) {
        BlockPlan::Step& step = plan.steps[n];
        const Insn& insn = step.insn;
        step.esp = esp;
        if (esp_known) {
            if (auto stack = stack_access(insn)) {
                esp_known = insn.operand_size == 4 &&
                            by_esp.take({stack->low + esp, stack->high + esp, stack->written});
            }
            if (esp_known && operand_in_frame(insn, kEsp)) {
                const auto at = static_cast<i32>(insn.disp) + esp;
                esp_known = by_esp.take(
                    {at, at + static_cast<i32>(memory_operand_bytes(insn)), writes_operand(insn)});
            }
            by_esp.frame.steps = esp_known ? n + 1 : n;
        }
        if (ebp_known) {
            if (operand_in_frame(insn, kEbp)) {
                const auto at = static_cast<i32>(insn.disp);
                ebp_known = by_ebp.take(
                    {at, at + static_cast<i32>(memory_operand_bytes(insn)), writes_operand(insn)});
            }
            if (insn.op == Op::leave) {
                ebp_known = ebp_known && by_ebp.take({0, 4, false});
            }
            by_ebp.frame.steps = ebp_known ? n + 1 : n;
        }
        const auto moved = esp_movement(insn);
        esp_known = esp_known && moved.has_value();
        esp += moved.value_or(0);
        // The register's own way counts too: it must not wrap between the accesses.
        esp_known = esp_known && by_esp.widen({esp, esp, false});
        ebp_known = ebp_known && !changes_ebp(insn);
    }
    const Candidate& best = by_esp.accesses >= by_ebp.accesses ? by_esp : by_ebp;
    if (best.accesses >= kLeastAccesses) {
        plan.frame = best.frame;
    }
}

}  // namespace ennead::vmcore::jit
