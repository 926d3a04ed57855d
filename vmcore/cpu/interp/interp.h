// SPDX-License-Identifier: MIT
// The interpreter: fetches, decodes and carries out one instruction after the other. It defines the
// machine.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/engine.h"
#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

// Carries out one decoded instruction that stands at state.eip, and moves eip. False: it faulted,
// cpu.fault() says how, and eip still stands at it; delivery is the caller's. What belongs between
// instructions (requests, traps, the interrupt shadow's end) is the caller's too.
[[nodiscard]] bool execute_one(Cpu& cpu, const Insn& insn) noexcept;

// vCPU thread only.
class Interpreter : public Engine {
  public:
    explicit Interpreter(Cpu& cpu);

    ExitReasons run(u64 budget_instructions) override;
    void flush() override;

  private:
    // A decoded instruction with its handler. Decoding depends on nothing but the bytes and the
    // code size; so an entry whose bytes equal those in memory is right, whoever wrote them,
    // wherever they are.
    struct CacheEntry {
        Handler handler;
        Insn insn;
        u8 code_size;  // as CodeSize; 0: empty
        u8 after;      // what the loop has to do when the instruction is done: bits below
    };
    static constexpr u8 kLeaveWindow = 1u << 0;     // CS or the mode may be another
    static constexpr u8 kStackSegment = 1u << 1;    // MOV SS, POP SS: holds off debug traps as well
    static constexpr u8 kInterruptCall = 1u << 2;   // INT n and kin, which clear TF on their way
    static constexpr u8 kPlainShadow = 1u << 3;     // STI: holds off interrupts only
    static constexpr u32 kCacheEntries = 1u << 16;  // a power of two

    // Code that can be fetched without asking anyone: a range of EIP inside one page and the limit
    // of CS.
    struct Window {
        u32 first = 0;
        u32 length = 0;  // 0: none
        const u8* host = nullptr;
        u32 generation = 0;
        u8 code_size = 0;
    };

    enum class Next { fast, careful, again, leave };

    [[nodiscard]] bool needs_attention() const;
    [[nodiscard]] Next attend(ExitReasons& reasons);
    [[nodiscard]] bool take_requests(ExitReasons& reasons, bool& delivered);
    void put_back_requests();
    [[nodiscard]] bool step_carefully();

    [[nodiscard]] const CacheEntry* find();
    [[nodiscard]] const CacheEntry* find_near_end(const u8* bytes, u32 available);
    [[nodiscard]] const CacheEntry* fill(CacheEntry& entry, const u8* bytes, u32 available);
    [[nodiscard]] const CacheEntry* fetch_slowly();
    [[nodiscard]] bool open_window();
    [[nodiscard]] CacheEntry& slot(const u8* bytes) {
        return cache_[reinterpret_cast<std::uintptr_t>(bytes) & (kCacheEntries - 1)];
    }
    static void prepare(CacheEntry& entry, u8 code_size);

    [[nodiscard]] bool execute(const CacheEntry& entry);
    [[nodiscard]] bool deliver(const GuestFault& fault);

    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    Cpu& cpu_;
    CpuState& state_;
    Window window_;
    CacheEntry* cache_ = nullptr;
    std::unique_ptr<void, Free> cache_memory_;
    CacheEntry scratch_{};
    u64 end_ = 0;              // of the budget, as state_.instructions counts
    u32 held_requests_ = 0;    // seen, but masked for now: IF, the shadow, NMI blocking
    bool hold_debug_ = false;  // the shadow is that of a load of SS
};

}  // namespace ennead::vmcore
