// SPDX-License-Identifier: MIT
// The loop around emitted code.
#include "vmcore/cpu/jit/jit.h"

#include <sys/mman.h>
#include <x86intrin.h>

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "vmcore/cpu/interrupt.h"
#include "vmcore/cpu/jit/flag_picture.h"

namespace ennead::vmcore {

using jit::Block;
using jit::Exit;

namespace {

// Outside of what can be translated, how many instructions the interpreter does before it is asked
// again.
constexpr u64 kInterpretedRun = 64;
// Emitted code comes out after this many instructions, so that the return stack cannot overflow: a
// call is one.
constexpr u64 kLongestStay = 500'000;
constexpr u64 kDeepReturnStack = u64{8} << 20;
static_assert(kDeepReturnStack + kLongestStay * 8 < (u64{16} << 20));

}  // namespace

Jit::ReturnStack::ReturnStack() {
    base_ = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base_ == MAP_FAILED) {
        throw std::bad_alloc();
    }
    madvise(base_, kSize, MADV_DONTDUMP);
}

Jit::ReturnStack::~ReturnStack() {
    munmap(base_, kSize);
}

// One entry below the top: a return from there leads to the thunk that stays there.
u64* Jit::ReturnStack::bottom() const {
    return reinterpret_cast<u64*>(static_cast<u8*>(base_) + kSize) - 2;
}

Jit::Jit(Cpu& cpu)
    : cpu_(cpu),
      state_(cpu.state),
      context_(*new (cpu.arena.at<u8>(jit::kContext)) jit::JitContext),
      interpreter_(cpu),
      cache_({.forget_returns = [this] { reset_return_stacks(); },
              .forget_jump =
                  [this](bool user, u32 eip, const u8* code) {
                      if (jit::JumpEntry& entry = jump_entry(user, eip); entry.code == code) {
                          entry = {.minus_eip = 0, .code = cache_.thunks().miss};
                      }
                  }},
             cpu.io.memory.ram().code()),
      tsc_rate_(cpu.io.clock, context_.tsc),
      made_at_tick_(__rdtsc()) {
    context_.engine = this;
    for (const bool user : {false, true}) {
        jump_entry(user, 0).code = cache_.thunks().miss;
        *returns_[user].bottom() = reinterpret_cast<u64>(cache_.thunks().underflow[user]);
    }
    reset_return_stacks();
    cpu_.io.memory.ram().watch_code(this);
}

Jit::~Jit() {
    GuestRam& ram = cpu_.io.memory.ram();
    ram.unwatch_code(this);
    cache_.clear();
}

jit::JumpEntry& Jit::jump_entry(bool user, u32 eip) {
    return cpu_.arena.at<jit::JumpEntry>(
        CpuArena::jump_table_offset(user))[eip & (CpuArena::kJumpTableEntries - 1)];
}

// Where an indirect jump to `eip` would lead.
const u8* Jit::known_target(bool user, u32 eip) {
    const jit::JumpEntry& entry = jump_entry(user, eip);
    return entry.minus_eip + eip == 0 ? entry.code : cache_.thunks().miss;
}

void Jit::reset_return_stacks() {
    for (const bool user : {false, true}) {
        stack_[user] = reinterpret_cast<u64>(returns_[user].bottom());
    }
}

void Jit::flush() {
    interpreter_.flush();
}

void Jit::take_flags() {
    state_.eflags = (state_.eflags & ~eflags::kArith) | jit::from_picture(context_.flags);
}
void Jit::give_flags() {
    context_.flags = jit::to_picture(state_.eflags);
}

std::vector<std::pair<std::string, u64>> Jit::counters() const {
    const jit::CacheCounters& cache = cache_.counters();
    return {
        {"jit_blocks", cache.translated},
        {"jit_block_instructions", cache.translated_insns},
        {"jit_code_bytes", cache.code_bytes},
        {"jit_invalidated", cache.invalidated},
        {"jit_evicted", cache.evicted},
        {"jit_links", cache.links},
        {"jit_entries", counters_.entries},
        {"jit_misses", counters_.misses},
        {"jit_slow_accesses", counters_.slow_accesses},
        {"jit_faults", counters_.faults},
        {"jit_interpreter_runs", counters_.interpreted_runs},
    };
}

// --- the loop
// --------------------------------------------------------------------------------------------

ExitReasons Jit::run(u64 budget_instructions) {
    const u64 left = std::numeric_limits<u64>::max() - state_.instructions;
    end_ = state_.instructions + std::min(budget_instructions, left);
    const bool exact = budget_instructions < kExactBudget;
    shut_down_ = false;
    tsc_rate_.forget();
    ExitReasons reasons;
    const auto over = [](const ExitReasons& r) {
        return r.requested || r.halted || r.shutdown || r.breakpoint;
    };
    for (;;) {
        // Too few for whole blocks: the interpreter does them only if the budget is to be obeyed.
        const bool few = state_.instructions + jit::kMostUnpolled >= end_;
        if (state_.instructions >= end_ || (few && !exact)) {
            reasons.budget = true;
            break;
        }
        u64 alone = 0;  // instructions for the interpreter
        if (!cpu_.flat() || needs_interpreter()) {
            alone = cpu_.flat() ? 1 : kInterpretedRun;
        } else if (few) {
            alone = jit::kMostUnpolled;
        } else if (!stay_in_blocks()) {
            alone = 1;
        }
        if (shut_down_) {
            reasons.shutdown = true;
            break;
        }
        if (alone != 0) {
            ++counters_.interpreted_runs;
            give_back_held();
            sync_fpu();
            const u64 before = state_.instructions;
            const u64 most = std::min(alone, end_ - std::min(end_, before));
            reasons = interpreter_.run(most);
            reasons.budget = false;
            if (over(reasons)) {
                break;
            }
            end_ -= most - (state_.instructions - before);  // what faults have cost there
        }
    }
    give_back_held();
    sync_fpu();
    return reasons;
}

// All that the interpreter looks at between instructions, but for an interrupt that is masked: it
// is held back until the guest unmasks it.
bool Jit::needs_interpreter() {
    constexpr u32 kArmed = 0xff;  // DR7: L0…G3
    if (((state_.eflags & eflags::kTf) | (state_.dr[7] & kArmed) | cpu_.pending_debug() |
         u32{state_.interrupt_shadow} | u32{state_.halted}) != 0) {
        return true;
    }
    const bool masked = (state_.eflags & eflags::kIf) == 0;
    if (context_.held_requests != 0 && !masked) {
        return true;
    }
    const u32 requests = state_.requests.load(std::memory_order_relaxed);
    if (requests == 0) {
        return false;
    }
    if (requests == kRequestInterrupt && masked) {
        state_.requests.fetch_and(~kRequestInterrupt);
        context_.held_requests = kRequestInterrupt;
        return state_.requests.load() != 0;
    }
    return true;
}

void Jit::give_back_held() {
    if (context_.held_requests != 0) {
        state_.request(std::exchange(context_.held_requests, 0u));
    }
}

// Runs emitted code until the loop outside has something to do. False: the interpreter should do an
// instruction.
bool Jit::stay_in_blocks() {
    const u8* code = nullptr;
    for (;;) {
        if (!set_stop() || state_.requests.load() != 0) {
            return true;
        }
        if (code == nullptr) {
            code = known_target(state_.cpl == 3, state_.eip);
        }
        prepare_to_enter();
        ++counters_.entries;
        const Exit why = cache_.thunks().enter(&state_, code, state_.eip);
        code = nullptr;
        if (why == Exit::done) {
            return true;
        }
        if (why == Exit::plain) {
            if (escaped_ != nullptr) {
                stop_sharing(*std::exchange(escaped_, nullptr));
            }
            Block* const target = find_plain(state_.eip);
            if (target == nullptr) {
                return false;
            }
            code = target->code + target->poll_entry;
            continue;
        }
        keep_return_stack(0);
        take_flags();
        switch (why) {
            case Exit::link: {
                const u32 number = context_.link;
                const bool plain = cache_.link(number).entry == jit::Link::Entry::plain;
                state_.eip = cache_.link(number).eip;
                const bool far = cache_.link(number).entry == jit::Link::Entry::far;
                Block* const target = plain ? find_plain(state_.eip) : find_block(far);
                if (target == nullptr) {
                    return false;
                }
                // Making room for the target may have thrown out where the link comes from.
                if (cache_.link(number).from != nullptr && cache_.link(number).eip == target->eip) {
                    cache_.connect(number, *target);
                }
                code = target->code + (plain ? target->near_entry : target->poll_entry);
                break;
            }
            case Exit::guess:
            case Exit::miss: {
                const u32 number = context_.link;
                ++counters_.misses;
                Block* const target = find_block(true);
                if (target == nullptr) {
                    return false;
                }
                if (why == Exit::guess) {
                    // Should its block be gone, the number may be that of another such jump by now,
                    // which does not mind.
                    cache_.expect(number, *target);
                }
                jump_entry(state_.cpl == 3, state_.eip) = {
                    .minus_eip = 0u - state_.eip, .code = target->code + target->far_entry};
                code = target->code + target->poll_entry;
                break;
            }
            default:
                return true;
        }
    }
}

// What emitted code finds as it begins, wherever from.
void Jit::prepare_to_enter() {
    const bool user = state_.cpl == 3;
    entered_user_ = user;
    if (flushes_ != cpu_.mmu.flushes()) {
        // A return goes on in its caller's page without asking what is mapped there by now.
        flushes_ = cpu_.mmu.flushes();
        reset_return_stacks();
    }
    if (returns_[user].depth(stack_[user]) > kDeepReturnStack) {
        stack_[user] = reinterpret_cast<u64>(returns_[user].bottom());
    }
    context_.return_stack = stack_[user];
    // RF only matters to breakpoints, and none is armed here; the next instruction ends it.
    state_.eflags &= ~eflags::kRf;
    give_flags();
    code_changed_ = false;
}

void Jit::keep_return_stack(u64 dropped_bytes) {
    if (!code_changed_) {
        stack_[entered_user_] = context_.return_stack + dropped_bytes;
    }
}

u32 Jit::jump_or_leave(Exit why, u64 called_bytes) {
    keep_return_stack(called_bytes);
    if (why == Exit::undelivered) {
        deliver();
    }
    // A fault costs one of the budget: where faults follow on each other the stop comes nearer.
    if (shut_down_ || !cpu_.flat() || needs_interpreter() || !set_stop()) {
        return static_cast<u32>(Exit::done);
    }
    prepare_to_enter();
    return entered_user_ ? jit::kJumpUser : jit::kJumpSupervisor;
}

// Tells emitted code when to look up. False: now.
bool Jit::set_stop() {
    const u64 now = state_.instructions;
    const u64 last = end_ < jit::kMostUnpolled ? 0 : end_ - jit::kMostUnpolled;
    if (now >= last) {
        return false;
    }
    // Stored again only where it must be: the store is one that other threads see at once.
    if (now >= stop_ || stop_ > last || state_.stop_at.load(std::memory_order_relaxed) != stop_) {
        stop_ = std::min(last, now + kLongestStay);
        state_.stop_at.store(stop_);
    }
    context_.slice_end = std::min(stop_, now + jit::kSlice);
    return true;
}

void Jit::deliver() {
    ++counters_.faults;
    const GuestFault fault = cpu_.fault();  // delivery may raise others into the same place
    if (!fault.is_trap) {
        cpu_.take_pending_debug();
    }
    // Costs one of the budget: a handler that faults at its first instruction must not keep the run
    // for ever.
    end_ -= end_ > state_.instructions ? 1 : 0;
    shut_down_ = !deliver_fault(cpu_, fault);
}

// The block for EIP, made if need be; null: its first instruction cannot be translated.
Block* Jit::find_block(bool far) {
    const u32 eip = state_.eip;
    const bool user = state_.cpl == 3;
    const auto page = code_page(eip);
    if (!page) {
        return nullptr;
    }
    const PhysAddr address{page->number * kPageSize + (eip & kPageMask)};
    Block* const known = cache_.find(address, eip, user);
    const bool straddles = known != nullptr && known->second_page != Block::kNoPage;
    if (known != nullptr && !straddles && (!far || known->far_entry != Block::kNoEntry)) {
        return known;
    }
    const bool first_of_page = !cpu_.io.memory.ram().code().page_marked(address);
    if (!straddles) {
        if (Block* const made = cache_.translate(address, eip, user, *page, far,
                                                 known == nullptr || known->shares)) {
            if (first_of_page) {
                cpu_.mmu.forget_writable(page->bytes);
            }
            return made;
        }
    }
    if ((eip & kPageMask) <= kPageSize - kMaxInsnLength) {
        return nullptr;
    }
    // Perhaps it goes on in the next page. What lies there matters only if it does, so a fault
    // there is for the interpreter to find.
    const auto next = code_page((eip & ~kPageMask) + kPageSize);
    if (!next) {
        return nullptr;
    }
    if (known != nullptr) {
        if (known->second_page == next->number) {
            return known;
        }
        cache_.discard(*known);
    }
    Block* const made = cache_.translate_straddling(address, eip, user, *page, *next);
    if (made != nullptr) {
        cpu_.mmu.forget_writable(page->bytes);
        cpu_.mmu.forget_writable(next->bytes);
    }
    return made;
}

Block* Jit::find_plain(u32 eip) {
    const auto page = code_page(eip);
    return page ? cache_.plain(PhysAddr{u64{page->number} * kPageSize + (eip & kPageMask)}, eip,
                               state_.cpl == 3, *page)
                : nullptr;
}

void Jit::stop_sharing(Block& block) {
    cache_.discard(block);
    if (const auto page = code_page(block.eip); page && page->number == block.page()) {
        (void)cache_.translate(block.address, block.eip, block.user, *page,
                               block.far_entry != Block::kNoEntry, false);
    }
}

std::optional<jit::BlockCache::CodePage> Jit::code_page(u32 linear) {
    const u8* bytes = nullptr;
    GuestFault ignored;
    if (cpu_.mmu.code_page(LinearAddr{linear}, bytes, ignored) != Mmu::Code::memory) {
        return std::nullopt;
    }
    return jit::BlockCache::CodePage{
        .bytes = bytes,
        .fetch_entry = cpu_.mmu.fetch_entry(LinearAddr{linear}, bytes),
        .number =
            static_cast<u32>(static_cast<u64>(bytes - cpu_.io.memory.ram().base()) / kPageSize)};
}

void Jit::code_written(PhysAddr address, u64 length) {
    if (cache_.written(address, length)) {
        code_changed_ = true;
    }
}

}  // namespace ennead::vmcore
