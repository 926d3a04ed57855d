// SPDX-License-Identifier: MIT
// Near branches: targets, limits, operand and address sizes.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::TestMachine;

constexpr u32 kCode = TestMachine::kCode, kTop = TestMachine::kStackTop;

TEST(branch, call_and_return_with_both_operand_sizes) {
    TestMachine machine;
    ASSERT_FALSE(machine.execute("e8 10 00 00 00").has_value());
    EXPECT_EQ(machine.state.eip, kCode + 0x15);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), kCode + 5);
    ASSERT_FALSE(machine.execute("c2 08 00").has_value());
    EXPECT_EQ(machine.state.eip, kCode + 5);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop + 8);
    // A 16-bit call clears the upper half of EIP and pushes a word.
    machine.state.gpr[kEsp] = kTop;
    ASSERT_FALSE(machine.execute("66 e8 10 00").has_value());
    EXPECT_EQ(machine.state.eip, (kCode + 0x14) & 0xffff);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - 2);
    EXPECT_EQ(machine.peek<u16>(kTop - 2), (kCode + 4) & 0xffff);
}

TEST(branch, sixteen_bit_targets_wrap) {
    TestMachine machine(Mode::real);
    ASSERT_FALSE(machine.execute("eb fc").has_value());  // jmp -4
    EXPECT_EQ(machine.state.eip, 0xfffeu);
}

TEST(branch, a_target_beyond_the_limit_changes_nothing) {
    TestMachine machine(Mode::real);
    machine.state.gpr[kEax] = 0x12345;
    machine.state.gpr[kEcx] = 5;
    for (const char* bytes : {"66 ff e0", "66 ff d0", "66 67 e2 f0"}) {
        const auto fault = machine.execute(bytes);
        ASSERT_TRUE(fault.has_value()) << bytes;
        EXPECT_EQ(fault->vector, Vector::gp);
        EXPECT_EQ(fault->error_code, 0);
        EXPECT_EQ(machine.state.gpr[kEsp], kTop);
        EXPECT_EQ(machine.state.gpr[kEcx], 5u);
        EXPECT_EQ(machine.state.eip, 0u);
    }
    machine.poke<u32>(kTop, 0x12345);
    EXPECT_TRUE(machine.execute("66 c3").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
}

TEST(branch, indirect_through_memory) {
    TestMachine machine;
    machine.poke<u32>(TestMachine::kData, 0x4444);
    machine.state.gpr[kEbx] = TestMachine::kData;
    ASSERT_FALSE(machine.execute("ff 23").has_value());
    EXPECT_EQ(machine.state.eip, 0x4444u);
    ASSERT_FALSE(machine.execute("ff 13").has_value());
    EXPECT_EQ(machine.state.eip, 0x4444u);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), kCode + 2);
    // The target is read with the old ESP.
    machine.poke<u32>(kTop, 0x5555);
    machine.state.gpr[kEsp] = kTop;
    ASSERT_FALSE(machine.execute("ff 14 24").has_value());  // call [esp]
    EXPECT_EQ(machine.state.eip, 0x5555u);
}

TEST(branch, loops_count_by_address_size) {
    TestMachine machine;
    machine.state.gpr[kEcx] = 0x10000;
    ASSERT_FALSE(machine.execute("67 e2 10").has_value());  // CX: 0 becomes ffff
    EXPECT_EQ(machine.state.gpr[kEcx], 0x1ffffu);
    EXPECT_EQ(machine.state.eip, kCode + 3 + 0x10);
    machine.state.gpr[kEcx] = 1;
    ASSERT_FALSE(machine.execute("e2 10").has_value());
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.state.eip, kCode + 2);
    machine.state.gpr[kEcx] = 5;
    machine.state.eflags = eflags::kFixed | eflags::kZf;
    ASSERT_FALSE(machine.execute("e0 10").has_value());  // loopne
    EXPECT_EQ(machine.state.eip, kCode + 2);
    ASSERT_FALSE(machine.execute("e1 10").has_value());  // loope
    EXPECT_EQ(machine.state.eip, kCode + 2 + 0x10);
    EXPECT_EQ(machine.state.gpr[kEcx], 3u);
    EXPECT_EQ(machine.state.eflags, eflags::kFixed | eflags::kZf);
    machine.state.gpr[kEcx] = 0x10000;
    ASSERT_FALSE(machine.execute("67 e3 10").has_value());  // jcxz
    EXPECT_EQ(machine.state.eip, kCode + 3 + 0x10);
    ASSERT_FALSE(machine.execute("e3 10").has_value());  // jecxz
    EXPECT_EQ(machine.state.eip, kCode + 2);
}

TEST(branch, bound_is_signed_and_inclusive) {
    TestMachine machine;
    machine.poke<i32>(TestMachine::kData, -3);
    machine.poke<i32>(TestMachine::kData + 4, 7);
    machine.state.gpr[kEbx] = TestMachine::kData;
    for (const i32 index : {-3, 0, 7}) {
        machine.state.gpr[kEax] = static_cast<u32>(index);
        EXPECT_FALSE(machine.execute("62 03").has_value()) << index;
    }
    for (const i32 index : {-4, 8}) {
        machine.state.gpr[kEax] = static_cast<u32>(index);
        const auto fault = machine.execute("62 03");
        ASSERT_TRUE(fault.has_value()) << index;
        EXPECT_EQ(fault->vector, Vector::br);
    }
}

}  // namespace
}  // namespace ennead::vmcore
