// SPDX-License-Identifier: MIT
// RDTSC by a clock that follows the host's counter: never back, never ahead of the clock, and close
// behind it.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/vmcore/cpu/test_machine.h"
#include "vmcore/machine/host_clock.h"

namespace ennead::vmcore::test {
namespace {

class rdtsc : public EngineTest {};
ENNEAD_ON_BOTH_ENGINES(rdtsc);

constexpr u32 kReadings = 30'000;

// RDTSC into a table of 64-bit readings, ECX times.
//     again: rdtsc; mov [edi], eax; mov [edi+4], edx; add edi, 8; dec ecx; jnz again; hlt
constexpr std::string_view kLoop = "0f31 8907 895704 83c708 49 75f3 f4";

class Readings {
  public:
    explicit Readings(EngineKind kind) : machine_(kind, clock_) { clock_.run(); }
    // Each call's readings come after those of the call before.
    void take() {
        machine_.state.gpr[kEcx] = kReadings;
        machine_.state.gpr[kEdi] = TestMachine::kData;
        machine_.state.halted = 0;
        machine_.code(kLoop);
        const u64 before = clock_.now_ns();
        while (!machine_.run(1'000'000).halted) {
        }
        const u64 after = clock_.now_ns();
        for (u32 n = 0; n < kReadings; ++n) {
            const auto now =
                machine_.peek<u64>(TestMachine::kData + n * 8) - machine_.state.tsc_offset;
            ASSERT_GE(now, last_) << "went back at reading " << n;
            last_ = now;
        }
        ASSERT_GE(machine_.peek<u64>(TestMachine::kData) - machine_.state.tsc_offset, before);
        ASSERT_LE(last_, after);
    }
    TestMachine& machine() { return machine_; }
    HostClock& clock() { return clock_; }

  private:
    HostClock clock_;
    TestMachine machine_;
    u64 last_ = 0;
};

TEST_P(rdtsc, never_goes_back_and_is_never_ahead) {
    Readings readings(GetParam());
    for (int n = 0; n < 60; ++n) {
        ASSERT_NO_FATAL_FAILURE(readings.take());
    }
}

TEST_P(rdtsc, stands_still_with_the_clock) {
    Readings readings(GetParam());
    for (int n = 0; n < 30; ++n) {
        ASSERT_NO_FATAL_FAILURE(readings.take());
        readings.clock().stop();
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        const u64 stopped = readings.clock().now_ns();
        readings.clock().run();
        ASSERT_NO_FATAL_FAILURE(readings.take());
        ASSERT_LT(readings.clock().now_ns(), stopped + 1'000'000'000);
    }
}

TEST_P(rdtsc, obeys_the_offset_at_once) {
    Readings readings(GetParam());
    ASSERT_NO_FATAL_FAILURE(readings.take());
    readings.machine().state.tsc_offset = u64{1} << 40;
    ASSERT_NO_FATAL_FAILURE(readings.take());
    readings.machine().state.tsc_offset = u64{0} - 12345;
    ASSERT_NO_FATAL_FAILURE(readings.take());
}

// There is no task whose stack a handler could have: the fault is the machine's end.
TEST_P(rdtsc, is_forbidden_by_tsd_at_cpl_3) {
    Readings readings(GetParam());
    ASSERT_NO_FATAL_FAILURE(readings.take());
    TestMachine& machine = readings.machine();
    for (const Seg seg : {Seg::cs, Seg::ss}) {
        machine.state.segment(seg).selector |= 3;
        machine.state.segment(seg).attr |= 3 << 5;
    }
    machine.state.cpl = 3;
    machine.state.halted = 0;
    machine.cpu.mode_changed();
    constexpr std::string_view kCode = "0f31 ebfe";
    machine.state.gpr[kEax] = machine.state.gpr[kEdx] = 7;
    EXPECT_TRUE(machine.run(kCode, 10'000).budget);
    EXPECT_NE(machine.state.gpr[kEax], 7u);
    machine.state.cr4 |= cr4::kTsd;
    machine.state.gpr[kEax] = machine.state.gpr[kEdx] = 7;
    EXPECT_TRUE(machine.run(kCode, 10'000).shutdown);
    EXPECT_EQ(machine.state.gpr[kEax], 7u);
    EXPECT_EQ(machine.state.gpr[kEdx], 7u);
}

}  // namespace
}  // namespace ennead::vmcore::test
