// SPDX-License-Identifier: MIT
// A bare machine for CPU tests: RAM, empty buses, a stub interrupt source, and three modes ready to
// run bytes in.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/jit/jit.h"
#include "vmcore/devices/clock.h"
#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/mem/physical_memory.h"

namespace ennead::vmcore::test {

// Bytes from hexadecimal text: "b8 01 00 00 00".
inline std::vector<u8> hex(std::string_view text) {
    std::vector<u8> bytes;
    int high = -1;
    for (const char c : text) {
        const char* digits = "0123456789abcdef";
        const char* found = c == ' ' || c == '\0' ? nullptr : std::strchr(digits, c);
        if (found == nullptr) {
            continue;
        }
        const int digit = static_cast<int>(found - digits);
        if (high < 0) {
            high = digit;
        } else {
            bytes.push_back(static_cast<u8>(high << 4 | digit));
            high = -1;
        }
    }
    return bytes;
}

// INTR as the test sets it: each vector queued is acknowledged once.
class StubInterrupts : public InterruptSource {
  public:
    bool intr() override { return !vectors.empty(); }
    u8 acknowledge() override {
        const u8 vector = vectors.front();
        vectors.erase(vectors.begin());
        return vector;
    }
    void apic_base_written(u64 value) override { apic_base = value; }
    void tsc_deadline_written(u64 value) override { deadline = value; }
    u64 tsc_deadline() override { return deadline; }
    void ferr_changed(bool asserted) override { ferr = asserted; }

    std::vector<u8> vectors;
    u64 apic_base = 0, deadline = 0;
    bool ferr = false;
};

// Remembers what was written; reads give a counter, so that their order shows.
class RecordingDevice : public Device {
  public:
    struct Write {
        u64 offset;
        unsigned size;
        u32 value;
        bool operator==(const Write&) const = default;
    };
    u32 read(u64, unsigned) override { return next_read++; }
    void write(u64 offset, unsigned size, u32 value) override {
        writes.push_back({offset, size, value});
    }

    u32 next_read = 0x41;
    std::vector<Write> writes;
};

enum class Mode { real, flat16, flat32 };

// The base of suites whose every test runs on the interpreter and on the JIT:
//     class loop : public EngineTest {};
//     ENNEAD_ON_BOTH_ENGINES(loop);
//     TEST_P(loop, …) { TestMachine machine(GetParam()); … }
// What the JIT is to translate wants a budget well above the length of a block: the last
// instructions of a budget are the interpreter's.
class EngineTest : public ::testing::TestWithParam<EngineKind> {};
#define ENNEAD_ON_BOTH_ENGINES(suite)                                           \
    INSTANTIATE_TEST_SUITE_P(                                                   \
        engines, suite, ::testing::Values(EngineKind::interp, EngineKind::jit), \
        [](const auto& kind) { return kind.param == EngineKind::jit ? "jit" : "interp"; })

class TestMachine {
  public:
    // Where things are, as linear addresses. In real mode CS, DS, ES and SS have the bases kCode,
    // kData, kData and 0; in the flat modes every base is 0 and every limit 4 GiB (1 MiB for
    // flat16's 16-bit segments).
    static constexpr u32 kGdt = 0x1000, kIdt = 0x2000, kHandlers = 0x3000, kStackTop = 0x8000,
                         kCode = 0x10000, kData = 0x30000;
    static constexpr u16 kCode32 = 0x08, kData32 = 0x10, kCode16 = 0x18, kData16 = 0x20;
    static constexpr u64 kRamSize = u64{4} << 20;

    explicit TestMachine(Mode mode = Mode::flat32, EngineKind kind = EngineKind::interp)
        : TestMachine(mode, kind, nullptr) {}
    explicit TestMachine(EngineKind kind) : TestMachine(Mode::flat32, kind) {}
    // `time` instead of `clock`.
    TestMachine(EngineKind kind, const Clock& time) : TestMachine(Mode::flat32, kind, &time) {}

  private:
    TestMachine(Mode mode, EngineKind kind, const Clock* time)
        : ram(std::move(GuestRam::create(kRamSize)).value()),
          memory(*ram, mmio),
          cpu(arena, CpuWiring{memory, ports, interrupts, time == nullptr ? clock : *time, Log()}),
          engine_(make_engine(kind, cpu)),
          engine(*engine_) {
        reset(mode);
    }

  public:
    // Registers and tables as new; RAM keeps what else it holds.
    void reset(Mode mode) {
        state.reset();
        mode_ = mode;
        write_tables();
        if (mode == Mode::real) {
            enter_real();
        } else {
            enter_protected(mode);
        }
        state.gpr = {};
        state.gpr[kEsp] = kStackTop;
        state.eflags = eflags::kFixed;
        engine.flush();
    }

    // --- memory, by physical address
    // -----------------------------------------------------------------------------
    [[nodiscard]] u8* at(u32 address) { return ram->base() + address; }
    void write(u32 address, std::span<const u8> bytes) {
        std::copy(bytes.begin(), bytes.end(), at(address));
        ram->written(PhysAddr{address}, bytes.size());
    }
    void write(u32 address, std::string_view hex_bytes) { write(address, hex(hex_bytes)); }
    template <class T>
    void poke(u32 address, T value) {
        std::memcpy(at(address), &value, sizeof(T));
        ram->written(PhysAddr{address}, sizeof(T));
    }
    template <class T>
    [[nodiscard]] T peek(u32 address) {
        T value;
        std::memcpy(&value, at(address), sizeof(T));
        return value;
    }

    // Identity paging of all RAM by 4 KB pages, everything present, writable, for user and
    // supervisor. Single entries are then changed by page(), with 0 for not present.
    static constexpr u32 kDirectory = 0x100000, kPageTable = 0x101000;
    void enable_paging() {
        poke<u32>(kDirectory, kPageTable | 7);
        for (u32 n = 0; n < 1024; ++n) {
            poke<u32>(kPageTable + n * 4, n * kPageSize | 7);
        }
        state.cr3 = kDirectory;
        state.cr0 |= cr0::kPg;
        engine.flush();
    }
    void page(u32 linear, u32 entry) {
        poke<u32>(kPageTable + linear / kPageSize * 4, entry);
        engine.flush();
    }

    // --- running
    // -------------------------------------------------------------------------------------------------------
    // Puts code at kCode, where EIP is made to stand.
    void code(std::span<const u8> bytes) {
        write(kCode, bytes);
        state.eip = mode_ == Mode::real ? 0 : kCode;
    }
    void code(std::string_view hex_bytes) { code(hex(hex_bytes)); }

    // Up to `budget` instructions by the engine: requests, traps and delivery included.
    ExitReasons run(u64 budget) { return engine.run(budget); }
    ExitReasons run(std::string_view hex_bytes, u64 budget) {
        code(hex_bytes);
        return run(budget);
    }

    // One instruction without delivery: the fault it raised, or nothing if it succeeded.
    std::optional<GuestFault> execute(std::span<const u8> bytes) {
        const CodeSize size = state.segment(Seg::cs).big() ? CodeSize::bits32 : CodeSize::bits16;
        Insn insn;
        if (decode(bytes, size, insn) != DecodeStatus::ok) {
            ADD_FAILURE() << "not a whole instruction";
            return std::nullopt;
        }
        code(bytes);
        if (execute_one(cpu, insn)) {
            return std::nullopt;
        }
        return cpu.fault();
    }
    std::optional<GuestFault> execute(std::string_view hex_bytes) {
        return execute(hex(hex_bytes));
    }

    // The exception or interrupt whose handler (a HLT each) the CPU halted in, if it did.
    [[nodiscard]] std::optional<unsigned> halted_in_handler() const {
        const u32 address = state.segment(Seg::cs).base + state.eip - 1;
        if (!state.halted || address < kHandlers || address >= kHandlers + 256 * 16) {
            return std::nullopt;
        }
        return (address - kHandlers) / 16;
    }

    std::unique_ptr<GuestRam> ram;
    Bus mmio, ports;
    PhysicalMemory memory;
    StubInterrupts interrupts;
    ManualClock clock;
    CpuArena arena;
    CpuState& state = arena.state();
    Cpu cpu;

  private:
    std::unique_ptr<Engine> engine_;

  public:
    Engine& engine;

  private:
    // The JIT with the interpreter's flags at every instruction.
    static std::unique_ptr<Engine> make_engine(EngineKind kind, Cpu& cpu) {
        if (kind == EngineKind::interp) {
            return std::make_unique<Interpreter>(cpu);
        }
        auto jit = std::make_unique<Jit>(cpu);
        jit->set_exact_flags(true);
        return jit;
    }

    void write_tables() {
        constexpr std::array<u64, 5> kDescriptors = {
            0,
            0x00cf9b000000ffff,  // code, 32 bits, 4 GiB
            0x00cf93000000ffff,  // data, 32 bits, 4 GiB
            0x000f9b000000ffff,  // code, 16 bits, 1 MiB
            0x000f93000000ffff,  // data, 16 bits, 1 MiB
        };
        std::memcpy(at(kGdt), kDescriptors.data(), sizeof kDescriptors);
        for (u32 n = 0; n < 256; ++n) {
            const u32 handler = kHandlers + n * 16;
            poke<u8>(handler, 0xf4);
            if (mode_ == Mode::real) {
                poke<u32>(n * 4, (kHandlers >> 4) << 16 | n * 16);
            } else {
                poke<u64>(kIdt + n * 8, u64{handler & 0xffff0000} << 32 | u64{0x8e00} << 32 |
                                            u64{kCode32} << 16 | (handler & 0xffff));
            }
        }
    }

    void set_segment(Seg seg, u16 selector, u32 base, u32 limit, u16 attr) {
        state.segment(seg) =
            Segment{.base = base, .limit = limit, .selector = selector, .attr = attr};
    }

    void enter_real() {
        constexpr u16 kRealData = 0x93, kRealCode = 0x9b;
        for (const Seg seg : {Seg::es, Seg::ds, Seg::fs, Seg::gs}) {
            set_segment(seg, kData >> 4, kData, 0xffff, kRealData);
        }
        set_segment(Seg::ss, 0, 0, 0xffff, kRealData);
        set_segment(Seg::cs, kCode >> 4, kCode, 0xffff, kRealCode);
        state.idtr = {0, 0x3ff};
        state.eip = 0;
    }

    void enter_protected(Mode mode) {
        const bool wide = mode == Mode::flat32;
        const u32 limit = wide ? 0xffffffff : 0xfffff;
        const u16 size = wide ? Segment::kBig | Segment::kGranular : 0;
        state.cr0 |= cr0::kPe;
        for (const Seg seg : {Seg::es, Seg::ss, Seg::ds, Seg::fs, Seg::gs}) {
            set_segment(seg, wide ? kData32 : kData16, 0, limit, 0x93 | size);
        }
        set_segment(Seg::cs, wide ? kCode32 : kCode16, 0, limit, 0x9b | size);
        state.gdtr = {kGdt, 5 * 8 - 1};
        state.idtr = {kIdt, 256 * 8 - 1};
        state.eip = kCode;
    }

    Mode mode_ = Mode::flat32;
};

}  // namespace ennead::vmcore::test
