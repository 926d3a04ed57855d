// SPDX-License-Identifier: MIT
// PUSH, POP and their relatives, with both stack sizes and both operand sizes.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::TestMachine;

constexpr u32 kTop = TestMachine::kStackTop;

TEST(stack, push_esp_pushes_the_value_before) {
    TestMachine machine;
    ASSERT_FALSE(machine.execute("54").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - 4);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), kTop);
}

TEST(stack, pop_esp_ends_with_the_value_popped) {
    TestMachine machine;
    machine.poke<u32>(kTop, 0x12345678);
    ASSERT_FALSE(machine.execute("5c").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], 0x12345678u);
}

TEST(stack, pop_to_an_esp_based_operand_uses_esp_after_the_increment) {
    TestMachine machine;
    machine.poke<u32>(kTop, 0xcafe);
    ASSERT_FALSE(machine.execute("8f 44 24 08").has_value());  // pop dword [esp+8]
    EXPECT_EQ(machine.state.gpr[kEsp], kTop + 4);
    EXPECT_EQ(machine.peek<u32>(kTop + 4 + 8), 0xcafeu);
}

TEST(stack, pop_to_memory_that_faults_leaves_esp) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(TestMachine::kData, 0);
    machine.state.gpr[kEbx] = TestMachine::kData;
    ASSERT_TRUE(machine.execute("8f 03").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
}

TEST(stack, immediates_are_extended_to_the_operand_size) {
    TestMachine machine;
    ASSERT_FALSE(machine.execute("6a 80").has_value());
    EXPECT_EQ(machine.peek<u32>(kTop - 4), 0xffffff80u);
    ASSERT_FALSE(machine.execute("66 68 34 12").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - 6);
    EXPECT_EQ(machine.peek<u16>(kTop - 6), 0x1234u);
}

TEST(stack, a_16_bit_stack_wraps_and_keeps_the_upper_half_of_esp) {
    TestMachine machine(Mode::real);
    machine.state.gpr[kEsp] = 0xabcd0000;
    machine.state.gpr[kEax] = 0x5566;
    ASSERT_FALSE(machine.execute("50").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], 0xabcdfffeu);
    EXPECT_EQ(machine.peek<u16>(0xfffe), 0x5566u);
    ASSERT_FALSE(machine.execute("5b").has_value());
    EXPECT_EQ(machine.state.gpr[kEsp], 0xabcd0000u);
    EXPECT_EQ(machine.state.gpr[kEbx], 0x5566u);
}

TEST(stack, pusha_and_popa_keep_all_but_esp) {
    TestMachine machine;
    auto& gpr = machine.state.gpr;
    for (u32 n = 0; n < 8; ++n) {
        gpr[n] = n == kEsp ? kTop : 0x1000 + n;
    }
    ASSERT_FALSE(machine.execute("60").has_value());
    EXPECT_EQ(gpr[kEsp], kTop - 32);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), 0x1000u + kEax);
    EXPECT_EQ(machine.peek<u32>(kTop - 20), kTop);
    EXPECT_EQ(machine.peek<u32>(kTop - 32), 0x1000u + kEdi);
    for (u32 n = 0; n < 8; ++n) {
        gpr[n] = n == kEsp ? gpr[n] : 0;
    }
    machine.poke<u32>(kTop - 20, 0xdead);
    ASSERT_FALSE(machine.execute("61").has_value());
    for (u32 n = 0; n < 8; ++n) {
        EXPECT_EQ(gpr[n], n == kEsp ? kTop : 0x1000 + n);
    }
}

TEST(stack, pusha_that_faults_halfway_writes_nothing) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kTop - 0x1000, 0);
    machine.state.gpr[kEsp] = kTop + 12;
    machine.poke<u32>(kTop + 8, 0x11223344);
    const auto fault = machine.execute("60");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop + 12);
    EXPECT_EQ(machine.peek<u32>(kTop + 8), 0x11223344u);
}

TEST(stack, enter_makes_frames_and_leave_undoes_them) {
    TestMachine machine;
    auto& gpr = machine.state.gpr;
    gpr[kEbp] = kTop + 0x100;
    machine.poke<u32>(kTop + 0x100 - 4, 0xaaaa);
    machine.poke<u32>(kTop + 0x100 - 8, 0xbbbb);
    ASSERT_FALSE(machine.execute("c8 10 00 03").has_value());
    EXPECT_EQ(gpr[kEbp], kTop - 4);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), kTop + 0x100);
    EXPECT_EQ(machine.peek<u32>(kTop - 8), 0xaaaau);
    EXPECT_EQ(machine.peek<u32>(kTop - 12), 0xbbbbu);
    EXPECT_EQ(machine.peek<u32>(kTop - 16), kTop - 4);
    EXPECT_EQ(gpr[kEsp], kTop - 16 - 16);
    ASSERT_FALSE(machine.execute("c9").has_value());
    EXPECT_EQ(gpr[kEsp], kTop);
    EXPECT_EQ(gpr[kEbp], kTop + 0x100);
}

TEST(stack, enter_checks_the_end_of_the_frame_it_makes) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kTop - 0x2000, 0);
    machine.state.gpr[kEbp] = 0x77;
    const auto fault = machine.execute("c8 00 18 00");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
    EXPECT_EQ(machine.state.gpr[kEbp], 0x77u);
}

}  // namespace
}  // namespace ennead::vmcore
