// SPDX-License-Identifier: MIT
// The I/O APIC against the 82093AA's data sheet, in front of a real local APIC.
#include "vmcore/devices/ioapic.h"

#include <gtest/gtest.h>

#include "tests/vmcore/devices/hostile.h"
#include "vmcore/devices/irq_router.h"

namespace ennead::vmcore {
namespace {

class IoApicTest : public testing::Test {
  protected:
    IoApicTest() { cpu.write(0xf0, 4, 0x1ff); }

    u32 get(u8 index) {
        ioapic.write(0x00, 4, index);
        return ioapic.read(0x10, 4);
    }
    void put(u8 index, u32 value) {
        ioapic.write(0x00, 4, index);
        ioapic.write(0x10, 4, value);
    }
    void entry(unsigned input, u32 low, u32 high = 0) {
        put(static_cast<u8>(0x11 + 2 * input), high);
        put(static_cast<u8>(0x10 + 2 * input), low);
    }
    unsigned take() { return cpu.has_interrupt() ? cpu.acknowledge() : 0; }
    void eoi() { cpu.write(0xb0, 4, 0); }
    void pulse(unsigned input) {
        ioapic.set_irq(input, false);
        ioapic.set_irq(input, true);
    }

    ManualClock clock;
    TimerQueue timers{clock};
    unsigned nmis = 0;
    LocalApic cpu{timers,
                  {.intr = {},
                   .nmi = [this] { nmis++; },
                   .extint_acknowledge = [this] { return pic.acknowledge(); },
                   .eoi = [this](u8 v) { ioapic.end_of_interrupt(v); },
                   .tsc_to_ns = {},
                   .relocate = {}}};
    IoApic ioapic{cpu};
    Pic8259 pic{[this](bool on) { ioapic.set_irq(0, on); }};
};

TEST_F(IoApicTest, shows_24_masked_inputs_after_reset) {
    EXPECT_EQ(get(0x01), 0x0017'0011u);
    for (unsigned i = 0; i < IoApic::kInputs; i++) {
        EXPECT_EQ(get(static_cast<u8>(0x10 + 2 * i)), 0x0001'0000u);
        EXPECT_EQ(get(static_cast<u8>(0x11 + 2 * i)), 0u);
    }
    EXPECT_EQ(get(0x40), 0u);
    EXPECT_EQ(get(0xff), 0u);
}

TEST_F(IoApicTest, id_is_four_bits) {
    put(0x00, 0xffff'ffff);
    EXPECT_EQ(get(0x00), 0x0f00'0000u);
    EXPECT_EQ(get(0x02), 0x0f00'0000u);
}

TEST_F(IoApicTest, read_only_bits_of_an_entry_stay) {
    entry(5, 0xffff'ffff, 0xffff'ffff);
    EXPECT_EQ(get(0x1a), 0x0001'afffu);
    EXPECT_EQ(get(0x1b), 0xff00'0000u);
}

TEST_F(IoApicTest, edge_is_sent_once) {
    entry(4, 0x41);
    ioapic.set_irq(4, true);
    EXPECT_TRUE(ioapic.pending(4));
    EXPECT_EQ(take(), 0x41u);
    EXPECT_FALSE(ioapic.pending(4));
    eoi();
    EXPECT_EQ(take(), 0u);
    pulse(4);
    EXPECT_EQ(take(), 0x41u);
}

TEST_F(IoApicTest, edge_while_masked_is_ignored) {
    entry(4, 0x1'0041);
    ioapic.set_irq(4, true);
    entry(4, 0x41);
    EXPECT_EQ(take(), 0u);
}

TEST_F(IoApicTest, level_asks_again_after_eoi_while_asserted) {
    entry(10, 0x8052);
    ioapic.set_irq(10, true);
    EXPECT_EQ(get(0x24), 0xc052u);  // remote IRR
    EXPECT_EQ(take(), 0x52u);
    EXPECT_EQ(take(), 0u);
    eoi();
    EXPECT_EQ(take(), 0x52u);
    ioapic.set_irq(10, false);
    eoi();
    EXPECT_EQ(take(), 0u);
    EXPECT_EQ(get(0x24), 0x8052u);
}

TEST_F(IoApicTest, level_is_sent_when_unmasked) {
    entry(10, 0x1'8052);
    ioapic.set_irq(10, true);
    EXPECT_EQ(take(), 0u);
    entry(10, 0x8052);
    EXPECT_EQ(take(), 0x52u);
}

TEST_F(IoApicTest, level_not_accepted_sets_no_remote_irr) {
    entry(10, 0x8052, 5u << 24);  // a processor that does not exist
    ioapic.set_irq(10, true);
    EXPECT_EQ(get(0x24), 0x8052u);
    entry(10, 0x8052, 0);
    EXPECT_EQ(take(), 0x52u);
}

TEST_F(IoApicTest, making_an_entry_edge_triggered_clears_remote_irr) {
    entry(10, 0x8052);
    ioapic.set_irq(10, true);
    put(0x24, 0x1'0052);
    put(0x24, 0x1'8052);
    EXPECT_EQ(get(0x24), 0x1'8052u);
}

TEST_F(IoApicTest, logical_lowest_priority_delivery) {
    cpu.write(0xd0, 4, 0x01u << 24);
    entry(4, 0x0943, 0x01u << 24);
    ioapic.set_irq(4, true);
    EXPECT_EQ(take(), 0x43u);
}

TEST_F(IoApicTest, nmi_delivery) {
    entry(4, 0x0400);
    ioapic.set_irq(4, true);
    EXPECT_EQ(nmis, 1u);
    EXPECT_EQ(take(), 0u);
}

TEST_F(IoApicTest, extint_delivery_asks_the_8259_for_the_vector) {
    cpu.write(0x350, 4, 0x10000);
    for (const auto& [a0, v] : {std::pair<int, int>{0, 0x11}, {1, 0x20}, {1, 4}, {1, 1}, {1, 0}}) {
        pic.master_ports().write(static_cast<u64>(a0), 1, static_cast<u32>(v));
    }
    entry(0, 0x0700);
    pic.set_irq(3, true);
    EXPECT_EQ(take(), 0x23u);
    EXPECT_EQ(take(), 0u);
    pic.set_irq(1, true);
    entry(0, 0x1'0700);
    EXPECT_EQ(take(), 0u);
}

TEST_F(IoApicTest, router_leads_the_timer_to_input_2_and_the_rest_straight) {
    IrqRouter router(pic, ioapic);
    entry(2, 0x32);
    entry(4, 0x34);
    entry(0, 0x30);
    router.set_irq(0, true);
    EXPECT_TRUE(router.pending(0));
    EXPECT_EQ(take(), 0x32u);
    EXPECT_FALSE(router.pending(0));
    eoi();
    router.line(4)(true);
    EXPECT_EQ(take(), 0x34u);
    pic.master_ports().write(0, 1, 0x0a);
    EXPECT_EQ(pic.master_ports().read(0, 1), 0x11u);
}

TEST_F(IoApicTest, router_looks_at_the_controller_in_use) {
    IrqRouter router(pic, ioapic);
    for (const auto& [a0, v] : {std::pair<int, int>{0, 0x11}, {1, 0x20}, {1, 4}, {1, 1}, {1, 0}}) {
        pic.master_ports().write(static_cast<u64>(a0), 1, static_cast<u32>(v));
    }
    cpu.write(0x350, 4, 0x10700);  // the 8259's request goes nowhere
    router.set_irq(0, true);
    EXPECT_TRUE(router.pending(0));
    entry(2, 0x32);
    EXPECT_FALSE(router.pending(0));
}

TEST_F(IoApicTest, survives_random_accesses) {
    std::mt19937 random(24);
    for (u32 round = 0; round < 200; round++) {
        hostile_accesses(ioapic, IoApic::kLength, 4, round, clock, timers, 100);
        for (int i = 0; i < 100; i++) {
            put(static_cast<u8>(random()), static_cast<u32>(random()));
            get(static_cast<u8>(random()));
            ioapic.set_irq(random() % 30, random() % 2 != 0);
            take();
            eoi();
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
