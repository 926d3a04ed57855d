// SPDX-License-Identifier: MIT
// The type-0 configuration space, BAR decoding, INTx and MSI-X of a PCI function.
#include "vmcore/devices/pci_device.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace ennead::vmcore {
namespace {

constexpr unsigned kCommand = 0x04;
constexpr unsigned kStatus = 0x06;
constexpr unsigned kBar0 = 0x10;
constexpr unsigned kBar1 = 0x14;
constexpr unsigned kBar2 = 0x18;

// Remembers the last write, and answers reads with the offset.
class Probe : public Device {
  public:
    u32 read(u64 offset, unsigned) override { return static_cast<u32>(offset); }
    void write(u64 offset, unsigned size, u32 value) override {
        last_offset = offset;
        last_size = size;
        last_value = value;
    }
    u64 last_offset = ~u64{0};
    unsigned last_size = 0;
    u32 last_value = 0;
};

class PciDeviceTest : public ::testing::Test {
  protected:
    PciDevice::Wiring wiring() {
        return {ports,
                mmio,
                [this](bool level) { line = level; },
                [this](u64 address, u32 data) { messages.emplace_back(address, data); },
                Log([this](LogLevel, std::string_view text) { lines.emplace_back(text); }),
                "probe"};
    }
    static constexpr PciDevice::Identity kIdentity{.vendor = 0x1234,
                                                   .device = 0x5678,
                                                   .revision = 9,
                                                   .class_code = 0x010203,
                                                   .subsystem_vendor = 0xaaaa,
                                                   .subsystem = 0xbbbb,
                                                   .interrupt_pin = 1};

    Bus ports, mmio;
    bool line = false;
    std::vector<std::pair<u64, u32>> messages;
    std::vector<std::string> lines;
    Probe memory, io;
};

TEST_F(PciDeviceTest, header_shows_ids_and_class) {
    PciDevice device(kIdentity, wiring());
    EXPECT_EQ(device.config_read(0x00, 4), 0x56781234u);
    EXPECT_EQ(device.config_read(0x08, 4), 0x01020309u);
    EXPECT_EQ(device.config_read(0x0e, 1), 0u);
    EXPECT_EQ(device.config_read(0x2c, 4), 0xbbbbaaaau);
    EXPECT_EQ(device.config_read(0x3d, 1), 1u);
    EXPECT_EQ(device.config_read(0x34, 1), 0u);
    EXPECT_EQ(device.config_read(kStatus, 2), 0u);
}

TEST_F(PciDeviceTest, read_only_registers_ignore_writes) {
    PciDevice device(kIdentity, wiring());
    for (unsigned offset : {0x00u, 0x08u, 0x2cu, 0x34u}) {
        const u32 before = device.config_read(offset, 4);
        device.config_write(offset, 4, 0xffffffff);
        EXPECT_EQ(device.config_read(offset, 4), before) << offset;
    }
    device.config_write(0x3c, 1, 11);
    EXPECT_EQ(device.config_read(0x3c, 1), 11u);
    device.config_write(kCommand, 2, 0xffff);
    EXPECT_EQ(device.config_read(kCommand, 2), 0x0547u);
}

TEST_F(PciDeviceTest, accesses_past_the_end_read_ones) {
    PciDevice device(kIdentity, wiring());
    EXPECT_EQ(device.config_read(254, 4), 0xffffffffu);
    EXPECT_EQ(device.config_read(256, 1), 0xffu);
    device.config_write(254, 4, 0);
    device.config_write(~0u, 4, 0);
}

TEST_F(PciDeviceTest, all_ones_tell_the_size) {
    PciDevice device(kIdentity, wiring());
    device.add_memory_bar(0, 0x4000, memory);
    device.add_io_bar(1, 0x20, io);
    device.config_write(kBar0, 4, 0xffffffff);
    device.config_write(kBar1, 4, 0xffffffff);
    device.config_write(kBar2, 4, 0xffffffff);
    EXPECT_EQ(device.config_read(kBar0, 4), 0xffffc000u);
    EXPECT_EQ(device.config_read(kBar1, 4), 0xffffffe1u);
    EXPECT_EQ(device.config_read(kBar2, 4), 0u);
}

TEST_F(PciDeviceTest, memory_bar_follows_command_and_address) {
    PciDevice device(kIdentity, wiring());
    device.add_memory_bar(0, 0x1000, memory);
    device.config_write(kBar0, 4, 0xe0000000);
    EXPECT_FALSE(mmio.claims(0xe0000000));
    device.config_write(kCommand, 2, 2);
    EXPECT_EQ(mmio.read(0xe0000010, 4), 0x10u);
    mmio.write(0xe0000ffc, 4, 0x11223344);
    EXPECT_EQ(memory.last_offset, 0xffcu);
    EXPECT_EQ(memory.last_value, 0x11223344u);

    device.config_write(kBar0 + 2, 2, 0xe100);  // half of the BAR is enough to move it
    EXPECT_FALSE(mmio.claims(0xe0000000));
    EXPECT_TRUE(mmio.claims(0xe1000fff));
    device.config_write(kCommand, 2, 0);
    EXPECT_FALSE(mmio.claims(0xe1000000));
}

TEST_F(PciDeviceTest, io_bar_follows_its_own_enable_bit) {
    PciDevice device(kIdentity, wiring());
    device.add_io_bar(1, 0x20, io);
    device.config_write(kBar1, 4, 0xc001);
    device.config_write(kCommand, 2, 2);
    EXPECT_FALSE(ports.claims(0xc000));
    device.config_write(kCommand, 2, 1);
    EXPECT_TRUE(ports.claims(0xc01f));
    EXPECT_FALSE(ports.claims(0xc020));
    device.config_write(kBar1, 4, 0x1c000);  // no such port on a PC
    EXPECT_TRUE(ports.ranges().empty());
}

TEST_F(PciDeviceTest, sizing_while_decoding_claims_nothing) {
    PciDevice device(kIdentity, wiring());
    device.add_memory_bar(0, 0x1000, memory);
    device.config_write(kCommand, 2, 3);
    EXPECT_TRUE(mmio.ranges().empty());
    device.config_write(kBar0, 4, 0xffffffff);
    EXPECT_TRUE(mmio.ranges().empty());
    EXPECT_TRUE(lines.empty());
}

TEST_F(PciDeviceTest, clash_is_logged_and_tried_again) {
    Probe other;
    ASSERT_TRUE(mmio.add(0xe0000800, 0x10, 4, other, "other"));
    PciDevice device(kIdentity, wiring());
    device.add_memory_bar(0, 0x1000, memory);
    device.config_write(kCommand, 2, 2);
    device.config_write(kBar0, 4, 0xe0000000);
    EXPECT_EQ(mmio.ranges().size(), 1u);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("other"), std::string::npos);
    mmio.remove(0xe0000800);
    device.config_write(kCommand, 2, 2);
    EXPECT_TRUE(mmio.claims(0xe0000000));
    for (int i = 0; i < 100; ++i) {  // a guest cannot fill the log
        device.config_write(kBar0, 4, 0);
        ASSERT_TRUE(mmio.add(0xe0000800, 0x10, 4, other, "other"));
        device.config_write(kBar0, 4, 0xe0000000);
        mmio.remove(0xe0000800);
    }
    EXPECT_LT(lines.size(), 10u);
}

TEST_F(PciDeviceTest, two_bars_can_change_places) {
    PciDevice device(kIdentity, wiring());
    device.add_memory_bar(0, 0x1000, memory);
    device.add_memory_bar(2, 0x1000, io);
    device.config_write(kBar0, 4, 0xe0000000);
    device.config_write(kBar2, 4, 0xe0001000);
    device.config_write(kCommand, 2, 2);
    device.config_write(kBar0, 4, 0xe0001000);  // clashes for the moment
    device.config_write(kBar2, 4, 0xe0000000);
    mmio.write(0xe0001004, 4, 7);
    EXPECT_EQ(memory.last_offset, 4u);
    mmio.write(0xe0000008, 4, 7);
    EXPECT_EQ(io.last_offset, 8u);
}

TEST_F(PciDeviceTest, destruction_gives_the_ranges_back) {
    {
        PciDevice device(kIdentity, wiring());
        device.add_memory_bar(0, 0x1000, memory);
        device.config_write(kBar0, 4, 0xe0000000);
        device.config_write(kCommand, 2, 2);
        ASSERT_TRUE(mmio.claims(0xe0000000));
    }
    EXPECT_TRUE(mmio.ranges().empty());
}

TEST_F(PciDeviceTest, capabilities_form_a_list) {
    PciDevice device(kIdentity, wiring());
    const std::array<u8, 3> body{1, 2, 3};
    const std::array<u8, 2> writable{0, 0x0f};
    const unsigned first = device.add_capability(0x09, body, writable);
    const unsigned second = device.add_capability(0x05, body);
    EXPECT_EQ(device.config_read(kStatus, 2), 0x10u);
    EXPECT_EQ(device.config_read(0x34, 1), first);
    EXPECT_EQ(device.config_read(first, 1), 0x09u);
    EXPECT_EQ(device.config_read(first + 1, 1), second);
    EXPECT_EQ(device.config_read(second + 1, 1), 0u);
    EXPECT_EQ(second % 4, 0u);
    device.config_write(first, 4, 0xffffffff);
    EXPECT_EQ(device.config_read(first + 2, 2), 0x0f01u);
}

TEST_F(PciDeviceTest, intx_obeys_the_disable_bit_and_shows_status) {
    PciDevice device(kIdentity, wiring());
    device.set_intx(true);
    EXPECT_TRUE(line);
    EXPECT_EQ(device.config_read(kStatus, 2) & 8, 8u);
    device.config_write(kCommand, 2, 0x400);
    EXPECT_FALSE(line);
    EXPECT_EQ(device.config_read(kStatus, 2) & 8, 8u);
    device.config_write(kCommand, 2, 0);
    EXPECT_TRUE(line);
    device.set_intx(false);
    EXPECT_FALSE(line);
    EXPECT_EQ(device.config_read(kStatus, 2) & 8, 0u);
}

class MsixTest : public PciDeviceTest {
  protected:
    static constexpr u64 kBase = 0xe0000000;

    MsixTest() {
        device.add_msix(2, 65);
        capability = device.config_read(0x34, 1);
        device.config_write(kBar2, 4, kBase);
        device.config_write(kCommand, 2, 6);
    }
    void control(u16 value) { device.config_write(capability + 2, 2, value); }
    void set_vector(unsigned n, u32 address, u32 data, u32 vector_control) {
        mmio.write(kBase + 16 * n, 4, address);
        mmio.write(kBase + 16 * n + 4, 4, 0);
        mmio.write(kBase + 16 * n + 8, 4, data);
        mmio.write(kBase + 16 * n + 12, 4, vector_control);
    }
    u64 pending_word(unsigned n) { return mmio.read(kBase + pba() + 8 * n, 8); }
    u32 pba() { return device.config_read(capability + 8, 4) & ~7u; }

    PciDevice device{kIdentity, wiring()};
    unsigned capability = 0;
};

TEST_F(MsixTest, capability_describes_table) {
    EXPECT_EQ(device.config_read(capability, 1), 0x11u);
    EXPECT_EQ(device.config_read(capability + 2, 2), 64u);
    EXPECT_EQ(device.config_read(capability + 4, 4), 2u);
    EXPECT_EQ(device.config_read(capability + 8, 4) & 7, 2u);
    EXPECT_GE(pba(), 65u * 16);
    EXPECT_EQ(mmio.read(kBase + 12, 4), 1u) << "vectors are masked after reset";
    control(0xffff);
    EXPECT_EQ(device.config_read(capability + 2, 2), 0xc040u);
}

TEST_F(MsixTest, message_is_what_the_table_says) {
    control(0x8000);
    set_vector(3, 0xfee01003, 0x4042, 0);
    device.signal_msix(3);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0], (std::pair<u64, u32>{0xfee01000, 0x4042}));
    EXPECT_EQ(mmio.read(kBase + 3 * 16 + 8, 2), 0x4042u);
    EXPECT_EQ(mmio.read(kBase + 3 * 16, 8), 0xfee01000u);
}

TEST_F(MsixTest, masked_vector_stays_pending_until_unmasked) {
    control(0x8000);
    set_vector(64, 0xfee00000, 0x33, 1);
    device.signal_msix(64);
    device.signal_msix(64);
    EXPECT_TRUE(messages.empty());
    EXPECT_EQ(pending_word(0), 0u);
    EXPECT_EQ(pending_word(1), 1u);
    mmio.write(kBase + pba(), 4, 0);  // read-only
    mmio.write(kBase + 64 * 16 + 12, 4, 0);
    EXPECT_EQ(messages.size(), 1u);
    EXPECT_EQ(pending_word(1), 0u);
}

TEST_F(MsixTest, function_mask_holds_everything_back) {
    control(0xc000);
    set_vector(0, 0xfee00000, 0x30, 0);
    set_vector(1, 0xfee00000, 0x31, 0);
    device.signal_msix(0);
    device.signal_msix(1);
    EXPECT_EQ(pending_word(0), 3u);
    control(0x8000);
    EXPECT_EQ(messages.size(), 2u);
}

TEST_F(MsixTest, disabled_or_unknown_vectors_send_nothing) {
    set_vector(0, 0xfee00000, 0x30, 0);
    device.signal_msix(0);
    control(0x8000);
    device.signal_msix(65);
    device.signal_msix(0xffff);
    EXPECT_TRUE(messages.empty());
}

TEST_F(MsixTest, pin_is_silent_while_msix_is_enabled) {
    device.set_intx(true);
    EXPECT_TRUE(line);
    control(0x8000);
    EXPECT_FALSE(line);
    control(0);
    EXPECT_TRUE(line);
}

TEST_F(MsixTest, reset_masks_disables_and_unmaps) {
    control(0x8000);
    set_vector(0, 0xfee00000, 0x30, 0);
    device.set_intx(true);
    device.reset();
    EXPECT_FALSE(line);
    EXPECT_FALSE(device.msix_enabled());
    EXPECT_TRUE(mmio.ranges().empty());
    EXPECT_EQ(device.config_read(kBar2, 4), 0u);
    device.config_write(kBar2, 4, kBase);
    device.config_write(kCommand, 2, 2);
    EXPECT_EQ(mmio.read(kBase + 12, 4), 1u);
    EXPECT_EQ(mmio.read(kBase + 8, 4), 0u);
}

TEST_F(MsixTest, every_offset_of_the_bar_can_be_accessed) {
    control(0x8000);
    for (u64 at = 0; at < 0x1000; ++at) {
        for (unsigned size : {1u, 2u, 4u}) {
            mmio.write(kBase + at, size, 0xffffffff);
            mmio.read(kBase + at, size);
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
