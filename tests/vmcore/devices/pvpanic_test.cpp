// SPDX-License-Identifier: MIT
// The port that tells of a panic.
#include "vmcore/devices/pvpanic.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class PvPanicTest : public testing::Test {
  protected:
    int panics = 0;
    std::vector<std::string> lines;
    PvPanic port{[this] { panics++; },
                 Log([this](LogLevel, std::string_view line) { lines.emplace_back(line); })};
};

TEST_F(PvPanicTest, reads_the_events_it_knows) {
    EXPECT_EQ(port.read(0, 1), 3u);
}

TEST_F(PvPanicTest, bit_0_is_a_panic) {
    port.write(0, 1, 1);
    EXPECT_EQ(panics, 1);
    port.write(0, 1, 0xff);
    EXPECT_EQ(panics, 2);
    EXPECT_TRUE(lines.empty());
}

TEST_F(PvPanicTest, a_crash_that_the_guest_handles_is_none) {
    port.write(0, 1, 2);
    EXPECT_EQ(panics, 0);
    EXPECT_EQ(lines,
              std::vector<std::string>{"dev=pvpanic what=guest_handles_its_crash value=0x2"});
}

TEST_F(PvPanicTest, other_bits_mean_nothing_and_do_not_flood_the_log) {
    for (int i = 0; i < 100; i++) {
        port.write(0, 1, 0);
        port.write(0, 1, 0xfc);
    }
    EXPECT_EQ(panics, 0);
    EXPECT_LE(lines.size(), 4u);
    ManualClock clock;
    TimerQueue timers(clock);
    hostile_accesses(port, 1, 1, 505, clock, timers, 1000);
}

}  // namespace
}  // namespace ennead::vmcore
