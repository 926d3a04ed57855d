// SPDX-License-Identifier: MIT
// The debug console, and the ports that only remember.
#include "vmcore/devices/debug_port.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/vmcore/devices/hostile.h"
#include "vmcore/devices/scratch_ports.h"

namespace ennead::vmcore {
namespace {

class DebugPortTest : public testing::Test {
  protected:
    void print(const std::string& text) {
        for (const char c : text) {
            port.write(0, 1, static_cast<u8>(c));
        }
    }
    std::vector<std::string> lines;
    DebugPort port{[this](std::string_view line) { lines.emplace_back(line); }};
};

TEST_F(DebugPortTest, reads_e9) {
    EXPECT_EQ(port.read(0, 1), 0xe9u);
}

TEST_F(DebugPortTest, hands_over_whole_lines) {
    print("one\r\ntw");
    EXPECT_EQ(lines, std::vector<std::string>{"one"});
    print("o\n\nthree");
    EXPECT_EQ(lines.size(), 2u);  // empty lines are dropped
    port.flush();
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(DebugPortTest, breaks_endless_lines) {
    print(std::string(1000, 'x'));
    EXPECT_EQ(lines.size(), 1000 / DebugPort::kMaxLine);
}

TEST_F(DebugPortTest, keeps_control_sequences_out_of_the_log) {
    print("\x1b[31m\tred\x80\n");
    EXPECT_EQ(lines, std::vector<std::string>{"?[31m\tred?"});
}

TEST(ScratchPortsTest, remember_each_byte) {
    ScratchPorts ports;
    ports.write(0, 1, 0x12);
    ports.write(15, 1, 0x34);
    EXPECT_EQ(ports.read(0, 1), 0x12u);
    EXPECT_EQ(ports.read(15, 1), 0x34u);
    ports.reset();
    EXPECT_EQ(ports.read(15, 1), 0u);
    ManualClock clock;
    TimerQueue timers(clock);
    hostile_accesses(ports, ScratchPorts::kCount, 1, 80, clock, timers, 1000);
}

}  // namespace
}  // namespace ennead::vmcore
