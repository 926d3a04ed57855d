// SPDX-License-Identifier: MIT
// The virtio console: input with back-pressure, output, size, control messages.
#include "vmcore/virtio/console.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/vmcore/virtio/virtio_driver.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kData = 0x40000;
constexpr u16 kReceive = 0, kTransmit = 1, kControlReceive = 2, kControlTransmit = 3;
constexpr u64 kSize = 1, kMultiport = 2;

// virtio 1.2 §5.3.6.2.
constexpr u16 kDeviceReady = 0, kPortAdd = 1, kPortRemove = 2, kPortReady = 3, kConsolePort = 4,
              kResize = 5, kPortOpen = 6;

std::string le16(unsigned value) {
    return {static_cast<char>(value), static_cast<char>(value >> 8)};
}

std::string control(u16 event, u16 value, u32 port = 0) {
    return le16(port & 0xffff) + le16(port >> 16) + le16(event) + le16(value);
}

class VirtioConsoleTest : public ::testing::Test {
  protected:
    void run() {
        bench.negotiate(kAllTransport | kSize);
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

TEST_F(VirtioConsoleTest, listens_without_multiport_once_the_driver_prints) {
    EXPECT_FALSE(console.listening());
    run();
    EXPECT_FALSE(console.listening());
    bench.mmio.write(VirtioBench::kConfig + 8, 4, '!');
    EXPECT_FALSE(console.listening()) << "an emergency write needs no driver";
    transmit->describe(0, kData, 1, 0);
    transmit->offer(0);
    bench.notify(kTransmit);
    EXPECT_TRUE(console.listening());
    bench.set_status(0);
    EXPECT_FALSE(console.listening());
    run();
    EXPECT_FALSE(console.listening());
}

TEST_F(VirtioConsoleTest, control_queues_are_dead_without_multiport) {
    bench.negotiate(kAllTransport | kSize);
    DriverRing heard = bench.make_queue(kControlReceive, 8);
    DriverRing said = bench.make_queue(kControlTransmit, 8);
    bench.driver_ok();
    bench.write(kData, control(kPortReady, 1));
    heard.describe(0, kData, 16, kWrite);
    heard.offer(0);
    bench.notify(kControlReceive);
    said.describe(0, kData, 8, 0);
    said.offer(0);
    bench.notify(kControlTransmit);
    console.resize(100, 40);
    EXPECT_EQ(heard.used_index(), 0);
    EXPECT_EQ(said.used_index(), 0);
    EXPECT_EQ(bench.status() & PciTransport::kNeedsReset, 0);
    EXPECT_FALSE(console.listening());
}

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

class VirtioConsoleMultiportTest : public VirtioConsoleTest {
  protected:
    static constexpr u64 kSaid = 0x50000, kHeard = 0x60000, kHeardStride = 0x100;

    void run() {
        bench.negotiate(kAllTransport | kSize | kMultiport);
        receive.emplace(bench.make_queue(kReceive, 8));
        transmit.emplace(bench.make_queue(kTransmit, 8));
        heard.emplace(bench.make_queue(kControlReceive, 8));
        said.emplace(bench.make_queue(kControlTransmit, 8));
        next_heard = next_said = 0;
        bench.driver_ok();
    }
    void say(std::string_view message) {
        bench.write(kSaid, message);
        said->describe(0, kSaid, static_cast<u32>(message.size()), 0);
        said->offer(0);
        bench.notify(kControlTransmit);
        ++next_said;
    }
    // Gives the device one more buffer to speak into.
    void listen(u32 length = 64) {
        const u16 slot = static_cast<u16>(next_heard++ % 8);
        heard->describe(slot, kHeard + kHeardStride * slot, length, kWrite);
        heard->offer(slot);
        bench.notify(kControlReceive);
    }
    // What the device put into the buffer used as number `index`.
    std::string message(u16 index) {
        const auto [slot, length] = heard->used(index);
        return bench.text(kHeard + kHeardStride * slot, length);
    }
    void open_port() {
        say(control(kDeviceReady, 1, ~0u));
        say(control(kPortReady, 1));
        say(control(kPortOpen, 1));
    }
    bool broken() { return (bench.status() & PciTransport::kNeedsReset) != 0; }

    std::optional<DriverRing> heard, said;
    u16 next_heard = 0, next_said = 0;
};

TEST_F(VirtioConsoleMultiportTest, offers_one_port_and_four_queues_with_a_vector_each) {
    EXPECT_EQ(bench.device_features() & 7, 7u);
    EXPECT_EQ(bench.mmio.read(VirtioBench::kConfig + 4, 4), 1u);
    EXPECT_EQ(bench.common(18, 2), 4u);
    for (u16 n = 0; n < 4; ++n) {
        bench.set_common(22, 2, n);
        EXPECT_NE(bench.common(24, 2), 0u);
        bench.set_common(26, 2, n);
        EXPECT_EQ(bench.common(26, 2), n);
    }
    bench.set_common(16, 2, 4);
    EXPECT_EQ(bench.common(16, 2), 4u);
    bench.set_common(16, 2, 5);
    EXPECT_EQ(bench.common(16, 2), kVirtioNoVector);
}

TEST_F(VirtioConsoleMultiportTest, port_0_is_announced_and_opened) {
    console.resize(300, 50);
    run();
    for (int i = 0; i < 8; ++i) {
        listen();
    }
    EXPECT_EQ(heard->used_index(), 0) << "nothing before DEVICE_READY";
    say(control(kDeviceReady, 1, ~0u));
    ASSERT_EQ(heard->used_index(), 1);
    EXPECT_EQ(message(0).substr(0, 6), control(kPortAdd, 1).substr(0, 6));
    say(control(kPortReady, 1));
    ASSERT_EQ(heard->used_index(), 4);
    EXPECT_EQ(message(1), control(kConsolePort, 1));
    EXPECT_EQ(message(2), control(kResize, 1) + le16(300) + le16(50));
    EXPECT_EQ(message(3), control(kPortOpen, 1));
    EXPECT_FALSE(console.listening());
    say(control(kPortOpen, 1));
    EXPECT_TRUE(console.listening());
    EXPECT_EQ(said->used_index(), next_said);
    EXPECT_EQ(heard->used_index(), 4);
    say(control(kPortOpen, 0));
    EXPECT_FALSE(console.listening());
    EXPECT_FALSE(broken());
}

TEST_F(VirtioConsoleMultiportTest, output_alone_does_not_mean_that_the_guest_listens) {
    run();
    bench.write(kData, "x");
    transmit->describe(0, kData, 1, 0);
    transmit->offer(0);
    bench.notify(kTransmit);
    EXPECT_EQ(printed, "x");
    EXPECT_FALSE(console.listening());
}

TEST_F(VirtioConsoleMultiportTest, input_waits_until_the_guest_opens_the_port) {
    input("typed ");
    run();
    receive->describe(0, kData, 16, kWrite);
    receive->offer(0);
    bench.notify(kReceive);
    input("ahead");
    EXPECT_EQ(receive->used_index(), 0);
    open_port();
    ASSERT_EQ(receive->used_index(), 1);
    EXPECT_EQ(bench.text(kData, 11), "typed ahead");
}

TEST_F(VirtioConsoleMultiportTest, messages_wait_for_buffers_and_are_not_doubled) {
    run();
    for (int i = 0; i < 1000; ++i) {
        say(control(kDeviceReady, 1));
        say(control(kPortReady, 1));
        console.resize(static_cast<u16>(i + 100), 50);
    }
    listen();
    EXPECT_EQ(heard->used_index(), 1);
    for (int i = 0; i < 7; ++i) {
        listen();
    }
    ASSERT_EQ(heard->used_index(), 4);
    EXPECT_EQ(message(0), control(kPortAdd, 1));
    EXPECT_EQ(message(1), control(kConsolePort, 1));
    EXPECT_EQ(message(2), control(kResize, 1) + le16(1099) + le16(50)) << "the last size";
    EXPECT_EQ(message(3), control(kPortOpen, 1));
}

TEST_F(VirtioConsoleMultiportTest, hanging_up_takes_the_port_and_gives_it_back) {
    run();
    console.hang_up();
    for (int i = 0; i < 8; ++i) {
        listen();
    }
    EXPECT_EQ(heard->used_index(), 0) << "there is no port yet";
    open_port();
    ASSERT_EQ(heard->used_index(), 4);
    input("for the one who is gone");
    console.hang_up();
    console.hang_up();
    ASSERT_EQ(heard->used_index(), 6) << "once: nothing is left to hang up";
    EXPECT_EQ(message(4).substr(0, 6), control(kPortRemove, 1).substr(0, 6));
    EXPECT_EQ(message(5).substr(0, 6), control(kPortAdd, 1).substr(0, 6));
    EXPECT_FALSE(console.listening());
    for (int i = 0; i < 4; ++i) {
        listen();
    }
    input("for the next");
    receive->describe(0, kData, 32, kWrite);
    receive->offer(0);
    bench.notify(kReceive);
    EXPECT_EQ(receive->used_index(), 0);
    say(control(kPortReady, 1));
    say(control(kPortOpen, 1));
    EXPECT_TRUE(console.listening());
    ASSERT_EQ(receive->used_index(), 1);
    EXPECT_EQ(bench.text(kData, 12), "for the next");
    EXPECT_FALSE(broken());
}
TEST_F(VirtioConsoleMultiportTest, resize_tells_a_ready_port) {
    run();
    for (int i = 0; i < 8; ++i) {
        listen();
    }
    console.resize(90, 30);
    EXPECT_EQ(heard->used_index(), 0);
    open_port();
    ASSERT_EQ(heard->used_index(), 4);
    console.resize(120, 40);
    ASSERT_EQ(heard->used_index(), 5);
    EXPECT_EQ(message(4), control(kResize, 1) + le16(120) + le16(40));
    console.resize(120, 40);
    EXPECT_EQ(heard->used_index(), 5) << "nothing changed";
    say(control(kPortReady, 0));
    console.resize(80, 24);
    EXPECT_EQ(heard->used_index(), 5) << "the driver has no port";
}

TEST_F(VirtioConsoleMultiportTest, a_message_may_come_in_pieces_and_go_into_pieces) {
    run();
    bench.write(kSaid, control(kPortReady, 1) + "more");
    said->describe(0, kSaid, 3, kNext, 1);
    said->describe(1, kSaid + 3, 4, kNext, 2);
    said->describe(2, kSaid + 7, 5, 0);
    said->offer(0);
    bench.notify(kControlTransmit);
    heard->describe(0, kHeard, 3, kNext | kWrite, 1);
    heard->describe(1, kHeard + 3, 9, kWrite);
    heard->offer(0);
    bench.notify(kControlReceive);
    ASSERT_EQ(heard->used_index(), 1);
    EXPECT_EQ(message(0), control(kConsolePort, 1));
}

TEST_F(VirtioConsoleMultiportTest, reset_forgets_the_port) {
    run();
    open_port();
    EXPECT_TRUE(console.listening());
    run();
    EXPECT_FALSE(console.listening());
    listen();
    EXPECT_EQ(heard->used_index(), 0) << "what was for the old driver";
    say(control(kDeviceReady, 1));
    EXPECT_EQ(heard->used_index(), 1);
    VirtioConsoleTest::run();
    EXPECT_EQ(bench.status() & PciTransport::kNeedsReset, 0);
    console.resize(10, 10);
    EXPECT_FALSE(console.listening());
}

TEST_F(VirtioConsoleMultiportTest, a_driver_that_is_not_ready_hears_nothing) {
    run();
    listen();
    say(control(kDeviceReady, 0));
    say(control(kPortReady, 0));
    EXPECT_EQ(heard->used_index(), 0);
    EXPECT_FALSE(broken());
}

TEST_F(VirtioConsoleMultiportTest, bad_messages_break_the_device) {
    for (const std::string& bad :
         {std::string(), control(kPortOpen, 1).substr(0, 7), control(kPortOpen, 1, 1),
          control(kPortReady, 1, ~0u), control(kPortAdd, 1), control(7, 1), control(0xffff, 1)}) {
        run();
        open_port();
        EXPECT_TRUE(console.listening());
        say(bad);
        EXPECT_TRUE(broken());
        EXPECT_FALSE(console.listening());
        console.resize(static_cast<u16>(bad.size() + 100), 50);
    }
    EXPECT_LE(bench.lines.size(), 8u);
}

TEST_F(VirtioConsoleMultiportTest, wrong_control_buffers_break_the_device) {
    run();
    said->describe(0, kSaid, 8, kWrite);
    said->offer(0);
    bench.notify(kControlTransmit);
    EXPECT_TRUE(broken());
    run();
    heard->describe(0, kHeard, 64, 0);
    heard->offer(0);
    say(control(kDeviceReady, 1));
    EXPECT_TRUE(broken());
    run();
    listen(7);
    EXPECT_FALSE(broken());
    say(control(kDeviceReady, 1));
    EXPECT_TRUE(broken());
}

TEST_F(VirtioConsoleMultiportTest, control_queues_may_be_missing) {
    bench.negotiate(kAllTransport | kSize | kMultiport);
    bench.driver_ok();
    input("x");
    console.resize(100, 50);
    bench.notify(kControlTransmit);
    EXPECT_FALSE(console.listening());
    bench.negotiate(kAllTransport | kSize | kMultiport);
    said.emplace(bench.make_queue(kControlTransmit, 8));
    bench.driver_ok();
    open_port();
    console.resize(120, 50);
    EXPECT_FALSE(broken());
    EXPECT_FALSE(console.listening()) << "there is no receive queue";
}

}  // namespace
}  // namespace ennead::vmcore
