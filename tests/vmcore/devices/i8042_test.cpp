// SPDX-License-Identifier: MIT
// The keyboard controller as probes and resets use it.
#include "vmcore/devices/i8042.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class I8042Test : public testing::Test {
  protected:
    void command(u8 v) { chip.command_port().write(0, 1, v); }
    void data(u8 v) { chip.data_port().write(0, 1, v); }
    u32 status() { return chip.command_port().read(0, 1); }
    // The next byte, or -1.
    int next() { return status() & 1 ? static_cast<int>(chip.data_port().read(0, 1)) : -1; }

    bool line = false;
    unsigned edges = 0;
    unsigned resets = 0;
    std::vector<bool> a20;
    I8042 chip{{.irq1 =
                    [this](bool on) {
                        edges += on && !line;
                        line = on;
                    },
                .reset = [this] { resets++; },
                .a20 = [this](bool on) { a20.push_back(on); }}};
};

TEST_F(I8042Test, passes_its_self_test_and_the_keyboard_line_test) {
    EXPECT_EQ(next(), -1);
    command(0xaa);
    EXPECT_EQ(next(), 0x55);
    command(0xab);
    EXPECT_EQ(next(), 0x00);
    EXPECT_EQ(status() & 2, 0u);  // takes the next byte at once
}

TEST_F(I8042Test, configuration_byte_reads_back) {
    command(0x60);
    data(0x74);
    command(0x20);
    EXPECT_EQ(next(), 0x74);
    command(0x65);
    data(0x99);
    command(0x25);
    EXPECT_EQ(next(), 0x99);
}

TEST_F(I8042Test, has_no_auxiliary_port) {
    command(0xd3);
    data(0x5a);
    EXPECT_EQ(status() & 0x21, 0x01u);  // comes back as the keyboard's
    EXPECT_EQ(next(), 0x5a);
    command(0xa9);
    EXPECT_EQ(next(), 0x01);
    command(0xd4);
    data(0xff);
    EXPECT_EQ(next(), -1);
}

TEST_F(I8042Test, keyboard_resets_and_identifies_itself) {
    data(0xff);
    EXPECT_EQ(next(), 0xfa);
    EXPECT_EQ(next(), 0xaa);
    data(0xf2);
    EXPECT_EQ(next(), 0xfa);
    EXPECT_EQ(next(), 0xab);
    EXPECT_EQ(next(), 0x41);  // 83h, translated to set 1
    EXPECT_EQ(next(), -1);
    data(0xed);
    EXPECT_EQ(next(), 0xfa);
    data(0x07);
    EXPECT_EQ(next(), 0xfa);
    data(0xee);
    EXPECT_EQ(next(), 0xee);
    data(0x02);
    EXPECT_EQ(next(), 0xfe);  // no command
}

TEST_F(I8042Test, keyboard_tells_its_scan_code_set) {
    command(0x60);
    data(0x21);  // no translation
    data(0xf0);
    EXPECT_EQ(next(), 0xfa);
    data(0x00);
    EXPECT_EQ(next(), 0xfa);
    EXPECT_EQ(next(), 0x02);
}

TEST_F(I8042Test, each_byte_is_an_edge_of_its_own) {
    data(0xff);
    EXPECT_TRUE(line);
    next();
    EXPECT_TRUE(line);
    next();
    EXPECT_FALSE(line);
    EXPECT_EQ(edges, 2u);
    command(0x60);
    data(0x64);  // interrupt off
    data(0xf4);
    EXPECT_FALSE(line);
    EXPECT_EQ(next(), 0xfa);
}

TEST_F(I8042Test, disabled_keyboard_waits) {
    data(0xff);
    EXPECT_EQ(next(), 0xfa);
    command(0xad);
    EXPECT_EQ(next(), 0xaa);  // was in the output buffer already
    data(0xf2);               // enables it again
    EXPECT_EQ(next(), 0xfa);
}

TEST_F(I8042Test, pulsing_output_bit_0_resets) {
    command(0xfe);
    EXPECT_EQ(resets, 1u);
    command(0xff);
    EXPECT_EQ(resets, 1u);
    command(0xf0);
    EXPECT_EQ(resets, 2u);
    command(0xd1);
    data(0x02);
    EXPECT_EQ(resets, 3u);
    command(0xd1);
    data(0x03);
    EXPECT_EQ(resets, 3u);
}

TEST_F(I8042Test, a20_through_output_port_commands_and_port_92) {
    EXPECT_TRUE(chip.a20());
    command(0xd1);
    data(0xdd);
    EXPECT_FALSE(chip.a20());
    EXPECT_EQ(chip.port92().read(0, 1) & 2, 0u);
    chip.port92().write(0, 1, 2);
    EXPECT_TRUE(chip.a20());
    command(0xdd);
    command(0xdf);
    command(0xd0);
    EXPECT_EQ(next() & 3, 3);
    EXPECT_EQ(a20, (std::vector<bool>{false, true, false, true}));
}

TEST_F(I8042Test, port_92_resets_on_a_rising_bit_0) {
    chip.port92().write(0, 1, 3);
    chip.port92().write(0, 1, 3);
    EXPECT_EQ(resets, 1u);
    chip.port92().write(0, 1, 2);
    chip.port92().write(0, 1, 3);
    EXPECT_EQ(resets, 2u);
}

TEST_F(I8042Test, survives_random_accesses) {
    ManualClock clock;
    TimerQueue timers(clock);
    for (u32 round = 0; round < 200; round++) {
        hostile_accesses(chip.data_port(), 1, 1, round, clock, timers, 20);
        hostile_accesses(chip.command_port(), 1, 1, round, clock, timers, 20);
        hostile_accesses(chip.port92(), 1, 1, round, clock, timers, 5);
    }
}

}  // namespace
}  // namespace ennead::vmcore
