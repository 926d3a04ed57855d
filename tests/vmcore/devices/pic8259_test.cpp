// SPDX-License-Identifier: MIT
// The 8259 pair against its data sheet.
#include "vmcore/devices/pic8259.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class Pic8259Test : public testing::Test {
  protected:
    // As a PC's BIOS does, with vectors 8 and 70h and everything unmasked.
    void initialise(u8 icw4 = 0x01) {
        master(0, 0x11);
        master(1, 0x08);
        master(1, 0x04);
        master(1, icw4);
        slave(0, 0x11);
        slave(1, 0x70);
        slave(1, 0x02);
        slave(1, icw4);
        master(1, 0x00);
        slave(1, 0x00);
    }
    void master(unsigned a0, u8 value) { pic.master_ports().write(a0, 1, value); }
    void slave(unsigned a0, u8 value) { pic.slave_ports().write(a0, 1, value); }
    u32 read_master(unsigned a0) { return pic.master_ports().read(a0, 1); }
    u32 read_slave(unsigned a0) { return pic.slave_ports().read(a0, 1); }
    void pulse(unsigned irq) {
        pic.set_irq(irq, false);
        pic.set_irq(irq, true);
    }

    std::vector<bool> intr_changes;
    Pic8259 pic{[this](bool on) { intr_changes.push_back(on); }};
};

TEST_F(Pic8259Test, delivers_nothing_before_initialisation) {
    pic.set_irq(1, true);
    EXPECT_FALSE(pic.intr());
}

TEST_F(Pic8259Test, gives_the_vector_of_the_input) {
    initialise();
    pic.set_irq(3, true);
    ASSERT_TRUE(pic.intr());
    EXPECT_EQ(pic.acknowledge(), 0x0b);
    EXPECT_FALSE(pic.intr());
    EXPECT_EQ(intr_changes, (std::vector<bool>{true, false}));
}

TEST_F(Pic8259Test, takes_the_base_from_bits_7_to_3_of_icw2) {
    master(0, 0x11);
    master(1, 0x2f);
    master(1, 0x04);
    master(1, 0x01);
    master(1, 0x00);
    pic.set_irq(0, true);
    EXPECT_EQ(pic.acknowledge(), 0x28);
}

TEST_F(Pic8259Test, skips_icw3_when_single_and_icw4_when_not_needed) {
    master(0, 0x12);  // SNGL, no ICW4
    master(1, 0x40);
    master(1, 0xfe);  // already OCW1
    pic.set_irq(0, true);
    pic.set_irq(1, true);
    EXPECT_EQ(read_master(1), 0xfeu);
    EXPECT_EQ(pic.acknowledge(), 0x40);
}

TEST_F(Pic8259Test, initialisation_clears_mask_and_pending_edges) {
    initialise();
    master(1, 0xff);
    pic.set_irq(5, true);
    master(0, 0x11);
    master(1, 0x08);
    master(1, 0x04);
    master(1, 0x01);
    EXPECT_EQ(read_master(1), 0u);
    EXPECT_FALSE(pic.intr());  // the edge came before ICW1
    pulse(5);
    EXPECT_TRUE(pic.intr());
}

TEST_F(Pic8259Test, slave_requests_come_through_input_2) {
    initialise();
    pic.set_irq(12, true);
    ASSERT_TRUE(pic.intr());
    EXPECT_EQ(read_master(0), 0x04u);
    EXPECT_EQ(pic.acknowledge(), 0x74);
    master(0, 0x0b);
    slave(0, 0x0b);
    EXPECT_EQ(read_master(0), 0x04u);
    EXPECT_EQ(read_slave(0), 0x10u);
}

TEST_F(Pic8259Test, lower_priority_waits_for_eoi) {
    initialise();
    pic.set_irq(4, true);
    EXPECT_EQ(pic.acknowledge(), 0x0c);
    pic.set_irq(6, true);
    EXPECT_FALSE(pic.intr());
    pic.set_irq(1, true);
    EXPECT_TRUE(pic.intr());  // nests
    EXPECT_EQ(pic.acknowledge(), 0x09);
    master(0, 0x20);  // non-specific: the highest, 1
    EXPECT_FALSE(pic.intr());
    master(0, 0x20);
    EXPECT_TRUE(pic.intr());
    EXPECT_EQ(pic.acknowledge(), 0x0e);
}

TEST_F(Pic8259Test, slave_is_between_inputs_1_and_3) {
    initialise();
    pic.set_irq(3, true);
    pic.set_irq(8, true);
    pic.set_irq(0, true);
    EXPECT_EQ(pic.acknowledge(), 0x08);
    master(0, 0x20);
    EXPECT_EQ(pic.acknowledge(), 0x70);
    master(0, 0x20);
    slave(0, 0x20);
    EXPECT_EQ(pic.acknowledge(), 0x0b);
}

TEST_F(Pic8259Test, specific_eoi_ends_the_named_level) {
    initialise();
    pic.set_irq(4, true);
    pic.acknowledge();
    pic.set_irq(1, true);
    pic.acknowledge();
    master(0, 0x64);
    master(0, 0x0b);
    EXPECT_EQ(read_master(0), 0x02u);
}

TEST_F(Pic8259Test, edge_counts_once_while_the_line_stays_high) {
    initialise();
    pic.set_irq(5, true);
    pic.acknowledge();
    master(0, 0x20);
    EXPECT_FALSE(pic.intr());
    pulse(5);
    EXPECT_TRUE(pic.intr());
}

TEST_F(Pic8259Test, level_input_asks_again_after_eoi) {
    initialise();
    pic.elcr_ports().write(1, 1, 0x0c);
    pic.set_irq(10, true);
    EXPECT_EQ(pic.acknowledge(), 0x72);
    slave(0, 0x20);
    master(0, 0x20);
    EXPECT_TRUE(pic.intr());
    pic.set_irq(10, false);
    EXPECT_FALSE(pic.intr());
}

TEST_F(Pic8259Test, elcr_keeps_the_boards_own_inputs_edge_triggered) {
    pic.elcr_ports().write(0, 1, 0xff);
    pic.elcr_ports().write(1, 1, 0xff);
    EXPECT_EQ(pic.elcr_ports().read(0, 1), 0xf8u);
    EXPECT_EQ(pic.elcr_ports().read(1, 1), 0xdeu);
    pic.set_elcr(0x0c00);
    EXPECT_EQ(pic.elcr_ports().read(0, 1), 0x00u);
    EXPECT_EQ(pic.elcr_ports().read(1, 1), 0x0cu);
}

TEST_F(Pic8259Test, request_withdrawn_before_inta_is_spurious_7) {
    initialise();
    pic.set_irq(5, true);
    pic.set_irq(5, false);
    EXPECT_FALSE(pic.intr());
    EXPECT_EQ(pic.acknowledge(), 0x0f);
    master(0, 0x0b);
    EXPECT_EQ(read_master(0), 0u);  // no in-service bit
}

TEST_F(Pic8259Test, masked_request_waits) {
    initialise();
    master(1, 0x20);
    pic.set_irq(5, true);
    EXPECT_FALSE(pic.intr());
    EXPECT_FALSE(pic.pending(5));
    EXPECT_EQ(read_master(0), 0x20u);
    master(1, 0x00);
    EXPECT_TRUE(pic.intr());
    EXPECT_TRUE(pic.pending(5));
}

TEST_F(Pic8259Test, automatic_eoi_leaves_nothing_in_service) {
    initialise(0x03);
    pic.set_irq(4, true);
    EXPECT_EQ(pic.acknowledge(), 0x0c);
    master(0, 0x0b);
    EXPECT_EQ(read_master(0), 0u);
    pic.set_irq(6, true);
    EXPECT_TRUE(pic.intr());
}

TEST_F(Pic8259Test, automatic_eoi_serves_two_slave_requests_in_turn) {
    initialise(0x03);
    pic.set_irq(9, true);
    pic.set_irq(14, true);
    EXPECT_EQ(pic.acknowledge(), 0x71);
    ASSERT_TRUE(pic.intr());
    EXPECT_EQ(pic.acknowledge(), 0x76);
    EXPECT_FALSE(pic.intr());
}

TEST_F(Pic8259Test, rotation_on_eoi_makes_the_served_level_lowest) {
    initialise();
    pic.set_irq(3, true);
    pic.acknowledge();
    master(0, 0xa0);  // rotate on non-specific EOI: 3 is lowest, 4 highest
    pulse(3);
    pulse(0);
    pulse(4);
    EXPECT_EQ(pic.acknowledge(), 0x0c);
    master(0, 0x20);
    EXPECT_EQ(pic.acknowledge(), 0x08);
    master(0, 0x20);
    EXPECT_EQ(pic.acknowledge(), 0x0b);
}

TEST_F(Pic8259Test, rotation_in_automatic_eoi_mode) {
    initialise(0x03);
    master(0, 0x80);
    pulse(0);
    EXPECT_EQ(pic.acknowledge(), 0x08);
    pulse(0);
    pulse(1);
    EXPECT_EQ(pic.acknowledge(), 0x09);
    EXPECT_EQ(pic.acknowledge(), 0x08);
}

TEST_F(Pic8259Test, set_priority_command_chooses_the_lowest) {
    initialise();
    master(0, 0xc5);  // 5 lowest, 6 highest
    pulse(0);
    pulse(6);
    EXPECT_EQ(pic.acknowledge(), 0x0e);
}

TEST_F(Pic8259Test, special_mask_lets_lower_levels_through) {
    initialise();
    pic.set_irq(1, true);
    pic.acknowledge();
    pic.set_irq(6, true);
    EXPECT_FALSE(pic.intr());
    master(1, 0x02);
    EXPECT_FALSE(pic.intr());
    master(0, 0x68);  // set special mask
    EXPECT_TRUE(pic.intr());
    master(0, 0x48);
    EXPECT_FALSE(pic.intr());
}

TEST_F(Pic8259Test, special_fully_nested_mode_nests_within_the_slave) {
    initialise();
    pic.set_irq(12, true);
    pic.acknowledge();
    pic.set_irq(9, true);
    EXPECT_FALSE(pic.intr());

    pic.set_irq(9, false);
    pic.set_irq(12, false);
    initialise(0x11);
    pic.set_irq(12, true);
    pic.acknowledge();
    pic.set_irq(9, true);
    ASSERT_TRUE(pic.intr());
    EXPECT_EQ(pic.acknowledge(), 0x71);
}

TEST_F(Pic8259Test, poll_command_acknowledges_with_the_next_read) {
    initialise();
    pic.set_irq(3, true);
    master(0, 0x0c);
    EXPECT_EQ(read_master(0), 0x83u);
    EXPECT_FALSE(pic.intr());
    master(0, 0x0b);
    EXPECT_EQ(read_master(0), 0x08u);
    master(0, 0x0c);
    EXPECT_EQ(read_master(1), 0x00u);  // nothing more; then A0=1 reads the mask again
    EXPECT_EQ(read_master(1), 0x00u);
}

TEST_F(Pic8259Test, read_selection_stays_until_changed) {
    initialise();
    pic.set_irq(3, true);
    pic.acknowledge();
    pic.set_irq(5, true);
    master(0, 0x0b);
    EXPECT_EQ(read_master(0), 0x08u);
    EXPECT_EQ(read_master(0), 0x08u);
    master(0, 0x0a);
    EXPECT_EQ(read_master(0), 0x20u);
    master(0, 0x08);  // neither RR nor ESMM: no change
    EXPECT_EQ(read_master(0), 0x20u);
}

TEST_F(Pic8259Test, reset_keeps_the_lines_of_the_devices) {
    initialise();
    pic.set_elcr(0x0800);
    pic.set_irq(11, true);
    pic.reset();
    EXPECT_FALSE(pic.intr());
    initialise();
    pic.set_elcr(0x0800);
    EXPECT_TRUE(pic.intr());
}

TEST_F(Pic8259Test, survives_random_accesses) {
    ManualClock clock;
    TimerQueue timers(clock);
    std::mt19937 random(8259);
    for (u32 round = 0; round < 200; round++) {
        hostile_accesses(pic.master_ports(), 2, 1, round, clock, timers, 50);
        hostile_accesses(pic.slave_ports(), 2, 1, round + 1, clock, timers, 50);
        hostile_accesses(pic.elcr_ports(), 2, 1, round + 2, clock, timers, 5);
        pic.set_irq(random() % 20, random() % 2 != 0);
        if (random() % 2 != 0) {
            pic.acknowledge();
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
