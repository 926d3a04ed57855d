// SPDX-License-Identifier: MIT
// The loop around the handlers: what happens between instructions, in the order of SDM vol 3A,
// table 6-2.
#include "vmcore/cpu/interp/interp.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "vmcore/cpu/interp/code_match.h"
#include "vmcore/cpu/interp/debug.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interrupt.h"

namespace ennead::vmcore {

bool execute_one(Cpu& cpu, const Insn& insn) noexcept {
    cpu.next_eip = cpu.state.eip + insn.length;
    if (!select_handler(insn)(cpu, insn)) {
        return false;
    }
    cpu.state.eip = cpu.next_eip;
    return true;
}

Interpreter::Interpreter(Cpu& cpu) : cpu_(cpu), state_(cpu.state) {
    // Zero pages of the host until they are used: an idle machine should stay small. Entries are
    // plain values for which all zeros means empty.
    static_assert(std::is_trivially_copyable_v<CacheEntry> && sizeof(CacheEntry) == 64);
    constexpr std::size_t kAlignment = 64;
    std::size_t space = kCacheEntries * sizeof(CacheEntry) + kAlignment;
    cache_memory_.reset(std::calloc(1, space));
    if (cache_memory_ == nullptr) {
        throw std::bad_alloc();
    }
    void* start = cache_memory_.get();
    cache_ = static_cast<CacheEntry*>(
        std::align(kAlignment, kCacheEntries * sizeof(CacheEntry), start, space));
}

void Interpreter::flush() {
    cpu_.mode_changed();
    cpu_.mmu.flush_all();
    window_ = {};
}

// One test for everything rare, so that the loop has one branch for it.
inline bool Interpreter::needs_attention() const {
    constexpr u32 kArmed = 0xff;  // DR7: L0…G3
    return ((state_.eflags & (eflags::kTf | eflags::kRf)) | (state_.dr[7] & kArmed) |
            held_requests_ | state_.requests.load(std::memory_order_relaxed) |
            cpu_.pending_debug() | cpu_.breakpoints.attention() | u32{cpu_.tracer.instructions()} |
            u32{state_.interrupt_shadow} | u32{state_.halted}) != 0;
}

// The instruction at EIP; null: cpu.fault() says why there is none. Good until the next call.
inline const Interpreter::CacheEntry* Interpreter::find() {
    u32 at = state_.eip - window_.first;
    if (at >= window_.length || window_.generation != cpu_.mmu.generation()) [[unlikely]] {
        if (!open_window()) {
            return fetch_slowly();
        }
        at = state_.eip - window_.first;
    }
    const u8* bytes = window_.host + at;
    const u32 available = window_.length - at;
    if (available < kComparedBytes) [[unlikely]] {
        return find_near_end(bytes, available);
    }
    CacheEntry& entry = slot(bytes);
    if (entry.code_size == window_.code_size && begins_with(bytes, entry.insn)) [[likely]] {
        return &entry;
    }
    return fill(entry, bytes, kMaxInsnLength);
}

// On success eip stands at the next instruction.
inline bool Interpreter::execute(const CacheEntry& entry) {
    cpu_.next_eip = state_.eip + entry.insn.length;
    if (!entry.handler(cpu_, entry.insn)) [[unlikely]] {
        return false;
    }
    state_.eip = cpu_.next_eip;
    ++state_.instructions;
    if (entry.after != 0) [[unlikely]] {
        if ((entry.after & kLeaveWindow) != 0) {
            window_ = {};
        }
        hold_debug_ = (entry.after & kStackSegment) != 0;
    }
    return true;
}

ExitReasons Interpreter::run(u64 budget_instructions) {
    ExitReasons reasons;
    const u64 left = std::numeric_limits<u64>::max() - state_.instructions;
    end_ = state_.instructions + std::min(budget_instructions, left);
    window_ = {};
    // Whoever ran before may have kept a masked interrupt to himself.
    if (cpu_.io.interrupts.intr()) {
        held_requests_ |= kRequestInterrupt;
    }
    for (;;) {
        // Before all else, so that what is between two instructions is the same wherever a budget
        // ends.
        if (state_.instructions >= end_) [[unlikely]] {
            reasons.budget = true;
            break;
        }
        Next next = Next::fast;
        if (needs_attention()) [[unlikely]] {
            next = attend(reasons);
            if (next == Next::leave) {
                break;
            }
            if (next == Next::again) {
                continue;
            }
        }
        if (next == Next::careful) [[unlikely]] {
            if (!step_carefully()) {
                reasons.shutdown = true;
                break;
            }
            continue;
        }
        const CacheEntry* entry = find();
        if (entry == nullptr || !execute(*entry)) [[unlikely]] {
            if (!deliver(cpu_.fault())) {
                reasons.shutdown = true;
                break;
            }
        }
    }
    if (!reasons.halted) {
        put_back_requests();
    }
    return reasons;
}

Interpreter::Next Interpreter::attend(ExitReasons& reasons) {
    if (cpu_.breakpoints.hit()) {
        reasons.breakpoint = true;
        return Next::leave;
    }
    // Traps of the instruction before. A load of SS holds them off for one more (SDM vol 3A
    // §6.8.3).
    const bool held = state_.interrupt_shadow && hold_debug_;
    if (cpu_.pending_debug() != 0 && !held) {
        state_.halted = false;
        cpu_.next_eip = state_.eip;  // what a trap pushes
        const GuestFault trap{
            .vector = Vector::db, .dr6 = cpu_.take_pending_debug(), .is_trap = true};
        if (!deliver(trap)) {
            reasons.shutdown = true;
            return Next::leave;
        }
        return Next::again;
    }
    bool delivered = false;
    if (!take_requests(reasons, delivered)) {
        reasons.shutdown = true;
        return Next::leave;
    }
    if (reasons.requested) {
        // Not `halted`, even if it is: what could wake it has not been looked at. The next run
        // tells.
        return Next::leave;
    }
    if (delivered) {
        return Next::again;
    }
    if (state_.halted) {
        reasons.halted = true;
        return Next::leave;
    }
    if (cpu_.breakpoints.on_execution()) {
        const LinearAddr address{state_.segment(Seg::cs).base + state_.eip};
        const bool passed = cpu_.breakpoints.passes(address);
        cpu_.breakpoints.end_pass();
        // RF: the instruction was begun before (SDM vol 3B §17.3.1.1).
        if (!passed && (state_.eflags & eflags::kRf) == 0 &&
            cpu_.breakpoints.note_execution(address)) {
            reasons.breakpoint = true;
            return Next::leave;
        }
    }
    const bool careful = state_.interrupt_shadow || (state_.dr[7] & 0xff) != 0 ||
                         cpu_.tracer.instructions() ||
                         (state_.eflags & (eflags::kTf | eflags::kRf)) != 0;
    return careful ? Next::careful : Next::fast;
}

// False: shutdown.
bool Interpreter::take_requests(ExitReasons& reasons, bool& delivered) {
    if (state_.requests.load(std::memory_order_relaxed) != 0) {
        held_requests_ |= state_.requests.exchange(0, std::memory_order_acquire);
    }
    if ((held_requests_ & kRequestExit) != 0) {
        held_requests_ &= ~kRequestExit;
        reasons.requested = true;
        return true;
    }
    // Who goes on from a breakpoint wants the instruction there to be done, not to come back to it.
    const bool passes =
        cpu_.breakpoints.passes(LinearAddr{state_.segment(Seg::cs).base + state_.eip});
    if (state_.interrupt_shadow || (passes && !state_.halted)) {
        return true;
    }
    if ((held_requests_ & kRequestNmi) != 0 && !state_.nmi_blocked) {
        held_requests_ &= ~kRequestNmi;
        state_.halted = false;
        delivered = true;
        window_ = {};
        return deliver_nmi(cpu_);
    }
    if ((held_requests_ & kRequestInterrupt) != 0 && (state_.eflags & eflags::kIf) != 0) {
        held_requests_ &= ~kRequestInterrupt;
        if (!cpu_.io.interrupts.intr()) {
            return true;
        }
        const u8 vector = cpu_.io.interrupts.acknowledge();
        if (cpu_.io.interrupts.intr()) {
            held_requests_ |= kRequestInterrupt;
        }
        state_.halted = false;
        delivered = true;
        window_ = {};
        return deliver_interrupt(cpu_, vector);
    }
    return true;
}

// A halted CPU keeps what is masked to itself, or whoever waits for a request would find one for
// ever.
void Interpreter::put_back_requests() {
    if (held_requests_ != 0) {
        state_.requests.fetch_or(held_requests_, std::memory_order_relaxed);
        held_requests_ = 0;
    }
}

// One instruction with breakpoints, RF, TF, the shadow and the trace looked at. False: shutdown.
bool Interpreter::step_carefully() {
    const bool after_stack_segment = std::exchange(state_.interrupt_shadow, false) && hold_debug_;
    const bool stepping = (state_.eflags & eflags::kTf) != 0;
    if ((state_.eflags & eflags::kRf) == 0 && !after_stack_segment) {
        const LinearAddr address{state_.segment(Seg::cs).base + state_.eip};
        if (const u32 hits = match_instruction_breakpoints(state_, address)) {
            return deliver(GuestFault{.vector = Vector::db, .dr6 = hits});
        }
    }
    const CacheEntry* entry = find();
    if (entry == nullptr) {
        return deliver(cpu_.fault());
    }
    // The entry may be overwritten by nothing that runs inside execute(); `after` is still read
    // first.
    const u8 after = entry->after;
    // "The processor clears RF after the instruction" (SDM vol 3B §17.3.1.1), but for those that
    // load it; here before, so that what they load stays. A fault pushes it set in any case.
    state_.eflags &= ~eflags::kRf;
    const bool traced = cpu_.tracer.instructions();
    if (traced) {
        cpu_.tracer.begin_instruction(entry->insn);
    }
    const bool done = execute(*entry);
    if (traced) {
        cpu_.tracer.end_instruction();
    }
    if (!done) {
        return deliver(cpu_.fault());
    }
    const bool interrupt_cleared_tf =
        (after & kInterruptCall) != 0 && (state_.eflags & eflags::kTf) == 0;
    const bool held = (after & kStackSegment) != 0 && state_.interrupt_shadow;
    if (stepping && !interrupt_cleared_tf && !held) {
        cpu_.add_pending_debug(debug::kDr6Bs);
    }
    return true;
}

// False: shutdown.
bool Interpreter::deliver(const GuestFault& fault) {
    const GuestFault copy = fault;  // delivery may raise others into the same place
    if (!copy.is_trap) {
        cpu_.take_pending_debug();
    }
    window_ = {};
    // Costs one of the budget: a handler that faults at its first instruction must not keep the run
    // for ever.
    end_ -= end_ > state_.instructions ? 1 : 0;
    return deliver_fault(cpu_, copy);
}

}  // namespace ennead::vmcore
