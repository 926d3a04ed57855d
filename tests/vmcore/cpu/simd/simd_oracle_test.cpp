// SPDX-License-Identifier: MIT
// Every MMX and SSE instruction against the host executing the same bytes: registers, memory,
// flags, MXCSR and what becomes of the x87.
#include <gtest/gtest.h>

#include <set>

#include "tests/vmcore/cpu/simd/simd_machine.h"
#include "vmcore/cpu/decode/print.h"
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

using test::Encoding, test::encodings;
using test::FxImage;
using test::HostState;

constexpr unsigned kSeed = 1999;

class SimdOracle : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!host_.usable()) {
            GTEST_SKIP() << "no executable memory to be had";
        }
    }

    void randomise(u32 masks) {
        CpuState& s = machine_.state;
        s.mxcsr = masks << mxcsr::kMaskShift | (random() & (mxcsr::kRounding | mxcsr::kFlags)) |
                  (random() % 4 == 0 ? mxcsr::kDaz : 0) | (random() % 4 == 0 ? mxcsr::kFtz : 0);
        // A state without exceptions that wait, some registers empty.
        s.x87.status = static_cast<u16>(random() & 0x7f00);
        s.x87.tag = 0;
        for (unsigned n = 0; n < 8; ++n) {
            s.x87.r[n] = {operands_.next().lane<u64>(0), static_cast<u16>(random())};
            s.x87.tag |= static_cast<u16>(random() % 4 == 0 ? 3u << (2 * n) : 0);
            s.xmm[n] = operands_.next();
            s.gpr[n] = random() % 2 == 0 ? static_cast<u32>(random()) : operands_.single();
        }
        s.eflags = eflags::kFixed | (random() & eflags::kArith);
        for (unsigned n = 0; n < memory_.size(); n += 16) {
            const Xmm value = operands_.next();
            std::memcpy(memory_.data() + n, value.bytes.data(), 16);
        }
        machine_.write(test::TestMachine::kData, memory_);
    }

    // Makes `address` (kNoRegister: none) point to the memory operand; the same state for the host,
    // with memory of its own.
    HostState host_state(u8 address) {
        HostState state;
        state.fx = machine_.image();
        for (unsigned n = 0; n < 8; ++n) {
            state.gpr[n] = machine_.state.gpr[n];
        }
        if (address != kNoRegister) {
            machine_.state.gpr[address] = test::TestMachine::kData;
            state.gpr[address] = reinterpret_cast<u64>(memory_.data());
        }
        state.flags = machine_.state.eflags;
        return state;
    }

    bool execute(const Insn& insn) { return execute_one(machine_.cpu, insn); }

    void compare(const HostState& expected, const Insn& insn, u8 address) {
        const CpuState& s = machine_.state;
        ASSERT_EQ(difference(machine_.image(), expected.fx), "") << print(insn, 0);
        for (unsigned n = 0; n < 8; ++n) {
            ASSERT_TRUE(n == kEsp || n == address || s.gpr[n] == expected.gpr[n]) << print(insn, 0);
        }
        ASSERT_EQ(s.eflags & eflags::kArith, expected.flags & eflags::kArith) << print(insn, 0);
        ASSERT_EQ(
            std::memcmp(machine_.at(test::TestMachine::kData), memory_.data(), memory_.size()), 0)
            << print(insn, 0);
    }

    u32 random() { return static_cast<u32>(operands_.random()); }

    test::Operands operands_{kSeed};
    test::SimdMachine machine_;
    test::HostSimd host_;
    alignas(64) std::array<u8, 64> memory_{};
};

TEST_F(SimdOracle, every_instruction_agrees_with_the_host) {
    std::set<std::string_view> names;
    const auto plain = [](const SimdForm& form, const Insn&) { return form.plain; };
    for (const Encoding& encoding : encodings(operands_.random, plain)) {
        const Insn& insn = encoding.insn;
        host_.prepare(encoding.bytes);
        names.insert(opcode_row(insn.row).text);
        for (unsigned round = 0; round < 60; ++round) {
            randomise(0x3f);
            HostState expected = host_state(insn.base);
            ASSERT_TRUE(execute(insn)) << print(insn, 0);
            ASSERT_FALSE(host_.run(expected).has_value());
            ASSERT_NO_FATAL_FAILURE(compare(expected, insn, insn.base))
                << "seed " << kSeed << " round " << round;
        }
    }
    EXPECT_EQ(names.size(), 180u)
        << "all but FXSAVE, FXRSTOR, MXCSR moves, EMMS, CLFLUSH, MASKMOV…";
}

TEST_F(SimdOracle, masked_stores_agree_with_the_host) {
    for (const bool wide : {false, true}) {
        const std::vector<u8> bytes = test::hex(wide ? "66 0f f7 d9" : "0f f7 d9");
        Insn insn;
        ASSERT_EQ(decode(bytes, CodeSize::bits32, insn), DecodeStatus::ok);
        host_.prepare(bytes);
        for (unsigned round = 0; round < 500; ++round) {
            randomise(0x3f);
            HostState expected = host_state(kEdi);
            machine_.state.gpr[kEdi] += round % 16;
            expected.gpr[kEdi] += round % 16;
            ASSERT_TRUE(execute(insn));
            ASSERT_FALSE(host_.run(expected).has_value());
            ASSERT_NO_FATAL_FAILURE(compare(expected, insn, kEdi)) << "round " << round;
        }
    }
}

TEST_F(SimdOracle, compare_predicates_ignore_the_reserved_bits) {
    for (const char* code : {"0f c2 c1", "66 0f c2 c1", "f3 0f c2 c1", "f2 0f c2 c1"}) {
        for (unsigned imm = 0; imm < 256; imm += 5) {
            std::vector<u8> bytes = test::hex(code);
            bytes.push_back(static_cast<u8>(imm));
            Insn insn;
            ASSERT_EQ(decode(bytes, CodeSize::bits32, insn), DecodeStatus::ok);
            host_.prepare(bytes);
            randomise(0x3f);
            HostState expected = host_state(kNoRegister);
            ASSERT_TRUE(execute(insn));
            ASSERT_FALSE(host_.run(expected).has_value());
            ASSERT_NO_FATAL_FAILURE(compare(expected, insn, kNoRegister)) << imm;
        }
    }
}

// The host may trap here, in the test; the implementation never lets it.
TEST_F(SimdOracle, unmasked_exceptions_are_those_the_host_takes) {
    unsigned faults = 0, runs = 0;
    const auto rounding = [](const SimdForm& form, const Insn&) { return form.mxcsr; };
    for (const Encoding& encoding : encodings(operands_.random, rounding)) {
        const Insn& insn = encoding.insn;
        host_.prepare(encoding.bytes);
        for (unsigned round = 0; round < 60; ++round) {
            randomise(random() & 0x3f);
            // Flags that are already set are not exceptions of this instruction.
            HostState expected = host_state(insn.base);
            const FxImage before = machine_.image();
            const u32 eip = machine_.state.eip;
            const bool done = execute(insn);
            const std::optional<u32> trap = host_.run(expected);
            ++runs;
            ASSERT_EQ(done, !trap.has_value())
                << print(insn, 0) << " MXCSR " << std::hex << before.get<u32>(24);
            if (done) {
                ASSERT_NO_FATAL_FAILURE(compare(expected, insn, insn.base));
                continue;
            }
            ++faults;
            FxImage after = before;
            after.put(24, *trap);
            ASSERT_EQ(difference(machine_.image(), after), "")
                << print(insn, 0) << " MXCSR " << std::hex << before.get<u32>(24);
            ASSERT_EQ(machine_.cpu.fault().vector, Vector::xm);
            ASSERT_FALSE(machine_.cpu.fault().has_error_code);
            ASSERT_EQ(machine_.state.eip, eip);
        }
    }
    EXPECT_GT(faults, runs / 5);
}

// Exactness of the rarest case: each arithmetic instruction with results at both ends of the range.
TEST_F(SimdOracle, unmasked_overflow_and_underflow_tell_whether_the_result_is_inexact) {
    const auto arithmetic = [](const SimdForm& form, const Insn& insn) {
        const u8 opcode = insn.opcode;
        return form.mxcsr && !insn.has_memory && insn.reg() < 2 &&
               (opcode == 0x58 || opcode == 0x59 || opcode == 0x5a || opcode == 0x5c ||
                opcode == 0x5e || opcode == 0x7c || opcode == 0x7d || opcode == 0xd0);
    };
    unsigned faults = 0;
    for (const Encoding& encoding : encodings(operands_.random, arithmetic)) {
        host_.prepare(encoding.bytes);
        for (unsigned round = 0; round < 1500; ++round) {
            // Everything masked but overflow, underflow, or both, and sometimes inexact.
            static constexpr u32 kMasks[] = {0x37, 0x2f, 0x27, 0x07};
            randomise(kMasks[round % 4]);
            HostState expected = host_state(kNoRegister);
            FxImage after = machine_.image();
            const bool done = execute(encoding.insn);
            const std::optional<u32> trap = host_.run(expected);
            ASSERT_EQ(done, !trap.has_value()) << print(encoding.insn, 0);
            if (trap) {
                ++faults;
                after.put(24, *trap);
                ASSERT_EQ(difference(machine_.image(), after), "") << print(encoding.insn, 0);
            }
        }
    }
    EXPECT_GT(faults, 1000u);
}

}  // namespace
}  // namespace ennead::vmcore
