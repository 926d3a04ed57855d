// SPDX-License-Identifier: MIT
// Jumps: inside of a block, to thunks, and to other blocks; and the code out of the way that they
// lead to.
#include <cstring>

#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;
using asmjit::Imm;

namespace {

constexpr u8 kJmp = 0xe9, kCall = 0xe8;

constexpr u8 condition_bits(CondCode condition) {
    return static_cast<u8>(condition);
}

}  // namespace

void BlockEmitter::emit_rel32(std::span<const u8> opcode, u32 displacement) {
    std::array<u8, 6> bytes{};
    std::memcpy(bytes.data(), opcode.data(), opcode.size());
    std::memcpy(bytes.data() + opcode.size(), &displacement, sizeof displacement);
    a_.embed(bytes.data(), opcode.size() + sizeof displacement);
}

BlockEmitter::Place BlockEmitter::jump_later(CondCode condition) {
    const std::array<u8, 2> opcode = {0x0f, static_cast<u8>(0x80 | condition_bits(condition))};
    emit_rel32(opcode, 0);
    return {offset() - 4};
}

BlockEmitter::ShortPlace BlockEmitter::short_jump_later() {
    constexpr std::array<u8, 2> kShortJmp = {0xeb, 0};
    a_.embed(kShortJmp.data(), kShortJmp.size());
    return {offset() - 1};
}

BlockEmitter::ShortPlace BlockEmitter::short_jump_later(CondCode condition) {
    const std::array<u8, 2> bytes = {static_cast<u8>(0x70 | condition_bits(condition)), 0};
    a_.embed(bytes.data(), bytes.size());
    return {offset() - 1};
}

// The one conditional jump that looks at no flags.
BlockEmitter::ShortPlace BlockEmitter::jump_later_if_ecx_zero() {
    constexpr std::array<u8, 3> kJecxz = {0x67, 0xe3, 0};
    a_.embed(kJecxz.data(), kJecxz.size());
    return {offset() - 1};
}

// The jump leads to what is emitted next.
void BlockEmitter::land(Place place) {
    const u32 distance = offset() - (place.offset + 4);
    std::memcpy(a_.bufferData() + place.offset, &distance, sizeof distance);
}
void BlockEmitter::land(ShortPlace place) {
    a_.bufferData()[place.offset] = static_cast<u8>(offset() - (place.offset + 1));
}

void BlockEmitter::jump_back(u32 target) {
    const std::array<u8, 1> opcode = {kJmp};
    emit_rel32(opcode, target - (offset() + 5));
}
void BlockEmitter::jump_back(CondCode condition, u32 target) {
    const std::array<u8, 2> opcode = {0x0f, static_cast<u8>(0x80 | condition_bits(condition))};
    emit_rel32(opcode, target - (offset() + 6));
}

void BlockEmitter::jump_to(const u8* target) {
    const std::array<u8, 1> opcode = {kJmp};
    emit_rel32(opcode, static_cast<u32>(reinterpret_cast<u64>(target) - (base_ + offset() + 5)));
}
void BlockEmitter::call_to(const u8* target) {
    const std::array<u8, 1> opcode = {kCall};
    emit_rel32(opcode, static_cast<u32>(reinterpret_cast<u64>(target) - (base_ + offset() + 5)));
}

// --- links ---------------------------------------------------------------------------------------

Link::Entry BlockEmitter::entry_for(u32 target) const {
    if (!plan_->same_page(target)) {
        return Link::Entry::far;
    }
    const bool close = (target ^ plan_->eip) < kUnpolledBytes;
    return close && target > step().eip ? Link::Entry::near : Link::Entry::poll;
}

// The jump or call at `place` is a link; its stub asks for the target.
void BlockEmitter::add_link(Place place, u32 target, Link::Entry entry) {
    Stub asking = stub(Stub::Kind::link);
    asking.link = static_cast<u32>(links_.size());
    asking.from = {place};
    asking.from_count = 1;
    later(asking);
    links_.push_back({.number = parts_.new_link(target, entry), .place = place.offset});
}

void BlockEmitter::emit_link_jump(u32 target) {
    emit_link_jump(target, entry_for(target));
}

void BlockEmitter::emit_link_jump(u32 target, Link::Entry entry) {
    const std::array<u8, 1> opcode = {kJmp};
    emit_rel32(opcode, 0);
    add_link({offset() - 4}, target, entry);
}

// To the EIP in R14, with a jump of its own, for the host predicts each by itself. The target
// checks whether its page is still mapped where it was.
void BlockEmitter::emit_indirect(bool call) {
    a_.mov(r11, rcx);
    emit_table_jump(call);
}

// For jumps that hardly ever change their minds, as by way of a linker's table: a link to the
// target that was seen first, or second, since a linker may set the entry at the first call. Their
// lengths are known to Link.
void BlockEmitter::emit_guessed_jump() {
    constexpr std::array<u8, 7> kCompare = {0x41, 0x8d, 0x8e};  // lea ecx, [r14 + disp32]
    constexpr std::array<u8, 3> kJecxz = {0x67, 0xe3, 5};       // over the jump
    constexpr std::array<u8, 3> kRestore = {0x4c, 0x89, 0xd9};  // mov rcx, r11
    a_.mov(r11, rcx);
    a_.embed(kCompare.data(), kCompare.size());
    a_.embed(kJecxz.data(), kJecxz.size());
    Stub other = stub(Stub::Kind::guess);
    emit_rel32({&kJmp, 1}, 0);
    other.from = {Place{offset() - 4}};
    other.from_count = 1;
    other.link = static_cast<u32>(links_.size());
    later(other);
    a_.embed(kRestore.data(), kRestore.size());
    emit_link_jump(0, Link::Entry::far);
    links_.back().guessed = true;
    emit_table_jump(false);
}

// RCX is in R11.
void BlockEmitter::emit_table_jump(bool call) {
    const auto field = [this](std::size_t offset, u32 size) {
        const u32 table = CpuArena::jump_table_offset(plan_->user);
        return Mem(reg::state, r13, 3, static_cast<i32>(table + offset), size);
    };
    a_.movzx(r13d, r14w);
    a_.lea(r13d, ptr(r13, r13));
    a_.mov(ecx, field(offsetof(JumpEntry, minus_eip), 4));
    a_.lea(ecx, ptr(rcx, r14));
    a_.mov(r13, field(offsetof(JumpEntry, code), 8));
    const ShortPlace hit = jump_later_if_ecx_zero();
    a_.mov(r13, Imm(reinterpret_cast<u64>(thunks_.miss)));
    land(hit);
    a_.mov(rcx, r11);
    if (call) {
        a_.call(r13);
    } else {
        a_.jmp(r13);
    }
}

// Behind a host CALL: a guest return has come back here, with the EIP that it found in R14.
void BlockEmitter::emit_return_site() {
    a_.mov(r11, rcx);
    a_.lea(ecx, ptr(r14, static_cast<i32>(0u - next_eip())));
    const ShortPlace same = jump_later_if_ecx_zero();
    a_.mov(rcx, r11);
    jump_to(thunks_.indirect[plan_->user]);
    land(same);
    a_.mov(rcx, r11);
    // Returns can follow on each other without end.
    const bool same_page = plan_->same_page(next_eip());
    emit_link_jump(next_eip(), same_page ? Link::Entry::poll : Link::Entry::far);
}

// --- code out of the way -------------------------------------------------------------------------

BlockEmitter::Stub BlockEmitter::stub(Stub::Kind kind) const {
    Stub made;
    made.kind = kind;
    made.index = index_;
    made.flags = flags_;
    return made;
}

void BlockEmitter::finish_elsewhere(Place place) {
    finish_elsewhere({&place, 1});
}

void BlockEmitter::finish_elsewhere(std::span<const Place> places) {
    Stub finish = stub(Stub::Kind::finish);
    for (const Place place : places) {
        if (finish.from_count == finish.from.size()) {
            later(finish);
            finish.from_count = 0;
        }
        finish.from[finish.from_count++] = place;
    }
    later(finish);
}

void BlockEmitter::add_site(const Stub& stub, u32 resume) {
    const BlockPlan::Step& at = plan_->steps[stub.index];
    sites_.push_back({.offset = offset(),
                      .immediate = immediate_of(stub.flags),
                      .eip_offset = static_cast<u16>(at.eip - plan_->eip),
                      .resume = static_cast<u16>(resume),
                      .left = at.left,
                      .flags = stub.flags.at});
}

void BlockEmitter::emit_stub(const Stub& stub) {
    index_ = stub.index;
    flags_ = stub.flags;
    for (unsigned n = 0; n < stub.from_count; ++n) {
        land(stub.from[n]);
    }
    switch (stub.kind) {
        case Stub::Kind::access:
            emit_access_stub(stub);
            break;
        case Stub::Kind::share:
            a_.mov(r13d, u32{stub.size});
            call_to(thunks_.share[stub.access == AccessKind::write]);
            add_site(stub, 0);
            jump_back(stub.back);
            break;
        case Stub::Kind::finish:
            call_to(thunks_.finish);
            add_site(stub, 0);
            break;
        case Stub::Kind::poll:
            if (stub.flags_wanted) {
                put_back_flags();
            }
            a_.mov(r14d, plan_->eip);
            jump_to(thunks_.poll[plan_->user]);
            break;
        case Stub::Kind::link:
            links_[stub.link].stub = offset();
            a_.mov(r13d, links_[stub.link].number);
            jump_to(thunks_.link);
            break;
        case Stub::Kind::guess:
            a_.mov(rcx, r11);
            a_.mov(r13d, links_[stub.link].number);
            jump_to(thunks_.guess);
            break;
        case Stub::Kind::plain:
            if (stub.flags_wanted) {
                put_back_flags();
            }
            emit_link_jump(plan_->eip, Link::Entry::plain);
            break;
        case Stub::Kind::fpu:
            call_to(thunks_.load_fpu);
            a_.cmp(r13d, stub.level);
            jump_back(CondCode::kAE, stub.back);
            call_to(thunks_.finish);
            add_site(stub, 0);
            break;
        case Stub::Kind::string:
            if (stub.flags_wanted) {
                put_back_flags();
            }
            call_interpreter(stub.what);
            if (stub.flags_wanted && !stub.flags_changed) {
                fetch_flags();
            }
            jump_back(stub.back);
            break;
        case Stub::Kind::wide_division:
            emit_wide_division(stub);
            break;
    }
}

}  // namespace ennead::vmcore::jit
