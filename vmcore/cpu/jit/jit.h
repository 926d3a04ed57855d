// SPDX-License-Identifier: MIT
// The JIT: runs translated code, and leaves to the interpreter what is rare.
#pragma once

#include <chrono>
#include <optional>

#include "vmcore/cpu/engine.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/jit/block_cache.h"
#include "vmcore/cpu/jit/context.h"
#include "vmcore/cpu/jit/helpers.h"
#include "vmcore/cpu/jit/tsc_rate.h"
#include "vmcore/cpu/translations.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

struct JitCounters {
    u64 entries = 0;  // times emitted code was entered
    u64 misses = 0;   // jumps to where no known block was
    // Instructions inside blocks that the interpreter did, by operation.
    std::array<u64, static_cast<std::size_t>(Op::count)> interpreted{};
    // The same for those that are emitted, but met what is no plain memory, or another odd case.
    std::array<u64, static_cast<std::size_t>(Op::count)> finished{};
    u64 interpreted_runs = 0;  // times all was left to the interpreter
    u64 slow_accesses = 0;     // memory accesses that the tables did not answer
    u64 faults = 0;            // exceptions out of emitted code
};

// Translates 32-bit code with flat segments at CPL 0 and 3; in every other mode, while stepping,
// with breakpoints set or alignment checked, the interpreter runs. vCPU thread only.
class Jit final : public Engine, private CodeWatcher, private Translations {
  public:
    explicit Jit(Cpu& cpu);  // throws std::bad_alloc
    ~Jit() override;

    ExitReasons run(u64 budget_instructions) override;
    void flush() override;

    // For tests: flags are the interpreter's at every instruction.
    void set_exact_flags(bool on) { cache_.set_exact_flags(on); }
    [[nodiscard]] std::vector<std::pair<std::string, u64>> counters() const override;
    [[nodiscard]] const Translations* translations() const override { return this; }

    // For emitted code (helpers.h).
    jit::Reached reach(u32 address, u32 size, jit::AccessKind kind, const u8* site) noexcept;
    jit::Reached share(u32 address, u32 size, jit::AccessKind kind, const u8* site) noexcept;
    u32 finish(const u8* site) noexcept;
    bool load_segment(Seg seg, u16 selector) noexcept;
    u32 load_fpu() noexcept;
    u32 interpret(const jit::Interpreted& what) noexcept;

  private:
    // What emitted code cannot look after itself.
    [[nodiscard]] bool needs_interpreter();
    void give_back_held();
    [[nodiscard]] bool stay_in_blocks();
    void prepare_to_enter();
    void keep_return_stack(u64 dropped_bytes);
    // The state is complete: whether emitted code goes on at EIP at once (jit::kJump…), or is left.
    // `called_bytes`: what the way here has pushed.
    [[nodiscard]] u32 jump_or_leave(jit::Exit why, u64 called_bytes = 8);
    // `far`: with an entry for jumps from other pages.
    [[nodiscard]] jit::Block* find_block(bool far);
    // A block at the linear `eip` in which each access looks at the tables.
    [[nodiscard]] jit::Block* find_plain(u32 eip);
    void stop_sharing(jit::Block& block);
    // The page that code at the linear address is fetched from; nothing if that is no plain memory,
    // or faults.
    [[nodiscard]] std::optional<jit::BlockCache::CodePage> code_page(u32 linear);
    [[nodiscard]] const u8* known_target(bool user, u32 eip);
    // A place in emitted code that has called C++, and the instruction there.
    struct Place {
        jit::Block& block;
        const jit::Site& site;
    };
    [[nodiscard]] Place locate(const u8* return_address) const;
    // Makes EIP, the count of instructions and the flags those of before the instruction.
    void go_back_to(const Place& place);
    [[nodiscard]] Insn decode_at(const Place& place);
    [[nodiscard]] bool finish_at(const Place& place, bool& near);
    void deliver();
    [[nodiscard]] bool set_stop();

    void reset_return_stacks();
    void sync_fpu();    // what is parked in the context goes to CpuState
    void take_flags();  // from the context to EFLAGS
    void give_flags();
    [[nodiscard]] jit::JumpEntry& jump_entry(bool user, u32 eip);

    void code_written(PhysAddr address, u64 length) override;

    // --- report.cpp: for who looks from outside
    [[nodiscard]] std::vector<TranslatedBlock> blocks() const override;
    [[nodiscard]] bool has_block(u32 eip) const override;
    [[nodiscard]] std::string listing(u32 eip) const override;
    [[nodiscard]] std::string stats_text() const override;
    [[nodiscard]] double tick_ns() const;

    // A stack that guest calls are mirrored on: only ever touched by emitted code.
    class ReturnStack {
      public:
        static constexpr u64 kSize = u64{16} << 20;
        ReturnStack();
        ~ReturnStack();
        [[nodiscard]] u64* bottom() const;
        // How far it has grown, in bytes.
        [[nodiscard]] u64 depth(u64 stack) const { return reinterpret_cast<u64>(bottom()) - stack; }

      private:
        void* base_;
    };

    Cpu& cpu_;
    CpuState& state_;
    jit::JitContext& context_;
    Interpreter interpreter_;
    // One for each privilege {supervisor, user}, so that a system call does not cost the returns of
    // its caller.
    std::array<ReturnStack, 2> returns_;
    std::array<u64, 2> stack_{};  // RSP of emitted code
    u32 flushes_ = 0;             // Mmu::flushes(), when the stacks were last good
    jit::BlockCache cache_;
    jit::TscRate tsc_rate_;
    JitCounters counters_;
    // When it began, by two clocks.
    const std::chrono::steady_clock::time_point made_at_ = std::chrono::steady_clock::now();
    const u64 made_at_tick_;

    u64 end_ = 0;                    // of the budget, as CpuState::instructions counts
    bool shut_down_ = false;         // a fault could not be delivered
    bool entered_user_ = false;      // whose return stack emitted code is on
    u64 stop_ = 0;                   // what was stored as stop_at
    bool code_changed_ = false;      // since emitted code was entered
    jit::Block* escaped_ = nullptr;  // left for its plain self too often
};

}  // namespace ennead::vmcore
