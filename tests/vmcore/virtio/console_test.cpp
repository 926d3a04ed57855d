// SPDX-License-Identifier: MIT
// The virtio console: input with back-pressure, output, size.
#include "vmcore/virtio/console.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kData = 0x40000;
constexpr u16 kReceive = 0, kTransmit = 1;

class VirtioConsoleTest : public ::testing::Test {
  protected:
    void run() {
        bench.negotiate(kAllTransport | 1);
        receive.emplace(bench.make_queue(kReceive, 8));
        transmit.emplace(bench.make_queue(kTransmit, 8));
        bench.driver_ok();
    }
    std::size_t input(std::string_view text) {
        return console.input({reinterpret_cast<const u8*>(text.data()), text.size()});
    }

    std::string printed;
    VirtioConsole console{[this](std::span<const u8> bytes) {
        printed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }};
    VirtioBench bench{console};
    std::optional<DriverRing> receive, transmit;
};

TEST_F(VirtioConsoleTest, output_of_a_chain_is_one_text) {
    run();
    EXPECT_TRUE(console.driver_ready());
    bench.write(kData, "hello, ");
    bench.write(kData + 0x100, "world\n");
    transmit->describe(0, kData, 7, kNext, 1);
    transmit->describe(1, kData + 0x100, 6, 0);
    transmit->offer(0);
    bench.notify(kTransmit);
    EXPECT_EQ(printed, "hello, world\n");
    EXPECT_EQ(transmit->used(0), (std::pair<u32, u32>{0, 0}));
}

TEST_F(VirtioConsoleTest, input_waits_for_driver_and_buffers) {
    EXPECT_FALSE(console.driver_ready());
    EXPECT_EQ(input("typed ahead"), 11u);
    run();
    EXPECT_EQ(receive->used_index(), 0);
    receive->describe(0, kData, 4, kNext | kWrite, 1);
    receive->describe(1, kData + 4, 2, kWrite);
    receive->describe(2, kData + 6, 100, kWrite);
    receive->offer(0);
    receive->offer(2);
    bench.notify(kReceive);
    EXPECT_EQ(bench.text(kData, 11), "typed ahead");
    EXPECT_EQ(receive->used(0), (std::pair<u32, u32>{0, 6}));
    EXPECT_EQ(receive->used(1), (std::pair<u32, u32>{2, 5}));
}

TEST_F(VirtioConsoleTest, input_reaches_waiting_buffers_at_once) {
    run();
    receive->describe(0, kData, 16, kWrite);
    receive->offer(0);
    bench.notify(kReceive);
    EXPECT_FALSE(bench.line);
    EXPECT_EQ(input("ls\n"), 3u);
    EXPECT_TRUE(bench.line);
    EXPECT_EQ(receive->used(0), (std::pair<u32, u32>{0, 3}));
    EXPECT_EQ(input(""), 0u);
    EXPECT_EQ(receive->used_index(), 1);
}

TEST_F(VirtioConsoleTest, input_queue_is_bounded) {
    const std::string much(50000, 'x');
    EXPECT_EQ(input(much), 50000u);
    EXPECT_EQ(console.input_room(), VirtioConsole::kInputLimit - 50000);
    EXPECT_EQ(input(much), VirtioConsole::kInputLimit - 50000);
    EXPECT_EQ(input("y"), 0u);
    console.clear_input();
    EXPECT_EQ(console.input_room(), VirtioConsole::kInputLimit);
}

TEST_F(VirtioConsoleTest, input_survives_a_reset_by_the_driver) {
    input("keep");
    run();
    run();
    receive->describe(0, kData, 16, kWrite);
    receive->offer(0);
    bench.notify(kReceive);
    EXPECT_EQ(bench.text(kData, 4), "keep");
}

TEST_F(VirtioConsoleTest, resize_shows_in_the_configuration_and_interrupts) {
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), (24u << 16) | 80);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 4, 4), 1u);
    run();
    const u32 generation = bench.common(21, 1);
    console.resize(300, 50);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), (50u << 16) | 300);
    EXPECT_NE(bench.common(21, 1), generation);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kIsr, 1), 2u);
    console.resize(300, 50);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kIsr, 1), 0u) << "nothing changed";
}

TEST_F(VirtioConsoleTest, emergency_write_needs_no_driver) {
    bench.mmio.write(VirtioBench::kConfig + 8, 4, 'P');
    bench.mmio.write(VirtioBench::kConfig + 8, 1, '!');
    EXPECT_EQ(printed, "P!");
    bench.mmio.write(VirtioBench::kConfig, 4, 0);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig, 4), (24u << 16) | 80) << "read-only";
}

TEST_F(VirtioConsoleTest, wrong_directions_break_the_device) {
    run();
    receive->describe(0, kData, 4, 0);
    receive->offer(0);
    input("x");
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
    EXPECT_FALSE(console.driver_ready());
    run();
    transmit->describe(0, kData, 4, kWrite);
    transmit->offer(0);
    bench.notify(kTransmit);
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

TEST_F(VirtioConsoleTest, endless_output_breaks_the_device) {
    run();
    for (u16 i = 0; i < 8; ++i) {
        transmit->describe(i, 0, 0x80000, i < 7 ? kNext : 0, static_cast<u16>(i + 1));
    }
    transmit->offer(0);
    bench.notify(kTransmit);
    EXPECT_EQ(printed, "");
    EXPECT_NE(bench.status() & PciTransport::kNeedsReset, 0);
}

}  // namespace
}  // namespace ennead::vmcore
