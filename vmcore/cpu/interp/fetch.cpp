// SPDX-License-Identifier: MIT
// Instruction fetch beyond the interpreter's fast path: opening a window on a code page, decoding,
// and the exact slow way across page ends and from devices.
#include <algorithm>
#include <cstring>

#include "vmcore/cpu/decode/tables.h"
#include "vmcore/cpu/interp/code_match.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/interp.h"

namespace ennead::vmcore {
namespace {

u8 code_size_of(const Segment& cs) {
    return static_cast<u8>(cs.big() ? CodeSize::bits32 : CodeSize::bits16);
}

}  // namespace

// False: EIP is in no plain memory that may be executed; fetch_slowly() finds out why.
bool Interpreter::open_window() {
    const Segment& cs = state_.segment(Seg::cs);
    const LinearAddr address{cs.base + state_.eip};
    const u8* page = nullptr;
    GuestFault ignored;
    window_ = {};
    if (state_.eip > cs.limit || cpu_.mmu.code_page(address, page, ignored) != Mmu::Code::memory) {
        return false;
    }
    const u32 in_page = raw(address) & kPageMask;
    // A page that is not aligned in EIP may begin before EIP 0.
    const u32 back = std::min(in_page, state_.eip);
    const u32 ahead = std::min(kPageMask - in_page, cs.limit - state_.eip) + 1;
    window_.first = state_.eip - back;
    window_.length = back + ahead;
    window_.host = page + in_page - back;
    window_.generation = cpu_.mmu.generation();
    window_.code_size = code_size_of(cs);
    return true;
}

// Fewer bytes in the window than begins_with() reads: they are copied, nothing beyond them is
// touched.
const Interpreter::CacheEntry* Interpreter::find_near_end(const u8* bytes, u32 available) {
    std::array<u8, kComparedBytes> copy{};
    std::memcpy(copy.data(), bytes, available);
    CacheEntry& entry = slot(bytes);
    if (entry.code_size == window_.code_size && entry.insn.length <= available &&
        begins_with(copy.data(), entry.insn)) {
        return &entry;
    }
    return fill(entry, copy.data(), available);
}

const Interpreter::CacheEntry* Interpreter::fill(CacheEntry& entry, const u8* bytes,
                                                 u32 available) {
    entry.code_size = 0;
    const std::span<const u8> code(bytes, std::min<u32>(available, kMaxInsnLength));
    if (decode(code, static_cast<CodeSize>(window_.code_size), entry.insn) != DecodeStatus::ok) {
        return fetch_slowly();
    }
    prepare(entry, window_.code_size);
    return &entry;
}

void Interpreter::prepare(CacheEntry& entry, u8 code_size) {
    const Insn& insn = entry.insn;
    const OpcodeRow& row = opcode_row(insn.row);
    entry.handler = select_handler(insn);
    entry.code_size = code_size;
    entry.after = row.has(OpcodeRow::kFar) ? kLeaveWindow : 0;
    switch (insn.op) {
        case Op::mov_sreg_rm:
        case Op::pop_sreg:
            entry.after |= row.has(OpcodeRow::kEndsBlock) ? kStackSegment : 0;
            break;
        case Op::sti:
            entry.after |= kPlainShadow;
            break;
        case Op::int_imm:
        case Op::int3:
        case Op::int1:
        case Op::into:
            entry.after |= kInterruptCall;
            break;
        default:
            break;
    }
}

// Fetches no byte that the instruction does not need, so that each fault comes if and only if it
// has to: the limit of CS, the page, then the length (SDM vol 3A, table 6-2, class 8 and 9).
const Interpreter::CacheEntry* Interpreter::fetch_slowly() {
    const Segment& cs = state_.segment(Seg::cs);
    const u8 code_size = code_size_of(cs);
    std::array<u8, kMaxInsnLength> bytes{};
    u32 have = 0;
    for (;;) {
        const u32 offset = state_.eip + have;
        if (offset > cs.limit) {
            cpu_.raise(Vector::gp, 0);
            return nullptr;
        }
        const LinearAddr address{cs.base + offset};
        const u8* page = nullptr;
        GuestFault fault;
        u32 more = 1;
        switch (cpu_.mmu.code_page(address, page, fault)) {
            case Mmu::Code::fault:
                cpu_.raise(fault);
                return nullptr;
            case Mmu::Code::memory: {
                const u32 in_page = raw(address) & kPageMask;
                more = std::min({kMaxInsnLength - have, kPageSize - in_page, cs.limit - offset});
                more = std::max(more, 1u);
                std::memcpy(bytes.data() + have, page + in_page, more);
                break;
            }
            case Mmu::Code::device:
                if (!cpu_.mmu.fetch(address, bytes.data() + have, 1, fault)) {
                    cpu_.raise(fault);
                    return nullptr;
                }
                break;
        }
        have += more;
        switch (decode({bytes.data(), have}, static_cast<CodeSize>(code_size), scratch_.insn)) {
            case DecodeStatus::ok:
                prepare(scratch_, code_size);
                return &scratch_;
            case DecodeStatus::too_long:
                cpu_.raise(Vector::gp, 0);
                return nullptr;
            case DecodeStatus::need_more:
                break;
        }
    }
}

}  // namespace ennead::vmcore
