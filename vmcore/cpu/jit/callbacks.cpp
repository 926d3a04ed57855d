// SPDX-License-Identifier: MIT
// The C++ that emitted code calls: accesses that its tables have no answer for, instructions that
// the interpreter does, x87 and SSE state.
#include <algorithm>
#include <cstring>

#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/descriptor.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/jit/flag_picture.h"
#include "vmcore/cpu/jit/jit.h"

namespace ennead::vmcore {

using jit::Block;
using jit::Exit;

namespace jit {

Reached reach_memory(void* engine, u32 address, u32 size, AccessKind kind, u64 site) noexcept {
    return static_cast<Jit*>(engine)->reach(address, size, kind, reinterpret_cast<const u8*>(site));
}
Reached share_memory(void* engine, u32 address, u32 size, AccessKind kind, u64 site) noexcept {
    return static_cast<Jit*>(engine)->share(address, size, kind, reinterpret_cast<const u8*>(site));
}
u32 finish_instruction(void* engine, u64 site) noexcept {
    return static_cast<Jit*>(engine)->finish(reinterpret_cast<const u8*>(site));
}
u32 load_segment(void* engine, u32 seg, u32 selector) noexcept {
    return static_cast<Jit*>(engine)->load_segment(static_cast<Seg>(seg),
                                                   static_cast<u16>(selector))
               ? 1
               : 0;
}
u32 load_fpu(void* engine) noexcept {
    return static_cast<Jit*>(engine)->load_fpu();
}
u32 interpret(void* engine, const Interpreted* what) noexcept {
    return static_cast<Jit*>(engine)->interpret(*what);
}

}  // namespace jit

namespace {

// How often a block may be left for its plain self before it becomes one.
constexpr u8 kMostEscapes = 32;
// The flags that a site has saved in R10, by the host's own ALU as emitted code would make them.
u32 flags_of(jit::FlagsAt at, u32 value, u32 immediate) {
    u64 flags = 0;
    switch (at) {
        case jit::FlagsAt::raw:
            return jit::from_picture(value);
        case jit::FlagsAt::add:
            asm("addl %2, %1; pushfq; popq %0" : "=r"(flags), "+r"(value) : "r"(immediate) : "cc");
            break;
        case jit::FlagsAt::sub:
            asm("subl %2, %1; pushfq; popq %0" : "=r"(flags), "+r"(value) : "r"(immediate) : "cc");
            break;
        default:
            asm("testl %1, %1; pushfq; popq %0" : "=r"(flags) : "r"(value) : "cc");
            break;
    }
    return static_cast<u32>(flags) & eflags::kArith;
}

}  // namespace

jit::Reached Jit::reach(u32 address, u32 size, jit::AccessKind kind, const u8* site) noexcept {
    ++counters_.slow_accesses;
    Mmu& mmu = cpu_.mmu;
    const LinearAddr linear{address};
    const auto faulted = [&](const GuestFault& fault) -> jit::Reached {
        go_back_to(locate(site));
        cpu_.raise(fault);
        context_.exit = jump_or_leave(Exit::undelivered);
        return {0, 0};
    };
    const bool reads = kind == jit::AccessKind::read || kind == jit::AccessKind::read_first;
    const bool in_page = (address & kPageMask) <= kPageSize - size;
    GuestFault fault;
    if (in_page) {
        u8* host = nullptr;
        switch (mmu.find_place(linear, size, reads ? Access::read : Access::write, mmu.user(), host,
                               fault)) {
            case Mmu::Place::memory:
                return {reinterpret_cast<u64>(host), 0};
            case Mmu::Place::fault:
                return faulted(fault);
            case Mmu::Place::other:
                break;
        }
    }
    // Who is told of accesses to devices wants to know where they come from.
    if (kind == jit::AccessKind::read && !cpu_.tracer.devices()) {
        u8* const copy = context_.bounce.data();
        return mmu.read(linear, copy, size, mmu.user(), fault)
                   ? jit::Reached{reinterpret_cast<u64>(copy), 0}
                   : faulted(fault);
    }
    const Place place = locate(site);
    bool near = false;
    const bool done = finish_at(place, near);
    if (!done || !near || place.site.resume == 0) {
        context_.exit = jump_or_leave(done ? Exit::done : Exit::undelivered);
        return {0, 0};
    }
    state_.instructions += place.site.left - 1u;
    give_flags();
    return {0, reinterpret_cast<u64>(place.block.code + place.site.resume)};
}

jit::Reached Jit::share(u32 address, u32 size, jit::AccessKind kind, const u8* site) noexcept {
    ++counters_.slow_accesses;
    const Access access = kind == jit::AccessKind::read ? Access::read : Access::write;
    GuestFault ignored;  // the plain block finds which of the accesses faults, and how
    u8* host = nullptr;
    Mmu::Place where = Mmu::Place::other;
    if ((address & kPageMask) <= kPageSize - size) {
        where =
            cpu_.mmu.find_place(LinearAddr{address}, size, access, cpu_.mmu.user(), host, ignored);
    }
    if (where == Mmu::Place::memory) {
        return {reinterpret_cast<u64>(host), 0};
    }
    const Place place = locate(site);
    go_back_to(place);
    // A page fault is over once it is handled; devices and page ends stay where they are.
    if (where == Mmu::Place::other && ++place.block.escapes == kMostEscapes) {
        escaped_ = &place.block;
    }
    keep_return_stack(8);
    context_.exit = static_cast<u32>(Exit::plain);
    return {0, 0};
}

u32 Jit::finish(const u8* site) noexcept {
    bool near = false;
    return jump_or_leave(finish_at(locate(site), near) ? Exit::done : Exit::undelivered);
}

// Only if that is all there is to the instruction: what faults, or makes a segment that blocks are
// not for, is left to the interpreter.
bool Jit::load_segment(Seg seg, u16 selector) noexcept {
    const Segment before = state_.segment(seg);
    if (!load_segment_register(cpu_, seg, selector)) {
        return false;
    }
    if (!cpu_.flat() || code_changed_) {
        state_.segment(seg) = before;
        cpu_.segment_changed(seg);
        return false;
    }
    return true;
}

Jit::Place Jit::locate(const u8* return_address) const {
    // The call before it lies in the block; the return address may be where the next one begins.
    Block* const block = cache_.at(return_address - 1);
    const auto offset = static_cast<u32>(return_address - block->code);
    const auto site = std::ranges::lower_bound(block->sites, offset, {}, &jit::Site::offset);
    return {*block, *site};
}

void Jit::go_back_to(const Place& place) {
    state_.eip = place.block.eip + place.site.eip_offset;
    state_.instructions -= place.site.left;
    if (place.site.flags != jit::FlagsAt::host) {
        const auto saved = static_cast<u32>(context_.r10);
        state_.eflags = (state_.eflags & ~eflags::kArith) |
                        flags_of(place.site.flags, saved, place.site.immediate);
    }
}

Insn Jit::decode_at(const Place& place) {
    GuestRam& ram = cpu_.io.memory.ram();
    const u64 first = raw(place.block.address) + place.site.eip_offset;
    const u64 here = kPageSize - (first & kPageMask);
    std::array<u8, kMaxInsnLength> bytes{};
    const u64 from_first = std::min<u64>(here, bytes.size());
    std::memcpy(bytes.data(), ram.base() + first, from_first);
    if (place.block.second_page != Block::kNoPage) {
        std::memcpy(bytes.data() + from_first,
                    ram.base() + u64{place.block.second_page} * kPageSize,
                    bytes.size() - from_first);
    }
    Insn insn;
    (void)decode(bytes, CodeSize::bits32, insn);  // it was decoded before
    return insn;
}

// The interpreter does the instruction. False: it faulted; the state is that of before. `near`:
// what comes after it in the block may go on.
bool Jit::finish_at(const Place& place, bool& near) {
    go_back_to(place);
    const Insn insn = decode_at(place);
    ++counters_.finished[static_cast<std::size_t>(insn.op)];
    const u32 next = state_.eip + insn.length;
    cpu_.next_eip = next;
    if (jit::uses_fpu(insn)) {
        sync_fpu();
    }
    const u32 generation = cpu_.mmu.generation();
    if (!select_handler(insn)(cpu_, insn)) {
        return false;
    }
    if (insn.op == Op::rdtsc) {
        tsc_rate_.look();
    }
    state_.eip = cpu_.next_eip;
    ++state_.instructions;
    near =
        state_.eip == next && !code_changed_ && cpu_.flat() && cpu_.mmu.generation() == generation;
    return true;
}

// With an exception unmasked, or waiting, every instruction has to be looked at: that is the
// interpreter's work.
u32 Jit::load_fpu() noexcept {
    if ((state_.cr0 & (cr0::kEm | cr0::kTs)) != 0) {
        return 0;
    }
    auto& image = context_.fpu;
    if (context_.fpu_parked == 0) {
        const auto fresh = fxsave::image_of(state_);
        std::memcpy(image.bytes.data(), fresh.bytes.data(), fresh.bytes.size());
        context_.fpu_parked = 1;
    }
    constexpr u16 kX87Masks = 0x3f, kX87ErrorSummary = 1u << 7;
    if ((image.get<u16>(fxsave::kControl) & kX87Masks) != kX87Masks ||
        (image.get<u16>(fxsave::kStatus) & kX87ErrorSummary) != 0 ||
        (image.get<u32>(fxsave::kMxcsr) & mxcsr::kMasks) != mxcsr::kMasks) {
        return 0;
    }
    return (state_.cr4 & cr4::kOsfxsr) != 0 ? 2 : 1;
}

void Jit::sync_fpu() {
    if (context_.fpu_parked == 0) {
        return;
    }
    context_.fpu_parked = 0;
    const auto& image = context_.fpu;
    // Where the last x87 instruction was, the host can only tell of its own.
    fxsave::get_x87(state_.x87, image, false);
    state_.mxcsr = image.get<u32>(fxsave::kMxcsr);
    std::memcpy(state_.xmm.data(), image.bytes.data() + fxsave::kXmm, sizeof state_.xmm);
}

u32 Jit::interpret(const jit::Interpreted& what) noexcept {
    ++counters_.interpreted[static_cast<std::size_t>(what.insn.op)];
    take_flags();
    state_.eip = what.eip;
    const u64 called_bytes = what.ends_block ? 0 : 8;
    const u64 count = state_.instructions;  // that of the whole block
    if (cpu_.tracer.anything()) [[unlikely]] {
        state_.instructions = count - what.left;
    }
    const u32 next = what.eip + what.insn.length;
    cpu_.next_eip = next;
    if (what.uses_fpu) {
        sync_fpu();
        context_.fpu_was = 0;  // what is in CpuState by then counts
    }
    if (!what.handler(cpu_, what.insn)) {
        state_.instructions = count - what.left;
        return jump_or_leave(Exit::undelivered, called_bytes);
    }
    state_.eip = cpu_.next_eip;
    if (what.ends_block || state_.eip != next || code_changed_ || !cpu_.flat()) {
        state_.instructions = count - what.left + 1;
        return jump_or_leave(Exit::done, called_bytes);
    }
    state_.instructions = count;
    give_flags();
    return jit::kGoOn;
}

}  // namespace ennead::vmcore
