// SPDX-License-Identifier: MIT
// ACPI's fixed registers: timer, events, power-off.
#include "vmcore/devices/acpi_pm.h"

#include <gtest/gtest.h>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class AcpiPmTest : public testing::Test {
  protected:
    u32 get(u32 offset, unsigned size) { return pm.read(offset, size); }
    void put(u32 offset, unsigned size, u32 value) { pm.write(offset, size, value); }
    void enable_acpi() { pm.smi_ports().write(0, 1, AcpiPm::kAcpiEnable); }
    void pass(u64 ns) {
        clock.advance_ns(ns);
        timers.run_due();
    }

    ManualClock clock;
    TimerQueue timers{clock};
    bool sci = false;
    unsigned offs = 0;
    AcpiPm pm{timers, {[this](bool on) { sci = on; }, [this] { offs++; }}};
};

TEST_F(AcpiPmTest, timer_runs_at_3579545_hz_and_wraps_at_24_bits) {
    EXPECT_EQ(get(8, 4), 0u);
    pass(1'000'000'000);
    EXPECT_EQ(get(8, 4), 3579545u);
    pass(4'000'000'000);
    EXPECT_EQ(get(8, 4), 5u * 3579545 % (1u << 24));
    EXPECT_EQ(get(8, 2), 5u * 3579545 % (1u << 16));
    EXPECT_EQ(get(11, 1), 0u);
}

TEST_F(AcpiPmTest, timer_status_is_set_when_bit_23_changes) {
    pass(2'340'000'000);
    EXPECT_EQ(get(0, 2) & 1, 0u);
    pass(10'000'000);
    EXPECT_EQ(get(0, 2) & 1, 1u);
    put(0, 2, 1);
    EXPECT_EQ(get(0, 2) & 1, 0u);
}

TEST_F(AcpiPmTest, timer_event_interrupts_when_enabled) {
    enable_acpi();
    put(2, 2, 1);
    pass(2'340'000'000);
    EXPECT_FALSE(sci);
    pass(10'000'000);
    EXPECT_TRUE(sci);
    put(0, 2, 1);
    EXPECT_FALSE(sci);
    EXPECT_NE(timers.next_deadline_ns(), TimerQueue::kNever);
    put(2, 2, 0);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(AcpiPmTest, power_button_interrupts_in_acpi_mode_when_enabled) {
    put(2, 2, 0x100);
    pm.press_power_button();
    EXPECT_FALSE(sci);
    EXPECT_FALSE(pm.power_button_enabled());
    enable_acpi();
    EXPECT_EQ(get(4, 2) & 1, 1u);
    EXPECT_TRUE(pm.power_button_enabled());
    EXPECT_TRUE(sci);
    EXPECT_EQ(get(0, 4), 0x0100'0100u);
    put(1, 1, 1);  // by bytes too
    EXPECT_FALSE(sci);
    pm.smi_ports().write(0, 1, AcpiPm::kAcpiDisable);
    EXPECT_EQ(get(4, 2) & 1, 0u);
}

TEST_F(AcpiPmTest, enable_keeps_only_the_events_there_are) {
    put(2, 2, 0xffff);
    EXPECT_EQ(get(2, 2), 0x0521u);
    put(3, 1, 0x00);
    EXPECT_EQ(get(2, 2), 0x0021u);
}

TEST_F(AcpiPmTest, general_purpose_events_interrupt) {
    enable_acpi();
    put(0xe, 2, 0x0004);
    pm.raise_event(2);
    EXPECT_TRUE(sci);
    pm.raise_event(16);
    EXPECT_EQ(get(0xc, 2), 0x0004u);
    put(0xc, 1, 0x04);
    EXPECT_FALSE(sci);
}

TEST_F(AcpiPmTest, s5_powers_off) {
    put(4, 2, 0x2000);
    EXPECT_EQ(offs, 1u);
    EXPECT_EQ(get(4, 2) & 0x2000, 0u);  // SLP_EN reads 0
    put(4, 2, 0x2400);                  // another sleep state
    EXPECT_EQ(offs, 1u);
    put(5, 1, 0x20);
    EXPECT_EQ(offs, 2u);
}

TEST_F(AcpiPmTest, sleep_type_alone_does_nothing) {
    put(4, 2, 0x1c01);
    EXPECT_EQ(offs, 0u);
    EXPECT_EQ(get(4, 2), 0x1c01u);
}

TEST_F(AcpiPmTest, smi_ports_read_back) {
    pm.smi_ports().write(0, 1, 0x12);
    pm.smi_ports().write(1, 1, 0x34);
    EXPECT_EQ(pm.smi_ports().read(0, 1), 0x12u);
    EXPECT_EQ(pm.smi_ports().read(1, 1), 0x34u);
}

TEST_F(AcpiPmTest, reset_forgets_events) {
    enable_acpi();
    put(2, 2, 0x100);
    pm.press_power_button();
    pm.reset();
    EXPECT_FALSE(sci);
    EXPECT_EQ(get(0, 4), 0u);
    EXPECT_EQ(get(4, 2), 0u);
}

TEST_F(AcpiPmTest, survives_random_accesses) {
    for (u32 round = 0; round < 50; round++) {
        hostile_accesses(pm, AcpiPm::kLength, 4, round, clock, timers, 500);
        hostile_accesses(pm.smi_ports(), 2, 1, round, clock, timers, 20);
        pm.raise_event(round % 20);
    }
}

}  // namespace
}  // namespace ennead::vmcore
