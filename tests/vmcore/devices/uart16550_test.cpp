// SPDX-License-Identifier: MIT
// The serial port against the PC16550D's data sheet.
#include "vmcore/devices/uart16550.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class Uart16550Test : public testing::Test {
  protected:
    Uart16550Test() { put(4, 0x0b); }  // DTR, RTS, OUT2

    u32 get(unsigned offset) { return uart.read(offset, 1); }
    void put(unsigned offset, u8 value) { uart.write(offset, 1, value); }
    std::size_t send(const std::string& text) {
        return uart.receive({reinterpret_cast<const u8*>(text.data()), text.size()});
    }
    void pass(u64 ns) {
        clock.advance_ns(ns);
        timers.run_due();
    }
    void fast_line() {
        put(3, 0x83);
        put(0, 1);
        put(1, 0);
        put(3, 0x03);
    }

    ManualClock clock;
    TimerQueue timers{clock};
    bool line = false;
    std::string sent;
    unsigned room = 0;
    std::vector<bool> breaks;
    Uart16550 uart{timers,
                   {.irq = [this](bool on) { line = on; },
                    .transmit = [this](u8 b) { sent.push_back(static_cast<char>(b)); },
                    .room = [this] { room++; },
                    .transmit_break = [this](bool on) { breaks.push_back(on); },
                    .modem_control = {}}};
};

TEST_F(Uart16550Test, reset_values) {
    uart.reset();
    EXPECT_EQ(get(1), 0u);
    EXPECT_EQ(get(2), 1u);
    EXPECT_EQ(get(3), 0u);
    EXPECT_EQ(get(4), 0u);
    EXPECT_EQ(get(5), 0x60u);
    EXPECT_EQ(get(6), 0xb0u);
}

// SeaBIOS and boot loaders look at LSR now and then, and set no modem line.
TEST_F(Uart16550Test, program_that_polls_is_sent_to_without_rts) {
    put(4, 0);
    put(2, 1);
    EXPECT_EQ(send("no"), 0u);
    for (int i = 0; i < 7; i++) {
        (void)get(5);
    }
    EXPECT_FALSE(uart.polled_for_ns());
    (void)get(5);
    EXPECT_EQ(uart.polled_for_ns(), 0u);
    pass(1000);
    EXPECT_EQ(uart.polled_for_ns(), 1000u);
    EXPECT_EQ(send("yes"), 3u);
    EXPECT_EQ(get(0), 'y');
    put(0, 'y');  // an echo does not end it
    EXPECT_EQ(send("!"), 1u);
    put(3, 3);  // another one sets the port up
    EXPECT_FALSE(uart.polled_for_ns());
    EXPECT_EQ(send("no"), 0u);
}

TEST_F(Uart16550Test, program_that_polls_is_given_half_a_fifo_at_a_time) {
    put(2, 1);
    for (int i = 0; i < 8; i++) {
        (void)get(5);
    }
    EXPECT_EQ(send("0123456789"), 8u);
    for (const char c : std::string("01234567")) {
        EXPECT_EQ(get(5) & 1, 1);
        EXPECT_EQ(get(0), c);
    }
    EXPECT_EQ(send("89"), 0u);  // it has not seen yet that there is no more
    EXPECT_EQ(get(5) & 1, 0);
    EXPECT_EQ(send("89"), 2u);
    // One that is interrupted gets all there is room for.
    put(4, 0x0b);
    put(1, 1);
    EXPECT_EQ(send(std::string(20, 'x')), 14u);
}

TEST_F(Uart16550Test, program_that_only_sends_does_not_poll) {
    for (int i = 0; i < 100; i++) {
        (void)get(5);  // is the holding register empty?
        put(0, 'x');
    }
    EXPECT_FALSE(uart.polled_for_ns());
}

TEST_F(Uart16550Test, transmits_at_once) {
    put(3, 0x03);
    for (const char c : std::string("ok")) {
        put(0, static_cast<u8>(c));
        EXPECT_EQ(get(5) & 0x60, 0x60u);
    }
    EXPECT_EQ(sent, "ok");
}

TEST_F(Uart16550Test, transmits_as_many_bits_as_the_word_has) {
    put(3, 0x02);  // seven
    put(0, 0xc1);
    EXPECT_EQ(sent, "A");
}

TEST_F(Uart16550Test, divisor_latch_hides_data_and_ier) {
    put(1, 0x05);
    put(3, 0x80);
    put(0, 0x34);
    put(1, 0x12);
    EXPECT_EQ(get(0), 0x34u);
    EXPECT_EQ(get(1), 0x12u);
    put(3, 0x00);
    EXPECT_EQ(get(1), 0x05u);
    EXPECT_EQ(sent, "");
}

TEST_F(Uart16550Test, scratch_keeps_and_ier_has_four_bits) {
    put(7, 0xa5);
    EXPECT_EQ(get(7), 0xa5u);
    put(1, 0xff);
    EXPECT_EQ(get(1), 0x0fu);
}

TEST_F(Uart16550Test, without_fifo_one_byte_is_taken_at_a_time) {
    put(1, 0x01);
    EXPECT_EQ(send("ab"), 1u);
    EXPECT_TRUE(line);
    EXPECT_EQ(get(2), 0x04u);
    EXPECT_EQ(get(5) & 1, 1u);
    EXPECT_EQ(get(0), u32{'a'});
    EXPECT_EQ(room, 1u);
    EXPECT_FALSE(line);
    EXPECT_EQ(get(5) & 1, 0u);
}

TEST_F(Uart16550Test, fifo_takes_sixteen_and_asks_for_more_when_read) {
    put(2, 0x01);
    EXPECT_EQ(get(2), 0xc1u);
    EXPECT_EQ(send("0123456789abcdefXYZ"), 16u);
    EXPECT_EQ(send("X"), 0u);
    std::string got;
    while (get(5) & 1) {
        got.push_back(static_cast<char>(get(0)));
    }
    EXPECT_EQ(got, "0123456789abcdef");
    EXPECT_EQ(room, 1u);
    EXPECT_EQ(get(5) & 2, 0u);  // no overrun
}

TEST_F(Uart16550Test, trigger_levels) {
    const std::pair<u8, unsigned> levels[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    for (const auto& [fcr, level] : levels) {
        put(2, static_cast<u8>(fcr | 0x02));
        put(1, 0x01);
        for (unsigned i = 1; i <= level; i++) {
            EXPECT_FALSE(line) << i;
            send("x");
        }
        EXPECT_TRUE(line);
        EXPECT_EQ(get(2), 0xc4u);
        get(0);
        EXPECT_FALSE(line);
    }
}

TEST_F(Uart16550Test, fewer_bytes_time_out_after_four_characters) {
    fast_line();
    put(2, 0xc1);
    put(1, 0x01);
    send("ab");
    pass(4 * 86'000);
    EXPECT_FALSE(line);
    pass(5'000);
    EXPECT_TRUE(line);
    EXPECT_EQ(get(2), 0xccu);
    EXPECT_EQ(get(2), 0xccu);  // reading IIR does not clear it
    get(0);
    EXPECT_FALSE(line);
    pass(400'000);
    EXPECT_TRUE(line);  // the second byte still waits
    get(0);
    pass(400'000);
    EXPECT_FALSE(line);
}

TEST_F(Uart16550Test, transmitter_empty_interrupt_is_cleared_by_reading_iir) {
    put(1, 0x02);
    EXPECT_TRUE(line);  // enabled while empty
    EXPECT_EQ(get(2), 0x02u);
    EXPECT_FALSE(line);
    EXPECT_EQ(get(2), 0x01u);
    put(0, 'x');
    EXPECT_TRUE(line);
    get(2);
    put(1, 0x00);
    put(1, 0x02);
    EXPECT_TRUE(line);
}

TEST_F(Uart16550Test, interrupts_are_shown_in_order_of_priority) {
    put(2, 0x01);
    put(1, 0x0f);
    uart.set_modem_lines({.cts = false, .dsr = true, .ri = false, .dcd = true});
    send("x");
    uart.receive_break();
    EXPECT_EQ(get(2) & 0xf, 0x04u);  // the break is not at the top yet
    get(0);
    EXPECT_EQ(get(2) & 0xf, 0x06u);
    get(5);
    EXPECT_EQ(get(2) & 0xf, 0x04u);
    get(0);
    EXPECT_EQ(get(2) & 0xf, 0x02u);
    EXPECT_EQ(get(2) & 0xf, 0x00u);
    get(6);
    EXPECT_EQ(get(2) & 0xf, 0x01u);
    EXPECT_FALSE(line);
}

TEST_F(Uart16550Test, break_is_a_zero_with_its_error_at_the_top_of_the_fifo) {
    put(2, 0x01);
    send("a");
    EXPECT_TRUE(uart.receive_break());
    EXPECT_EQ(get(5), 0xe1u);  // an error is somewhere in the FIFO
    get(0);
    EXPECT_EQ(get(5), 0xf1u);
    EXPECT_EQ(get(5), 0x61u);  // shown once
    EXPECT_EQ(get(0), 0u);
}

TEST_F(Uart16550Test, loopback_returns_data_and_modem_lines) {
    put(2, 0x01);
    put(4, 0x1a);
    EXPECT_EQ(get(6) & 0xf0, 0x90u);
    put(3, 0x03);
    put(0, 'q');
    EXPECT_EQ(sent, "");
    EXPECT_EQ(get(0), u32{'q'});
    EXPECT_EQ(send("x"), 0u);
    put(4, 0x0b);
    EXPECT_EQ(room, 1u);
}

TEST_F(Uart16550Test, loopback_overruns_when_full) {
    put(2, 0x01);
    put(3, 0x03);
    put(4, 0x12);
    for (int i = 0; i < 17; i++) {
        put(0, static_cast<u8>('a' + i));
    }
    EXPECT_EQ(get(5) & 2, 2u);
    EXPECT_EQ(get(5) & 2, 0u);
    EXPECT_EQ(get(0), u32{'a'});
}

TEST_F(Uart16550Test, no_bytes_without_rts) {
    put(4, 0x09);
    EXPECT_EQ(send("x"), 0u);
    put(4, 0x0b);
    EXPECT_EQ(room, 1u);
    EXPECT_EQ(send("x"), 1u);
}

TEST_F(Uart16550Test, listening_needs_rts_and_a_receive_interrupt_that_gets_out) {
    EXPECT_FALSE(uart.listening());
    put(1, 0x01);
    EXPECT_TRUE(uart.listening());
    put(4, 0x09);
    EXPECT_FALSE(uart.listening());
    put(4, 0x03);  // as Linux has it while it looks which bits of IER there are
    EXPECT_FALSE(uart.listening());
}

TEST_F(Uart16550Test, out2_gates_the_interrupt_line) {
    put(4, 0x03);
    put(1, 0x02);
    EXPECT_FALSE(line);
    put(4, 0x0b);
    EXPECT_TRUE(line);
}

TEST_F(Uart16550Test, modem_changes_are_kept_until_read) {
    EXPECT_EQ(get(6), 0xb0u);
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = true, .dcd = false});
    EXPECT_EQ(get(6), 0x78u);  // DDCD; the ring indicator counts when it ends
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = false, .dcd = false});
    EXPECT_EQ(get(6), 0x34u);
    EXPECT_EQ(get(6), 0x30u);
}

TEST_F(Uart16550Test, fifo_control_needs_its_enable_bit) {
    put(2, 0xc0);
    EXPECT_EQ(get(2), 0x01u);
    put(2, 0xc1);
    send("abc");
    put(2, 0x02);  // turns the FIFO off, which empties it
    EXPECT_EQ(get(5) & 1, 0u);
    EXPECT_EQ(get(2), 0x01u);
}

TEST_F(Uart16550Test, reset_bit_empties_the_receiver) {
    put(2, 0x01);
    send("abc");
    put(2, 0x03);
    EXPECT_EQ(get(5) & 1, 0u);
}

TEST_F(Uart16550Test, sends_a_break) {
    put(3, 0x43);
    put(3, 0x43);
    put(3, 0x03);
    EXPECT_EQ(breaks, (std::vector<bool>{true, false}));
}

TEST_F(Uart16550Test, room_callback_may_refill) {
    std::string source = std::string(300, 'z');
    std::size_t at = 0;
    Uart16550* self = nullptr;
    Uart16550 other(
        timers, {.irq = {},
                 .transmit = {},
                 .room =
                     [&] {
                         at += self->receive(
                             {reinterpret_cast<const u8*>(source.data()) + at, source.size() - at});
                     },
                 .transmit_break = {},
                 .modem_control = {}});
    self = &other;
    other.write(4, 1, 0x03);
    other.write(2, 1, 0x01);
    at += other.receive({reinterpret_cast<const u8*>(source.data()), source.size()});
    unsigned got = 0;
    while (other.read(5, 1) & 1) {
        EXPECT_EQ(other.read(0, 1), u32{'z'});
        got++;
    }
    EXPECT_EQ(got, 300u);
}

TEST_F(Uart16550Test, survives_random_accesses) {
    for (u32 round = 0; round < 100; round++) {
        hostile_accesses(uart, 8, 1, round, clock, timers, 500);
        send("some text that is longer than the FIFO");
        uart.receive_break();
        uart.set_modem_lines(
            {.cts = round % 2 == 0, .dsr = true, .ri = round % 3 == 0, .dcd = true});
    }
}

}  // namespace
}  // namespace ennead::vmcore
