// SPDX-License-Identifier: MIT
// x87 and SSE registers as text: every line can be written back, and a bad one changes nothing.
#include "vmcore/machine/fp_registers.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/vmcore/machine/test_machine.h"

namespace ennead::vmcore {
namespace {

using Assignments = std::vector<std::pair<std::string, WideValue>>;
constexpr u64 kOne = 0x8000000000000000;  // the significand of 1.0, whose exponent is 0x3fff

class FpRegisters : public testing::Test {
  protected:
    [[nodiscard]] std::string text() { return fp_registers_text(cpu); }
    [[nodiscard]] std::string line(const std::string& name) {
        std::istringstream lines(text());
        for (std::string key, value; lines >> key >> value;) {
            if (key == name) {
                return value;
            }
        }
        return "no such line";
    }
    [[nodiscard]] bool refused(const Assignments& assignments, std::size_t at) {
        const std::string before = text();
        std::size_t index = 999;
        const auto done = set_fp_registers(cpu, assignments, &index);
        EXPECT_EQ(text(), before);
        return !done && done.error() == Error::bad_value && index == at;
    }

    test::Told told;
    std::unique_ptr<Machine> machine = test::make_machine(told, test::code::kHello);
    Cpu& cpu = machine->cpu();
};

TEST_F(FpRegisters, text_is_that_of_the_state_after_power_on) {
    std::string wanted;
    for (int i = 0; i < 8; ++i) {
        wanted += "st" + std::to_string(i) + " 0x00000000000000000000\n";
    }
    wanted += "control 0x" + line("control").substr(2) + "\nstatus 0x0000\ntag 0x" +
              line("tag").substr(2) + '\n';
    for (int i = 0; i < 8; ++i) {
        wanted += "xmm" + std::to_string(i) + " 0x00000000000000000000000000000000\n";
    }
    EXPECT_EQ(text(), wanted + "mxcsr 0x00001f80\n");
}

TEST_F(FpRegisters, each_reads_back_what_was_set) {
    ASSERT_TRUE(set_fp_registers(cpu, {{"st3", {kOne, 0x3fff}},
                                       {"control", {0x037f}},
                                       {"xmm7", {0x0123456789abcdef, 0xfedcba9876543210}},
                                       {"xmm0", {0, ~u64{0}}},
                                       {"mxcsr", {0x9fc0}}}));
    EXPECT_EQ(line("st3"), "0x3fff8000000000000000");
    EXPECT_EQ(line("control"), "0x037f");
    EXPECT_EQ(line("xmm7"), "0xfedcba98765432100123456789abcdef");
    EXPECT_EQ(line("xmm0"), "0xffffffffffffffff0000000000000000");
    EXPECT_EQ(line("mxcsr"), "0x00009fc0");
    EXPECT_EQ(cpu.state.xmm[7].lane<u8>(0), 0xef);
    EXPECT_EQ(cpu.state.x87.r[3].sign_exponent, 0x3fff);
}

// TOP 5: ST(0) is R5, whatever the order of the lines; of the tags only emptiness is taken.
TEST_F(FpRegisters, st_is_counted_from_the_top_of_the_same_write) {
    ASSERT_TRUE(set_fp_registers(cpu, {{"tag", {0xf3ff & ~(3u << 10)}},
                                       {"st0", {kOne, 0xbfff}},
                                       {"st1", {0, 0}},
                                       {"control", {0x037f}},
                                       {"status", {5u << 11}}}));
    EXPECT_EQ(cpu.state.x87.r[5].sign_exponent, 0xbfff);
    EXPECT_EQ(cpu.state.x87.r[0].sign_exponent, 0);
    EXPECT_EQ(line("st0"), "0xbfff8000000000000000");
    EXPECT_EQ(line("status"), "0x2800");
    EXPECT_EQ(line("tag"), "0xf3ff");  // R5 valid
    ASSERT_TRUE(set_fp_registers(cpu, {{"st0", {0, 0}}}));
    EXPECT_EQ(line("tag"), "0xf7ff");  // R5 zero
}

TEST_F(FpRegisters, error_summary_follows_from_flags_and_masks) {
    ASSERT_TRUE(set_fp_registers(cpu, {{"status", {0x0004}}, {"control", {0x037b}}}));
    EXPECT_EQ(line("status"), "0x8084");  // ZE, unmasked: ES and B
    ASSERT_TRUE(set_fp_registers(cpu, {{"control", {0x037f}}}));
    EXPECT_EQ(line("status"), "0x0004");
}

TEST_F(FpRegisters, what_was_read_can_be_written_back) {
    ASSERT_TRUE(
        set_fp_registers(cpu, {{"status", {3u << 11}}, {"tag", {0}}, {"st2", {kOne + 5, 0x4001}}}));
    const std::string before = text();
    Assignments all;
    std::istringstream lines(before);
    for (std::string key, value; lines >> key >> value;) {
        const std::string digits = std::string(32, '0') + value.substr(2);
        const std::size_t low = digits.size() - 16;
        all.emplace_back(key, WideValue{std::stoull(digits.substr(low), nullptr, 16),
                                        std::stoull(digits.substr(low - 16, 16), nullptr, 16)});
    }
    ASSERT_EQ(all.size(), 20u);
    cpu.state.x87 = {};
    cpu.state.xmm = {};
    ASSERT_TRUE(set_fp_registers(cpu, all));
    EXPECT_EQ(text(), before);
}

TEST_F(FpRegisters, bad_ones_change_nothing) {
    const std::pair<std::string, WideValue> good{"xmm1", {7}};
    for (const auto& [name, value] : Assignments{{"st8", {}},
                                                 {"ST0", {}},
                                                 {"", {}},
                                                 {"eax", {}},
                                                 {"xmm8", {}},
                                                 {"st0", {0, 0x10000}},
                                                 {"control", {0x10000}},
                                                 {"control", {0, 1}},
                                                 {"status", {0x10000}},
                                                 {"tag", {0x10000}},
                                                 {"mxcsr", {0x10000}},
                                                 {"mxcsr", {0, 1}}}) {
        EXPECT_TRUE(refused({good, {name, value}}, 1)) << name;
    }
}

}  // namespace
}  // namespace ennead::vmcore
