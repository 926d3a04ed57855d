// SPDX-License-Identifier: MIT
// Configuration mechanism 1, the chipset's functions behind it, and interrupt routing.
#include "vmcore/devices/pci_host.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/vmcore/devices/hostile.h"
#include "vmcore/devices/acpi_pm.h"
#include "vmcore/devices/i440fx.h"
#include "vmcore/devices/piix.h"

namespace ennead::vmcore {
namespace {

// 256 plain bytes.
class Bytes : public PciFunction {
  public:
    u32 config_read(unsigned offset, unsigned size) override {
        EXPECT_EQ(offset % size, 0u);
        EXPECT_LE(offset + size, 256u);
        return space.read(offset, size);
    }
    void config_write(unsigned offset, unsigned size, u32 value) override {
        EXPECT_EQ(offset % size, 0u);
        space.write(offset, size, value);
    }
    void reset() override { resets++; }
    ConfigSpace space;
    unsigned resets = 0;
};

class PciHostTest : public testing::Test {
  protected:
    PciHostTest() {
        EXPECT_TRUE(ports.add(0xcf8, 4, 4, host.address_port(), "pci address"));
        EXPECT_TRUE(ports.add(0xcfc, 4, 4, host.data_port(), "pci data"));
        EXPECT_TRUE(host.add(0, 0, bridge));
        EXPECT_TRUE(host.add(1, 0, isa));
        EXPECT_TRUE(host.add(1, 3, power));
        EXPECT_TRUE(host.add(5, 0, bytes));
        for (unsigned i = 0; i < 256; i += 4) {
            bytes.space.set32(i, 0x03020100 + 0x04040404 * (i / 4), 0xffff'ffff);
        }
    }
    void select(unsigned slot, unsigned function, unsigned offset) {
        ports.write(0xcf8, 4, 0x8000'0000 | slot << 11 | function << 8 | (offset & 0xfc));
    }
    u64 get(unsigned slot, unsigned function, unsigned offset, unsigned size) {
        select(slot, function, offset);
        return ports.read(0xcfc + offset % 4, size);
    }
    void put(unsigned slot, unsigned function, unsigned offset, unsigned size, u64 value) {
        select(slot, function, offset);
        ports.write(0xcfc + offset % 4, size, value);
    }

    ManualClock clock;
    TimerQueue timers{clock};
    Bus ports;
    std::map<unsigned, bool> irqs;
    std::vector<bool> resets;
    unsigned segment_changes = 0;
    AcpiPm acpi{timers, {}};
    I440fx bridge{[this](const I440fx::Segments&) { segment_changes++; }};
    PiixIsaBridge isa{[this](unsigned irq, bool on) { irqs[irq] = on; }};
    PiixPowerManagement power{ports, acpi};
    Bytes bytes;
    PciHost host{{[this](unsigned pirq, bool on) { isa.set_pirq(pirq, on); },
                  [this](bool hard) { resets.push_back(hard); }}};
};

TEST_F(PciHostTest, is_a_440fx_with_a_piix) {
    EXPECT_EQ(get(0, 0, 0, 4), 0x1237'8086u);
    EXPECT_EQ(get(0, 0, 10, 2), 0x0600u);
    EXPECT_EQ(get(1, 0, 0, 4), 0x7000'8086u);
    EXPECT_EQ(get(1, 0, 14, 1), 0x80u);
    EXPECT_EQ(get(1, 3, 0, 4), 0x7113'8086u);
}

TEST_F(PciHostTest, absent_functions_and_buses_read_ones) {
    EXPECT_EQ(get(2, 0, 0, 4), 0xffff'ffffu);
    EXPECT_EQ(get(1, 1, 0, 2), 0xffffu);
    ports.write(0xcf8, 4, 0x8001'0000);  // bus 1
    EXPECT_EQ(ports.read(0xcfc, 4), 0xffff'ffffu);
    ports.write(0xcf8, 4, 0x0000'0000);  // not enabled
    EXPECT_EQ(ports.read(0xcfc, 4), 0xffff'ffffu);
    ports.write(0xcfc, 4, 0);
}

TEST_F(PciHostTest, address_register_takes_only_dwords) {
    ports.write(0xcf8, 4, 0xffff'ffff);
    EXPECT_EQ(ports.read(0xcf8, 4), 0x80ff'fffcu);
    ports.write(0xcfb, 1, 0x00);  // Linux does this before it probes
    ports.write(0xcf8, 2, 0x1234);
    EXPECT_EQ(ports.read(0xcf8, 4), 0x80ff'fffcu);
    EXPECT_EQ(ports.read(0xcf8, 1), 0xffu);
}

TEST_F(PciHostTest, bytes_words_and_dwords_of_data) {
    EXPECT_EQ(get(5, 0, 0x41, 1), 0x41u);
    EXPECT_EQ(get(5, 0, 0x42, 2), 0x4342u);
    EXPECT_EQ(get(5, 0, 0x41, 2), 0x4241u);  // not aligned
    EXPECT_EQ(get(5, 0, 0x44, 4), 0x4746'4544u);
    put(5, 0, 0x45, 2, 0xaabb);
    EXPECT_EQ(get(5, 0, 0x44, 4), 0x47aa'bb44u);
    put(5, 0, 0x44, 1, 0xcc);
    EXPECT_EQ(get(5, 0, 0x44, 4), 0x47aa'bbccu);
}

TEST_F(PciHostTest, places_are_taken_once) {
    Bytes other;
    EXPECT_EQ(host.add(5, 0, other).error(), Error::range_overlap);
    EXPECT_EQ(host.add(32, 0, other).error(), Error::bad_value);
    EXPECT_EQ(host.add(3, 8, other).error(), Error::bad_value);
}

TEST_F(PciHostTest, reset_control_acts_on_a_rising_bit_2) {
    ports.write(0xcf9, 1, 0x02);
    EXPECT_TRUE(resets.empty());
    ports.write(0xcf9, 1, 0x06);
    ports.write(0xcf9, 1, 0x06);
    EXPECT_EQ(resets, std::vector<bool>{true});
    EXPECT_EQ(ports.read(0xcf9, 1), 0x06u);
    ports.write(0xcf9, 1, 0x00);
    ports.write(0xcf9, 1, 0x04);
    EXPECT_EQ(resets, (std::vector<bool>{true, false}));
}

TEST_F(PciHostTest, reset_reaches_every_function) {
    host.reset();
    EXPECT_EQ(bytes.resets, 1u);
    EXPECT_EQ(ports.read(0xcf8, 4), 0u);
}

TEST_F(PciHostTest, pirqs_reach_the_interrupts_they_are_routed_to) {
    host.set_intx(3, 0, true);  // PIRQC
    EXPECT_TRUE(irqs.empty());  // not routed yet
    isa.route_as_firmware();
    EXPECT_TRUE(irqs[11]);
    EXPECT_FALSE(irqs[10]);
    host.set_intx(3, 0, false);
    EXPECT_FALSE(irqs[11]);
    put(1, 0, 0x62, 1, 0x05);
    host.intx(3, 0)(true);
    EXPECT_TRUE(irqs[5]);
    put(1, 0, 0x62, 1, 0x80);
    EXPECT_FALSE(irqs[5]);
}

TEST_F(PciHostTest, shared_wires_are_ored) {
    isa.route_as_firmware();
    host.set_intx(1, 0, true);  // PIRQA
    host.set_intx(5, 0, true);  // PIRQA too
    host.set_intx(5, 0, true);
    host.set_intx(2, 0, true);  // PIRQB, the same interrupt
    host.set_intx(1, 0, false);
    EXPECT_TRUE(irqs[10]);
    host.set_intx(5, 0, false);
    EXPECT_TRUE(irqs[10]);
    host.set_intx(2, 0, false);
    EXPECT_FALSE(irqs[10]);
    host.set_intx(32, 0, true);
    host.set_intx(0, 4, true);
}

TEST_F(PciHostTest, wires_rotate_from_slot_to_slot) {
    EXPECT_EQ(PciHost::pirq_of(1, 0), 0u);
    EXPECT_EQ(PciHost::pirq_of(1, 3), 3u);
    EXPECT_EQ(PciHost::pirq_of(2, 0), 1u);
    EXPECT_EQ(PciHost::pirq_of(0, 0), 3u);
}

TEST_F(PciHostTest, reserved_interrupts_are_not_driven) {
    put(1, 0, 0x60, 1, 0x02);
    host.set_intx(1, 0, true);
    EXPECT_TRUE(irqs.empty());
}

TEST_F(PciHostTest, pam_registers_switch_shadow_ram) {
    put(0, 0, 0x59, 1, 0x30);
    EXPECT_EQ(segment_changes, 1u);
    const auto& bios = bridge.segments()[12];
    EXPECT_EQ(bios.base, 0xf0000u);
    EXPECT_EQ(bios.length, 0x10000u);
    EXPECT_TRUE(bios.read_dram && bios.write_dram);
    put(0, 0, 0x58, 4, 0x00'33'10'10);  // PAM0 read only, PAM1 both pieces writable
    EXPECT_FALSE(bridge.segments()[12].write_dram);
    EXPECT_TRUE(bridge.segments()[0].read_dram);
    put(0, 0, 0x5a, 1, 0x11);
    put(0, 0, 0x5f, 1, 0x20);
    EXPECT_EQ(bridge.segments()[11].base, 0xec000u);
    EXPECT_TRUE(bridge.segments()[11].write_dram);
    EXPECT_FALSE(bridge.segments()[11].read_dram);
    host.reset();
}

TEST_F(PciHostTest, power_management_registers_follow_their_base) {
    EXPECT_FALSE(ports.claims(0x600));
    put(1, 3, 0x40, 4, 0x601);
    EXPECT_FALSE(ports.claims(0x600));
    put(1, 3, 0x80, 1, 1);
    EXPECT_TRUE(ports.claims(0x600));
    EXPECT_TRUE(ports.claims(0x63f));
    put(1, 3, 0x40, 4, 0xb001);
    EXPECT_FALSE(ports.claims(0x600));
    EXPECT_TRUE(ports.claims(0xb000));
    put(1, 3, 0x40, 4, 0xcc1);  // over the configuration ports: refused
    EXPECT_FALSE(ports.claims(0xb000));
    EXPECT_EQ(ports.read(0xcc0, 1), 0xffu);
    host.reset();
    power.enable_as_firmware();
    EXPECT_TRUE(ports.claims(0x608));
}

TEST_F(PciHostTest, system_management_looks_set_up_to_firmware) {
    EXPECT_EQ(get(1, 3, 0x58, 4) & 0x0200'0000, 0x0200'0000u);
    EXPECT_EQ(get(0, 0, 0x72, 1), 0x02u);
}

TEST_F(PciHostTest, survives_random_accesses) {
    std::mt19937 random(1237);
    for (u32 i = 0; i < 20000; i++) {
        ports.write(0xcf8, 4,
                    0x8000'0000 | (random() % 4 << 8) | (random() % 6 << 11) | (random() & 0xfc));
        hostile_accesses(host.data_port(), 4, 4, i, clock, timers, 4);
        if (i % 64 == 0) {
            hostile_accesses(host.address_port(), 4, 4, i, clock, timers, 4);
            host.set_intx(random() % 40, random() % 6, random() % 2 != 0);
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
