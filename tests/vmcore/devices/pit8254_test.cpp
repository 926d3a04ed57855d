// SPDX-License-Identifier: MIT
// The 8254 against its data sheet, and the ticks of a late host.
#include "vmcore/devices/pit8254.h"

#include <gtest/gtest.h>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class Pit8254Test : public testing::Test {
  protected:
    void control(u8 v) { pit.ports().write(3, 1, v); }
    // OUT of counter 0 rises with the control word of a periodic mode; only later edges are ticks.
    void control_uncounted(u8 v) {
        control(v);
        edges = 0;
    }
    void count(unsigned counter, u32 v) {
        pit.ports().write(counter, 1, v & 0xff);
        pit.ports().write(counter, 1, v >> 8);
    }
    u32 byte(unsigned counter) { return pit.ports().read(counter, 1); }
    u32 word(unsigned counter) {
        const u32 low = byte(counter);
        return low | byte(counter) << 8;
    }
    u32 latched(unsigned counter) {
        control(static_cast<u8>(counter << 6));
        return word(counter);
    }
    // Moves to the middle of the CLK pulse so many pulses later, without firing timers.
    void pass(u64 pulses) {
        pulse += pulses;
        const u64 ns = static_cast<u64>((static_cast<double>(pulse) + 0.5) * 1e9 / Pit8254::kHz);
        clock.advance_ns(ns - clock.now_ns());
    }
    void run(u64 pulses) {
        for (u64 i = 0; i < pulses; i++) {
            pass(1);
            timers.run_due();
        }
    }
    bool out2() { return (pit.port61().read(0, 1) & 0x20) != 0; }
    void gate2(bool on) { pit.port61().write(0, 1, on ? 1 : 0); }

    ManualClock clock;
    TimerQueue timers{clock};
    u64 pulse = 0;
    bool line = false;
    unsigned edges = 0;
    bool pending = false;
    Pit8254 pit{timers,
                [this](bool on) {
                    edges += on && !line;
                    line = on;
                },
                [this] { return pending; }};
};

TEST_F(Pit8254Test, mode_0_raises_out_n_plus_one_pulses_after_the_count) {
    pass(0);
    control(0x30);
    EXPECT_FALSE(line);
    count(0, 100);
    run(100);
    EXPECT_FALSE(line);
    run(1);
    EXPECT_TRUE(line);
    run(1000);
    EXPECT_EQ(edges, 1u);
}

TEST_F(Pit8254Test, mode_0_counts_down_and_wraps) {
    pass(0);
    control(0x30);
    count(0, 5);
    pass(1);
    EXPECT_EQ(latched(0), 5u);
    pass(4);
    EXPECT_EQ(latched(0), 1u);
    pass(2);
    EXPECT_EQ(latched(0), 0xffffu);
}

TEST_F(Pit8254Test, mode_0_first_byte_stops_and_lowers_out) {
    pass(0);
    control(0x30);
    count(0, 10);
    run(20);
    EXPECT_TRUE(line);
    pit.ports().write(0, 1, 3);
    run(50);
    pit.ports().write(0, 1, 0);
    EXPECT_FALSE(line);
    run(4);
    EXPECT_TRUE(line);
}

TEST_F(Pit8254Test, mode_2_ticks_every_n_pulses_without_drift) {
    control_uncounted(0x34);
    count(0, 11932);  // 100 Hz, nearly
    for (int i = 0; i < 10 * 1000; i++) {
        clock.advance_ns(1'000'000);
        timers.run_due();
    }
    EXPECT_EQ(edges, 10 * Pit8254::kHz / 11932);
}

TEST_F(Pit8254Test, mode_2_counts_from_n_to_one) {
    pass(0);
    control(0x34);
    count(0, 3);
    pass(1);
    EXPECT_EQ(latched(0), 3u);
    pass(2);
    EXPECT_EQ(latched(0), 1u);
    pass(1);
    EXPECT_EQ(latched(0), 3u);
}

TEST_F(Pit8254Test, mode_2_out_is_low_for_the_last_pulse) {
    pass(0);
    gate2(true);
    control(0xb4);
    count(2, 3);
    pass(1);
    EXPECT_TRUE(out2());
    pass(1);
    EXPECT_TRUE(out2());
    pass(1);
    EXPECT_FALSE(out2());
    pass(1);
    EXPECT_TRUE(out2());
}

TEST_F(Pit8254Test, mode_2_new_count_waits_for_the_end_of_the_period) {
    pass(0);
    control(0x34);
    count(0, 100);
    pass(50);
    count(0, 10);
    EXPECT_EQ(latched(0), 51u);
    pass(50);
    EXPECT_EQ(latched(0), 1u);
    pass(1);
    EXPECT_EQ(latched(0), 10u);
    pass(10);
    EXPECT_EQ(latched(0), 10u);
}

TEST_F(Pit8254Test, mode_2_ticks_follow_a_new_count) {
    pass(0);
    control_uncounted(0x34);
    count(0, 2000);
    run(1000);
    count(0, 500);
    run(1001);
    EXPECT_EQ(edges, 1u);
    run(500);
    EXPECT_EQ(edges, 2u);
    run(5000);
    EXPECT_EQ(edges, 12u);
}

TEST_F(Pit8254Test, mode_3_even_count_is_square) {
    pass(0);
    gate2(true);
    control(0xb6);
    count(2, 4);
    const bool expected[] = {true, true, false, false, true, true, false, false};
    const u32 values[] = {4, 2, 4, 2, 4, 2, 4, 2};
    for (int i = 0; i < 8; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
        EXPECT_EQ(latched(2), values[i]) << i;
    }
}

TEST_F(Pit8254Test, mode_3_odd_count_is_high_one_pulse_longer) {
    pass(0);
    gate2(true);
    control(0xb6);
    count(2, 5);
    const bool expected[] = {true, true, true, false, false, true, true, true, false, false};
    const u32 values[] = {4, 2, 0, 4, 2, 4, 2, 0, 4, 2};
    for (int i = 0; i < 10; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
        EXPECT_EQ(latched(2), values[i]) << i;
    }
}

TEST_F(Pit8254Test, mode_3_new_count_waits_for_the_end_of_the_half) {
    pass(0);
    gate2(true);
    control(0xb6);
    count(2, 20);
    pass(3);
    count(2, 4);
    pass(7);  // pulse 10 of the first half
    EXPECT_TRUE(out2());
    const bool expected[] = {false, false, true, true, false, false};
    for (int i = 0; i < 6; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
    }
}

TEST_F(Pit8254Test, mode_3_ticks_once_a_period) {
    control_uncounted(0x36);
    count(0, 0);  // 65536: the BIOS's 18.2 Hz
    for (int i = 0; i < 10000; i++) {
        clock.advance_ns(1'000'000);
        timers.run_due();
    }
    EXPECT_EQ(edges, 182u);
}

TEST_F(Pit8254Test, mode_4_strobes_once_after_n_pulses) {
    pass(0);
    gate2(true);
    control(0xb8);
    count(2, 3);
    const bool expected[] = {true, true, true, false, true, true};
    for (int i = 0; i < 6; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
    }
}

TEST_F(Pit8254Test, mode_4_interrupts_for_each_count_written) {
    pass(0);
    control_uncounted(0x38);
    count(0, 1000);
    run(1001);
    EXPECT_EQ(edges, 0u);
    run(1);
    EXPECT_EQ(edges, 1u);
    run(5000);
    EXPECT_EQ(edges, 1u);
    count(0, 100);
    run(200);
    EXPECT_EQ(edges, 2u);
}

TEST_F(Pit8254Test, mode_1_is_triggered_by_the_gate) {
    pass(0);
    control(0xb2);
    count(2, 3);
    pass(5);
    EXPECT_TRUE(out2());
    gate2(true);
    const bool expected[] = {false, false, false, true, true};
    for (int i = 0; i < 5; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
    }
    gate2(false);
    gate2(true);
    pass(1);
    EXPECT_FALSE(out2());
}

TEST_F(Pit8254Test, mode_5_strobes_after_the_gate) {
    pass(0);
    control(0xba);
    count(2, 2);
    pass(5);
    EXPECT_TRUE(out2());
    gate2(true);
    const bool expected[] = {true, true, false, true};
    for (int i = 0; i < 4; i++) {
        pass(1);
        EXPECT_EQ(out2(), expected[i]) << i;
    }
}

TEST_F(Pit8254Test, low_gate_stops_mode_0) {
    pass(0);
    gate2(true);
    control(0xb0);
    count(2, 100);
    pass(11);
    gate2(false);
    EXPECT_EQ(latched(2), 90u);
    pass(500);
    EXPECT_EQ(latched(2), 90u);
    gate2(true);
    pass(90);
    EXPECT_TRUE(out2());
}

TEST_F(Pit8254Test, rising_gate_reloads_mode_2) {
    pass(0);
    gate2(true);
    control(0xb4);
    count(2, 100);
    pass(31);
    gate2(false);
    EXPECT_TRUE(out2());
    pass(7);
    gate2(true);
    pass(1);
    EXPECT_EQ(latched(2), 100u);
}

TEST_F(Pit8254Test, latch_holds_the_count_until_it_is_read) {
    pass(0);
    control(0x34);
    count(0, 1000);
    pass(11);
    control(0x00);
    pass(100);
    control(0x00);  // ignored: the first is not read yet
    EXPECT_EQ(word(0), 990u);
    EXPECT_EQ(word(0), 890u);
}

TEST_F(Pit8254Test, read_back_latches_count_and_status) {
    pass(0);
    gate2(true);
    control(0x34);
    count(0, 1000);
    control(0xb6);
    count(2, 50);
    pass(11);
    control(0xca);  // counters 0 and 2: count and status
    pass(5);
    EXPECT_EQ(byte(0), 0xb4u);
    EXPECT_EQ(word(0), 990u);
    EXPECT_EQ(byte(2), 0xb6u);
    EXPECT_EQ(word(2), 30u);
}

TEST_F(Pit8254Test, null_count_shows_a_count_that_waits) {
    pass(0);
    control(0x34);
    const auto null = [this] {
        control(0xe2);
        return (byte(0) & 0x40) != 0;
    };
    EXPECT_TRUE(null());
    count(0, 100);
    pass(1);
    EXPECT_FALSE(null());
    count(0, 50);
    EXPECT_TRUE(null());
    pass(100);
    EXPECT_FALSE(null());
}

TEST_F(Pit8254Test, single_byte_access_modes) {
    pass(0);
    control(0x10);  // low byte only
    pit.ports().write(0, 1, 20);
    pass(1);
    EXPECT_EQ(byte(0), 20u);
    EXPECT_EQ(byte(0), 20u);
    control(0x20);  // high byte only
    pit.ports().write(0, 1, 0x12);
    pass(1);
    EXPECT_EQ(byte(0), 0x12u);
    pass(1);
    EXPECT_EQ(byte(0), 0x11u);
}

TEST_F(Pit8254Test, counts_in_bcd) {
    pass(0);
    control(0x31);
    count(0, 0x1000);
    pass(2);
    EXPECT_EQ(latched(0), 0x0999u);
    control(0x31);
    count(0, 0);  // 10000
    pass(2);
    EXPECT_EQ(latched(0), 0x9999u);
}

TEST_F(Pit8254Test, control_word_of_modes_6_and_7_means_2_and_3) {
    control(0x3c);
    control(0xe2);
    EXPECT_EQ(byte(0) & 0x0e, 0x04u);
    control(0x3e);
    control(0xe2);
    EXPECT_EQ(byte(0) & 0x0e, 0x06u);
}

TEST_F(Pit8254Test, port_61_toggles_with_refresh_and_keeps_its_low_bits) {
    pit.port61().write(0, 1, 0xff);
    EXPECT_EQ(pit.port61().read(0, 1) & 0xcf, 0x0fu);
    EXPECT_TRUE(pit.speaker_on());
    unsigned changes = 0;
    u32 last = pit.port61().read(0, 1) & 0x10;
    for (int i = 0; i < 1000; i++) {
        clock.advance_ns(1000);
        const u32 now = pit.port61().read(0, 1) & 0x10;
        changes += now != last;
        last = now;
    }
    EXPECT_NEAR(changes, 66, 1);  // every 15 µs
}

TEST_F(Pit8254Test, late_host_gives_missed_ticks_later) {
    control_uncounted(0x34);
    count(0, 1193);  // about 1 kHz
    clock.advance_ns(50'000'000);
    for (int i = 0; i < 100; i++) {
        timers.run_due();
        clock.advance_ns(500'000);
    }
    EXPECT_NEAR(edges, 100, 2);
}

TEST_F(Pit8254Test, tick_waits_while_the_last_one_is_pending) {
    control_uncounted(0x34);
    count(0, 1193);
    pending = true;
    for (int i = 0; i < 20; i++) {
        clock.advance_ns(1'000'000);
        timers.run_due();
    }
    EXPECT_EQ(edges, 0u);
    pending = false;
    for (int i = 0; i < 40; i++) {
        clock.advance_ns(500'000);
        timers.run_due();
    }
    EXPECT_NEAR(edges, 40, 2);
}

TEST_F(Pit8254Test, ticks_missed_for_long_are_lost) {
    control_uncounted(0x34);
    count(0, 11932);  // 100 Hz
    clock.advance_ns(60'000'000'000);
    for (int i = 0; i < 1000; i++) {
        timers.run_due();
        clock.advance_ns(10'000);
    }
    EXPECT_LE(edges, 202u);
}

TEST_F(Pit8254Test, tiny_period_does_not_flood_the_timer_queue) {
    control(0x34);
    count(0, 2);
    unsigned wakes = 0;
    const u64 end = clock.now_ns() + 10'000'000;
    while (timers.next_deadline_ns() < end && wakes < 100'000) {
        clock.advance_ns(timers.next_deadline_ns() - clock.now_ns());
        timers.run_due();
        wakes++;
    }
    EXPECT_LE(wakes, 1000u);
}

TEST_F(Pit8254Test, reset_stops_everything) {
    control(0x34);
    count(0, 100);
    pit.reset();
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
    EXPECT_FALSE(line);
}

TEST_F(Pit8254Test, survives_random_accesses) {
    for (u32 round = 0; round < 20; round++) {
        hostile_accesses(pit.ports(), 4, 1, round, clock, timers, 2000);
        hostile_accesses(pit.port61(), 1, 1, round, clock, timers, 200);
    }
}

}  // namespace
}  // namespace ennead::vmcore
