// SPDX-License-Identifier: MIT
// The virtio PCI transport as a driver meets it: discovery, negotiation, queues, interrupts, reset.
#include "vmcore/virtio/pci_transport.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kData = 0x40000;

// Gives every buffer back at once and remembers what it was told.
class EchoDevice : public VirtioDevice {
  public:
    const char* name() const override { return "virtio-echo"; }
    u16 id() const override { return 42; }
    u64 features() const override { return 5; }
    std::span<const u16> queue_sizes() const override { return sizes; }
    std::span<const u8> config() const override { return bytes; }
    void config_write(u64 offset, unsigned size, u32 value) override {
        std::memcpy(bytes.data() + offset, &value, size);
    }
    void activated(u64 agreed, std::span<Queue* const> running) override {
        features_agreed = agreed;
        queues.assign(running.begin(), running.end());
    }
    void queue_notified(unsigned n) override {
        Chain chain;
        while (queues.at(n)->pop(chain)) {
            queues[n]->push(chain, 0);
            ++buffers;
        }
        queues[n]->signal();
    }
    void reset() override {
        queues.clear();
        ++resets;
    }
    void change_config() {
        ++bytes[0];
        transport()->config_changed();
    }

    std::array<u16, 2> sizes{16, 64};
    std::array<u8, 6> bytes{1, 2, 3, 4, 5, 6};
    std::vector<Queue*> queues;
    u64 features_agreed = 0;
    int buffers = 0, resets = 0;
};

class PciTransportTest : public ::testing::Test {
  protected:
    u32 config(unsigned offset, unsigned size) {
        return bench.transport->config_read(offset, size);
    }
    // cfg_type → offset of the capability in config space.
    std::map<u8, unsigned> capabilities() {
        std::map<u8, unsigned> found;
        for (unsigned at = config(0x34, 1); at != 0; at = config(at + 1, 1)) {
            if (config(at, 1) == 9) {
                found.emplace(static_cast<u8>(config(at + 3, 1)), at);
            }
        }
        return found;
    }
    DriverRing run(u64 features = kVirtioFVersion1, u16 vector = kVirtioNoVector) {
        bench.negotiate(features);
        DriverRing ring = bench.make_queue(0, 16, vector);
        bench.driver_ok();
        return ring;
    }
    void enable_msix() {
        for (unsigned n = 0; n < 3; ++n) {
            bench.mmio.write(VirtioBench::kBar1 + 16 * n, 4, 0xfee00000);
            bench.mmio.write(VirtioBench::kBar1 + 16 * n + 8, 4, 0x50 + n);
            bench.mmio.write(VirtioBench::kBar1 + 16 * n + 12, 4, 0);
        }
        for (unsigned at = config(0x34, 1); at != 0; at = config(at + 1, 1)) {
            if (config(at, 1) == 0x11) {
                bench.transport->config_write(at + 2, 2, 0x8000);
            }
        }
    }

    EchoDevice device;
    VirtioBench bench{device};
};

TEST_F(PciTransportTest, ids_say_modern_device) {
    EXPECT_EQ(config(0, 4), 0x106a1af4u);
    EXPECT_GE(config(8, 1), 1u);
    EXPECT_GE(config(0x2e, 2), 0x40u);
    EXPECT_EQ(config(0x3d, 1), 1u);
}

TEST_F(PciTransportTest, capabilities_describe_every_structure) {
    auto caps = capabilities();
    ASSERT_EQ(caps.size(), 5u);
    EXPECT_EQ(config(caps[1] + 2, 1), 16u);
    EXPECT_EQ(config(caps[1] + 4, 1), 0u);
    EXPECT_EQ(config(caps[1] + 8, 4), 0u);
    EXPECT_GE(config(caps[1] + 12, 4), 56u);
    EXPECT_EQ(config(caps[2] + 2, 1), 20u);
    EXPECT_EQ(config(caps[2] + 8, 4), 0x3000u);
    EXPECT_EQ(config(caps[2] + 16, 4), 4u);
    EXPECT_EQ(config(caps[3] + 8, 4), 0x1000u);
    EXPECT_EQ(config(caps[4] + 8, 4), 0x2000u);
    EXPECT_EQ(config(caps[4] + 12, 4), 6u);
    EXPECT_EQ(config(caps[5] + 2, 1), 20u);
}

TEST_F(PciTransportTest, features_are_offered_in_two_halves) {
    EXPECT_EQ(bench.device_features(), 5 | kAllTransport);
    bench.set_common(0, 4, 2);
    EXPECT_EQ(bench.common(4, 4), 0u);
}

TEST_F(PciTransportTest, features_ok_needs_version_1_and_only_what_is_offered) {
    bench.negotiate(5);
    EXPECT_EQ(bench.status(), 3u);
    bench.negotiate(kVirtioFVersion1 | 2);
    EXPECT_EQ(bench.status(), 3u);
    bench.driver_ok();
    EXPECT_EQ(bench.status(), 3u) << "DRIVER_OK without FEATURES_OK";
    bench.negotiate(kVirtioFVersion1 | 4);
    EXPECT_EQ(bench.status(), 11u);
    bench.set_features(kVirtioFVersion1);
    bench.driver_ok();
    EXPECT_EQ(device.features_agreed, kVirtioFVersion1 | 4) << "frozen by FEATURES_OK";
}

TEST_F(PciTransportTest, status_bits_are_only_added) {
    bench.negotiate(kVirtioFVersion1);
    bench.set_status(PciTransport::kFailed);
    EXPECT_EQ(bench.status(), 0x8bu);
    bench.set_status(PciTransport::kNeedsReset);
    EXPECT_EQ(bench.status(), 0x8bu) << "NEEDS_RESET is the device's";
    bench.set_status(0);
    EXPECT_EQ(bench.status(), 0u);
}

TEST_F(PciTransportTest, queue_registers_have_their_reset_values) {
    EXPECT_EQ(bench.common(18, 2), 2u);
    bench.set_common(22, 2, 1);
    EXPECT_EQ(bench.common(24, 2), 64u);
    EXPECT_EQ(bench.common(26, 2), 0xffffu);
    EXPECT_EQ(bench.common(28, 2), 0u);
    EXPECT_EQ(bench.common(30, 2), 1u);
    bench.set_common(22, 2, 2);
    EXPECT_EQ(bench.common(24, 2), 0u) << "no such queue";
    bench.set_common(24, 2, 8);
    bench.set_common(28, 2, 1);
    EXPECT_EQ(bench.common(28, 2), 0u);
}

TEST_F(PciTransportTest, queue_cannot_be_changed_once_enabled) {
    bench.negotiate(kVirtioFVersion1);
    bench.make_queue(0, 16);
    bench.set_common(24, 2, 8);
    bench.set_common(32, 4, 0);
    bench.set_common(28, 2, 0);
    EXPECT_EQ(bench.common(24, 2), 16u);
    EXPECT_EQ(bench.common(32, 4), VirtioBench::kRings);
    EXPECT_EQ(bench.common(28, 2), 1u);
}

TEST_F(PciTransportTest, addresses_have_64_bits) {
    bench.set_common(22, 2, 0);
    bench.set_common(40, 8, 0x1122334455667788);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kBar0 + 40, 8), 0x1122334455667788u);
}

TEST_F(PciTransportTest, buffers_wait_for_driver_ok) {
    bench.negotiate(kVirtioFVersion1);
    DriverRing ring = bench.make_queue(0, 16);
    ring.describe(0, kData, 1, 0);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(device.buffers, 0);
    bench.driver_ok();
    EXPECT_EQ(device.buffers, 1) << "looked at without a further notification";
    EXPECT_EQ(device.queues.size(), 2u);
    EXPECT_EQ(device.queues[1], nullptr) << "left disabled";
    bench.notify(1);
    bench.notify(2);
    bench.mmio.write(VirtioBench::kNotify + 0xffc, 4, 0);
}

TEST_F(PciTransportTest, isr_tells_and_reading_clears) {
    DriverRing ring = run();
    ring.describe(0, kData, 1, 0);
    ring.offer(0);
    bench.notify(0);
    EXPECT_TRUE(bench.line);
    EXPECT_EQ(config(6, 2) & 8, 8u);
    device.change_config();
    EXPECT_EQ(bench.mmio.read(VirtioBench::kIsr, 1), 3u);
    EXPECT_FALSE(bench.line);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kIsr, 1), 0u);
}

TEST_F(PciTransportTest, msix_vectors_are_used_instead_of_the_pin) {
    enable_msix();
    bench.negotiate(kVirtioFVersion1);
    bench.set_common(16, 2, 2);
    DriverRing ring = bench.make_queue(0, 16, 1);
    bench.driver_ok();
    ring.describe(0, kData, 1, 0);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(bench.messages, (std::vector<u32>{0x51}));
    device.change_config();
    EXPECT_EQ(bench.messages, (std::vector<u32>{0x51, 0x52}));
    EXPECT_FALSE(bench.line);
}

TEST_F(PciTransportTest, vector_that_does_not_exist_reads_back_as_none) {
    bench.set_common(16, 2, 2);
    EXPECT_EQ(bench.common(16, 2), 2u);
    bench.set_common(16, 2, 3);
    EXPECT_EQ(bench.common(16, 2), 0xffffu);
    bench.set_common(22, 2, 0);
    bench.set_common(26, 2, 500);
    EXPECT_EQ(bench.common(26, 2), 0xffffu);
}

TEST_F(PciTransportTest, config_changes_have_generations) {
    run();
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), 0x04030201u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 4, 4), 0xffff0605u);
    const u32 before = bench.common(21, 1);
    device.change_config();
    EXPECT_NE(bench.common(21, 1), before);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 1), 2u);
    bench.mmio.write(VirtioBench::kConfig + 4, 2, 0xbbaa);
    EXPECT_EQ(device.bytes[5], 0xbb);
    bench.mmio.write(VirtioBench::kConfig + 4, 4, 0);  // reaches past the end
    EXPECT_EQ(device.bytes[5], 0xbb);
}

TEST_F(PciTransportTest, config_space_window_reaches_the_registers) {
    const unsigned cap = capabilities()[5];
    const auto select = [&](u32 bar, u32 offset, u32 length) {
        bench.transport->config_write(cap + 4, 1, bar);
        bench.transport->config_write(cap + 8, 4, offset);
        bench.transport->config_write(cap + 12, 4, length);
    };
    select(0, 20, 1);
    bench.transport->config_write(cap + 16, 1, 1);
    EXPECT_EQ(bench.status(), 1u);
    EXPECT_EQ(config(cap + 16, 1), 1u);
    select(0, 18, 2);
    EXPECT_EQ(config(cap + 16, 2), 2u);
    select(1, 12, 4);
    EXPECT_EQ(config(cap + 16, 4), 1u) << "vector control in the MSI-X table";
    select(0, 21, 4);  // misaligned
    bench.transport->config_write(cap + 16, 4, 0xffffffff);
    select(0, 0x4000, 4);
    bench.transport->config_write(cap + 16, 4, 0xffffffff);
    EXPECT_EQ(config(cap + 16, 4), 0xffffffffu) << "the bytes last stored";
    select(9, 0, 4);
    config(cap + 16, 4);
    EXPECT_EQ(bench.status(), 1u);
}

TEST_F(PciTransportTest, reset_forgets_everything) {
    DriverRing ring = run();
    ring.describe(0, kData, 1, 0);
    ring.offer(0);
    bench.notify(0);
    bench.set_status(0);
    EXPECT_EQ(device.resets, 1);
    EXPECT_FALSE(bench.line);
    EXPECT_EQ(bench.common(28, 2), 0u);
    ring.offer(0);
    bench.notify(0);
    EXPECT_EQ(device.buffers, 1);
    run();
    EXPECT_EQ(device.queues.size(), 2u);
    bench.transport->reset();
    EXPECT_EQ(device.resets, 2);
    EXPECT_TRUE(bench.mmio.ranges().empty());
}

TEST_F(PciTransportTest, broken_ring_stops_the_device_and_says_so) {
    DriverRing ring = run();
    ring.offer(99);
    bench.notify(0);
    EXPECT_EQ(bench.status(), 0x4fu);
    EXPECT_TRUE(bench.line);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kIsr, 1), 2u);
    ASSERT_EQ(bench.lines.size(), 1u);
    EXPECT_NE(bench.lines[0].find("dev=virtio-echo"), std::string::npos);
    bench.notify(0);
    EXPECT_EQ(bench.lines.size(), 1u);
    DriverRing again = run();
    again.describe(0, kData, 1, 0);
    again.offer(0);
    bench.notify(0);
    EXPECT_EQ(device.buffers, 1) << "works again after reset";
}

TEST_F(PciTransportTest, bad_queue_address_shows_at_driver_ok) {
    bench.negotiate(kVirtioFVersion1);
    bench.set_common(22, 2, 0);
    bench.set_common(32, 8, 0x3000000000);
    bench.set_common(28, 2, 1);
    bench.driver_ok();
    EXPECT_EQ(bench.status(), 0x4fu);
    EXPECT_TRUE(device.queues.empty());
    bench.notify(0);
}

TEST_F(PciTransportTest, broken_drivers_cannot_fill_the_log) {
    for (int i = 0; i < 100; ++i) {
        DriverRing ring = run();
        ring.offer(99);
        bench.notify(0);
    }
    EXPECT_LT(bench.lines.size(), 20u);
}

TEST_F(PciTransportTest, registers_want_their_own_width) {
    bench.set_common(20, 4, 1);
    EXPECT_EQ(bench.status(), 0u);
    bench.set_common(22, 1, 1);
    EXPECT_EQ(bench.common(22, 2), 0u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kBar0 + 56, 4), 0xffffffffu);
}

TEST_F(PciTransportTest, transport_may_go_before_the_device) {
    run();
    bench.transport.reset();
    EXPECT_EQ(device.resets, 1);
}

}  // namespace
}  // namespace ennead::vmcore
