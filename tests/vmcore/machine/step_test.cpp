// SPDX-License-Identifier: MIT
// step(): exactly so many instructions, whatever they are, on both engines.
#include "tests/vmcore/machine/vcpu_fixture.h"

namespace ennead::vmcore {
namespace {

namespace code = test::code;

using test::kHandler;
using test::kStack;
using test::kStart;
using test::with_handler;

class StepTest : public test::GuestOnEngineTest {};

TEST_P(StepTest, does_one_instruction_after_the_other) {
    make(code::kSpin);
    step(1);
    EXPECT_EQ(eip(), kStart + 6);
    EXPECT_EQ(spun(), 1u);
    EXPECT_EQ(instructions(), 1u);
    step(1);
    EXPECT_EQ(eip(), kStart);
    step(5);
    EXPECT_EQ(eip(), kStart + 6);
    EXPECT_EQ(spun(), 4u);
    EXPECT_EQ(instructions(), 7u);
    EXPECT_EQ(state(), RunState::paused);
    const std::lock_guard lock(mutex);
    ASSERT_EQ(changes.size(), 6u);
    for (std::size_t i = 0; i < changes.size(); ++i) {
        EXPECT_EQ(changes[i].state, i % 2 == 0 ? RunState::running : RunState::paused);
    }
}

TEST_P(StepTest, long_walk_is_exact_and_stops_the_clock) {
    make(code::kSpin);
    step(200'001);
    ASSERT_TRUE(comes_to_pause());
    EXPECT_EQ(eip(), kStart + 6);
    EXPECT_EQ(spun(), 100'001u);
    EXPECT_EQ(instructions(), 200'001u);
    const u64 stopped = now_ns();
    EXPECT_GT(stopped, 0u);
    EXPECT_EQ(now_ns(), stopped);
}

TEST_P(StepTest, walk_that_has_begun_lets_commands_in_and_ends_with_a_pause) {
    make(code::kSpin);
    step(u64{1} << 60);
    EXPECT_EQ(state(), RunState::running);
    const u32 count = spun();
    while (spun() == count) {
    }
    act([](Vcpu& v) {
        v.step(1);  // it walks already
        v.pause();
    });
    const u64 done = instructions();
    EXPECT_EQ(instructions(), done);
    step(1);
    EXPECT_EQ(instructions(), done + 1);
    EXPECT_EQ(state(), RunState::paused);
    resume();
    while (instructions() < done + 1'000'000) {
    }
    EXPECT_EQ(state(), RunState::running);
}

TEST_P(StepTest, exception_is_one_and_its_handler_stands_next) {
    make(with_handler({0x0f, 0x0b}));  // ud2
    handle(6);
    step(1);
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(instructions(), 0u);
    EXPECT_EQ(reg(kEsp), kStack - 12);
    EXPECT_EQ(ask([](Vcpu& v) {
                  u32 pushed = 0;
                  std::memcpy(&pushed, v.machine().ram().base() + kStack - 12, sizeof pushed);
                  return pushed;
              }),
              kStart);
    EXPECT_EQ(reg(kEax), 0u);
    step(1);
    EXPECT_EQ(eip(), kHandler + 1);
    EXPECT_EQ(reg(kEax), 1u);
}

TEST_P(StepTest, software_interrupt_is_one) {
    make(with_handler({0xcd, 0x30}));  // int 30h
    handle(0x30);
    step(1);
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(instructions(), 1u);
}

TEST_P(StepTest, interrupt_comes_first_and_is_none) {
    make(with_handler({0x90}));
    handle(2);
    act([](Vcpu& v) { v.machine().raise_nmi(); });
    step(1);
    EXPECT_EQ(eip(), kHandler + 1);
    EXPECT_EQ(reg(kEax), 1u);
    EXPECT_EQ(instructions(), 1u);
}

TEST_P(StepTest, single_step_trap_of_the_guest_is_one) {
    make(with_handler({0x90, 0x90}));
    handle(1);
    act([](Vcpu& v) { v.machine().cpu().state.eflags |= eflags::kTf; });
    step(1);
    EXPECT_EQ(eip(), kStart + 1);
    step(1);
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(instructions(), 1u);
}

TEST_P(StepTest, hlt_is_one_and_the_next_waits_for_what_wakes_it) {
    make(with_handler({0xfa, 0xf4, 0x90}));  // cli; hlt; nop
    handle(2);
    step(2);
    EXPECT_EQ(state(), RunState::paused);
    EXPECT_TRUE(ask([](Vcpu& v) { return v.machine().cpu().state.halted; }));
    EXPECT_EQ(eip(), kStart + 2);
    step(1);
    EXPECT_EQ(state(), RunState::running);
    EXPECT_EQ(eip(), kStart + 2);
    act([](Vcpu& v) { v.machine().raise_nmi(); });
    ASSERT_TRUE(comes_to_pause());
    EXPECT_EQ(eip(), kHandler + 1);
    EXPECT_EQ(instructions(), 3u);
}

TEST_P(StepTest, pause_ends_a_wait_in_hlt) {
    make({0xfa, 0xf4, 0x90});
    step(3);
    EXPECT_EQ(state(), RunState::running);
    act([](Vcpu& v) { v.pause(); });
    EXPECT_EQ(state(), RunState::paused);
    EXPECT_EQ(instructions(), 2u);
}

TEST_P(StepTest, repeated_string_instruction_is_one_for_every_part) {
    make({0xf3, 0xaa, 0x90});  // rep stosb; nop
    const auto prepare = [](u32 count) {
        return [count](Vcpu& v) {
            CpuState& state = v.machine().cpu().state;
            state.eip = kStart;
            state.gpr[kEdi] = 0x300000;
            state.gpr[kEcx] = count;
        };
    };
    act(prepare(10));
    step(1);
    EXPECT_EQ(eip(), kStart + 2);
    EXPECT_EQ(reg(kEcx), 0u);
    EXPECT_EQ(reg(kEdi), 0x30000au);
    act(prepare(10'000));
    step(1);
    EXPECT_EQ(eip(), kStart);
    EXPECT_EQ(reg(kEcx), 10'000u - 4096);
    step(2);
    EXPECT_EQ(eip(), kStart + 2);
    EXPECT_EQ(reg(kEcx), 0u);
}

TEST_P(StepTest, triple_fault_resets_and_is_one) {
    make(code::kTripleFault);
    step(1);
    EXPECT_EQ(state(), RunState::paused);
    EXPECT_EQ(eip(), kStart);
    EXPECT_NE(told.get(told.log).find("what=triple_fault"), std::string::npos);
}

TEST_P(StepTest, guest_that_switches_itself_off_is_off) {
    make(code::kPowerOff);
    step(1000);
    EXPECT_EQ(off_reason(), OffReason::poweroff);
    EXPECT_EQ(state(), RunState::off);
    step(1);
    EXPECT_EQ(state(), RunState::off);
}

TEST_P(StepTest, output_comes_out_with_the_instruction_that_makes_it) {
    make(code::kHello);
    step(6);
    EXPECT_EQ(told.get(told.com1), "h");
    step(2);
    EXPECT_EQ(told.get(told.com1), "hi");
}

TEST_P(StepTest, none_are_none) {
    make(code::kSpin);
    step(0);
    EXPECT_EQ(eip(), kStart);
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(changes.empty());
}

INSTANTIATE_TEST_SUITE_P(Engines, StepTest, test::kEngines, test::engine_name);

}  // namespace
}  // namespace ennead::vmcore
