// SPDX-License-Identifier: MIT
// Jumps by way of a linker's table: they expect the target they had, and obey when it is another.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::TestMachine;

constexpr u32 kCode = TestMachine::kCode, kData = TestMachine::kData;
constexpr u32 kTargets = kCode + 0x2000;  // in a page of their own, 16 bytes each
constexpr u64 kBudget = 1'000'000;

class guessed_jump : public test::EngineTest {
  protected:
    // kCode: again: call kCode+0x100; dec ecx; jnz again; hlt     kCode+0x100: jmp [kData]
    // Target n: inc byte [kData + 0x100 + n]; ret
    static void load(TestMachine& machine) {
        machine.write(kCode, "e8 fb 00 00 00 49 75 f8 f4");
        machine.write(kCode + 0x100, "ff 25 00 00 03 00");
        for (u8 n = 0; n < 8; ++n) {
            machine.write(target(n), "fe 05 00 01 03 00 c3");
            machine.poke<u8>(target(n) + 2, n);
        }
    }
    static u32 target(u32 n) { return kTargets + n * 16; }
    static void call(TestMachine& machine, u32 n, u32 times) {
        machine.poke<u32>(kData, target(n));
        machine.state.gpr[kEcx] = times;
        machine.state.eip = kCode;
        machine.state.halted = false;
        ASSERT_TRUE(machine.run(kBudget).halted);
    }
    static u8 calls_of(TestMachine& machine, u32 n) { return machine.peek<u8>(kData + 0x100 + n); }
};
ENNEAD_ON_BOTH_ENGINES(guessed_jump);

TEST_P(guessed_jump, goes_where_the_table_says) {
    TestMachine machine(GetParam());
    load(machine);
    for (int round = 0; round < 3; ++round) {
        for (u32 n = 0; n < 8; ++n) {
            call(machine, n, 3);
        }
    }
    for (u32 n = 0; n < 8; ++n) {
        EXPECT_EQ(calls_of(machine, n), 9) << n;
    }
}

// As when a linker finds a function at its first call.
TEST_P(guessed_jump, obeys_a_target_that_changes_the_table) {
    TestMachine machine(GetParam());
    load(machine);
    // mov dword [kData],target(1); jmp [kData]
    machine.write(target(0), "c7 05 00 00 03 00 10 20 01 00 ff 25 00 00 03 00");
    ASSERT_EQ(target(1), 0x12010u);
    call(machine, 0, 100);
    EXPECT_EQ(calls_of(machine, 0), 0);
    EXPECT_EQ(calls_of(machine, 1), 100);
}

TEST_P(guessed_jump, finds_what_is_mapped_at_its_target_by_now) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    load(machine);
    call(machine, 2, 5);
    constexpr u32 kOther = kTargets + 0x3000;
    machine.write(kOther + 2 * 16, "fe 05 07 01 03 00 c3");  // counts as target 7
    machine.page(kTargets, kOther | 7);
    call(machine, 2, 5);
    EXPECT_EQ(calls_of(machine, 2), 5);
    EXPECT_EQ(calls_of(machine, 7), 5);
    machine.page(kTargets, 0);
    machine.poke<u32>(kData, target(2));
    machine.state.gpr[kEcx] = 1;
    machine.state.eip = kCode;
    machine.state.halted = false;
    ASSERT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.state.cr2, target(2));
}

TEST_P(guessed_jump, follows_code_that_is_written_at_its_target) {
    TestMachine machine(GetParam());
    load(machine);
    for (u8 n = 0; n < 6; ++n) {
        machine.poke<u8>(target(3) + 2, n);
        call(machine, 3, 4);
        EXPECT_EQ(calls_of(machine, n), 4) << unsigned{n};
    }
}

TEST_P(guessed_jump, keeps_the_flags) {
    TestMachine machine(GetParam());
    load(machine);
    machine.write(target(0), "0f 92 05 00 01 03 00 c3");  // setc [kData+0x100]; ret
    // stc; call kCode+0x100; clc; hlt
    for (int round = 0; round < 4; ++round) {
        machine.poke<u32>(kData, target(0));
        machine.poke<u8>(kData + 0x100, 0);
        machine.write(kCode + 0x200, "f9 e8 fa fe ff ff f8 f4");
        machine.state.eip = kCode + 0x200;
        machine.state.halted = false;
        ASSERT_TRUE(machine.run(kBudget).halted);
        EXPECT_EQ(machine.peek<u8>(kData + 0x100), 1);
    }
}

}  // namespace
}  // namespace ennead::vmcore
