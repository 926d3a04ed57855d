// SPDX-License-Identifier: MIT
// The real-time clock against the MC146818's data sheet.
#include "vmcore/devices/rtc146818.h"

#include <gtest/gtest.h>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kSecond = 1'000'000'000;

class Rtc146818Test : public testing::Test {
  protected:
    u8 get(u8 index) {
        rtc.write(0, 1, index);
        return static_cast<u8>(rtc.read(1, 1));
    }
    void put(u8 index, u8 value) {
        rtc.write(0, 1, index);
        rtc.write(1, 1, value);
    }
    void pass(u64 ns) {
        clock.advance_ns(ns);
        timers.run_due();
    }
    // Sets the time as the data sheet wants it, with updates stopped.
    void set(u8 century, u8 year, u8 month, u8 day, u8 hour, u8 minute, u8 second) {
        put(0x0b, get(0x0b) | 0x80);
        put(0x32, century);
        put(9, year);
        put(8, month);
        put(7, day);
        put(4, hour);
        put(2, minute);
        put(0, second);
        put(0x0b, get(0x0b) & 0x7f);
    }
    void expect_time(u8 hour, u8 minute, u8 second) {
        EXPECT_EQ(get(4), hour);
        EXPECT_EQ(get(2), minute);
        EXPECT_EQ(get(0), second);
    }

    // 2024-02-28 23:59:50 UTC, a Wednesday.
    i64 start = i64{1'709'164'790} * 1'000'000'000;
    ManualClock clock;
    TimerQueue timers{clock};
    bool line = false;
    unsigned edges = 0;
    Rtc146818 rtc{timers, [this] { return start + static_cast<i64>(clock.now_ns()); },
                  [this](bool on) {
                      edges += on && !line;
                      line = on;
                  }};
};

TEST_F(Rtc146818Test, shows_the_hosts_time_in_bcd) {
    expect_time(0x23, 0x59, 0x50);
    EXPECT_EQ(get(6), 4);  // Sunday is 1
    EXPECT_EQ(get(7), 0x28);
    EXPECT_EQ(get(8), 0x02);
    EXPECT_EQ(get(9), 0x24);
    EXPECT_EQ(get(0x32), 0x20);
    EXPECT_EQ(get(0x0d), 0x80);
}

TEST_F(Rtc146818Test, goes_through_midnight_into_a_leap_day) {
    pass(10 * kSecond);
    expect_time(0x00, 0x00, 0x00);
    EXPECT_EQ(get(7), 0x29);
    EXPECT_EQ(get(6), 5);
    pass(86400 * kSecond);
    EXPECT_EQ(get(7), 0x01);
    EXPECT_EQ(get(8), 0x03);
}

TEST_F(Rtc146818Test, binary_and_12_hour_formats) {
    put(0x0b, 0x06);
    expect_time(23, 59, 50);
    put(0x0b, 0x00);
    expect_time(0x91, 0x59, 0x50);  // 11 p.m.
    put(0x0b, 0x04);
    expect_time(0x8b, 59, 50);
    pass(10 * kSecond);
    expect_time(12, 0, 0);  // midnight is 12 a.m.
    pass(12 * 3600 * kSecond);
    expect_time(0x8c, 0, 0);  // noon is 12 p.m.
}

TEST_F(Rtc146818Test, keeps_the_time_that_was_set) {
    set(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58);
    expect_time(0x23, 0x59, 0x58);
    pass(2 * kSecond);
    expect_time(0x00, 0x00, 0x00);
    EXPECT_EQ(get(9), 0x00);
    EXPECT_EQ(get(0x32), 0x20);
}

TEST_F(Rtc146818Test, takes_any_year_it_can_show) {
    set(0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    EXPECT_EQ(get(0x32), 0x99);
    EXPECT_EQ(get(9), 0x99);
    set(0x00, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00);
    EXPECT_EQ(get(0x32), 0x00);
    EXPECT_EQ(get(9), 0x01);
    EXPECT_EQ(get(8), 0x01);
    EXPECT_EQ(get(7), 0x01);
    pass(kSecond);
    expect_time(0, 0, 1);
}

TEST_F(Rtc146818Test, weekday_counts_on_from_what_was_written) {
    put(6, 1);
    EXPECT_EQ(get(6), 1);
    pass(86400 * kSecond);
    EXPECT_EQ(get(6), 2);
}

TEST_F(Rtc146818Test, set_bit_stops_the_time_registers) {
    put(0x0b, 0x82);
    pass(5 * kSecond);
    expect_time(0x23, 0x59, 0x50);
    put(0x0b, 0x02);
    expect_time(0x23, 0x59, 0x50);  // goes on from the registers
    pass(kSecond);
    expect_time(0x23, 0x59, 0x51);
}

TEST_F(Rtc146818Test, set_does_not_stop_the_divider) {
    pass(300'000'000);
    set(0x20, 0x24, 0x01, 0x01, 0x00, 0x00, 0x00);
    pass(699'000'000);
    expect_time(0, 0, 0);
    pass(2'000'000);
    expect_time(0, 0, 1);
}

TEST_F(Rtc146818Test, first_update_comes_half_a_second_after_the_divider_starts) {
    pass(300'000'000);
    put(0x0a, 0x76);
    set(0x20, 0x24, 0x01, 0x01, 0x00, 0x00, 0x00);
    pass(10 * kSecond);
    expect_time(0, 0, 0);
    put(0x0a, 0x26);
    pass(499'000'000);
    expect_time(0, 0, 0);
    pass(2'000'000);
    expect_time(0, 0, 1);
}

TEST_F(Rtc146818Test, uip_rises_244_us_before_the_update_of_1984_us) {
    EXPECT_EQ(get(0x0a) & 0x80, 0);
    pass(kSecond - 2'229'000);
    EXPECT_EQ(get(0x0a) & 0x80, 0);
    pass(2'000);
    EXPECT_EQ(get(0x0a) & 0x80, 0x80);
    expect_time(0x23, 0x59, 0x50);
    pass(2'226'000);
    EXPECT_EQ(get(0x0a) & 0x80, 0x80);
    pass(1'000);
    EXPECT_EQ(get(0x0a) & 0x80, 0);
    expect_time(0x23, 0x59, 0x51);
    put(0x0b, 0x82);
    pass(kSecond - 1'000'000);
    EXPECT_EQ(get(0x0a) & 0x80, 0);  // no update while SET
}

TEST_F(Rtc146818Test, update_ended_interrupt_once_a_second) {
    put(0x0b, 0x12);
    for (int i = 0; i < 5; i++) {
        pass(kSecond);
        EXPECT_TRUE(line);
        EXPECT_EQ(get(0x0c) & 0x90, 0x90);
        EXPECT_FALSE(line);
    }
    EXPECT_EQ(edges, 5u);
}

TEST_F(Rtc146818Test, periodic_interrupt_rates) {
    const std::pair<u8, unsigned> rates[] = {{0x1, 256}, {0x2, 128}, {0x3, 8192}, {0x6, 1024},
                                             {0xa, 64},  {0xf, 2},   {0x5, 2048}};
    for (const auto& [rate, hz] : rates) {
        put(0x0a, static_cast<u8>(0x20 | rate));
        get(0x0c);
        put(0x0b, 0x42);
        edges = 0;
        const u64 end = clock.now_ns() + kSecond;
        while (timers.next_deadline_ns() <= end) {
            pass(timers.next_deadline_ns() - clock.now_ns());
            EXPECT_EQ(get(0x0c) & 0xc0, 0xc0);
        }
        pass(end - clock.now_ns());
        EXPECT_NEAR(edges, hz, 1);
        put(0x0b, 0x02);
    }
}

TEST_F(Rtc146818Test, rate_zero_gives_no_periodic_interrupt) {
    put(0x0a, 0x20);
    put(0x0b, 0x42);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(Rtc146818Test, alarm_at_a_time_of_day) {
    put(5, 0x00);
    put(3, 0x00);
    put(1, 0x02);
    put(0x0b, 0x22);
    pass(11 * kSecond);
    EXPECT_FALSE(line);
    pass(kSecond);
    EXPECT_TRUE(line);
    EXPECT_EQ(get(0x0c) & 0xa0, 0xa0);
    EXPECT_EQ(timers.next_deadline_ns() - clock.now_ns(), 86400 * kSecond);
}

TEST_F(Rtc146818Test, alarm_bytes_from_c0_up_match_anything) {
    put(5, 0xff);
    put(3, 0xc0);
    put(1, 0x30);
    put(0x0b, 0x22);
    pass(40 * kSecond);  // 00:00:30
    EXPECT_TRUE(line);
    get(0x0c);
    pass(60 * kSecond);
    EXPECT_TRUE(line);
}

TEST_F(Rtc146818Test, impossible_alarm_never_comes) {
    put(5, 0x23);
    put(3, 0x59);
    put(1, 0x7f);
    put(0x0b, 0x22);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(Rtc146818Test, flags_are_set_without_interrupts_and_cleared_by_reading) {
    get(0x0c);
    pass(kSecond);
    EXPECT_EQ(get(0x0c), 0x50);  // PF and UF, no IRQF
    EXPECT_EQ(get(0x0c), 0x00);
    EXPECT_EQ(edges, 0u);
}

TEST_F(Rtc146818Test, enabling_an_interrupt_whose_flag_is_set_interrupts) {
    pass(kSecond);
    get(0x0a);
    put(0x0b, 0x12);
    EXPECT_TRUE(line);
}

TEST_F(Rtc146818Test, reset_turns_interrupts_off_and_keeps_time_and_ram) {
    put(0x0b, 0x72);
    put(0x40, 0x5a);
    set(0x20, 0x30, 0x06, 0x15, 0x12, 0x00, 0x00);
    rtc.reset();
    EXPECT_EQ(get(0x0b) & 0x78, 0);
    EXPECT_EQ(get(0x40), 0x5a);
    expect_time(0x12, 0, 0);
    EXPECT_EQ(timers.next_deadline_ns(), TimerQueue::kNever);
}

TEST_F(Rtc146818Test, wall_clock_that_jumps_is_followed) {
    start += 3600 * i64{1'000'000'000};
    EXPECT_EQ(get(4), 0x00);
    start -= 2 * 3600 * i64{1'000'000'000};
    EXPECT_EQ(get(4), 0x22);
}

TEST_F(Rtc146818Test, port_70_masks_nmi_and_cannot_be_read) {
    rtc.write(0, 1, 0x8d);
    EXPECT_TRUE(rtc.nmi_masked());
    EXPECT_EQ(rtc.read(1, 1), 0x80u);
    EXPECT_EQ(rtc.read(0, 1), 0xffu);
    rtc.write(0, 1, 0x0d);
    EXPECT_FALSE(rtc.nmi_masked());
}

TEST_F(Rtc146818Test, memory_size_where_firmware_looks) {
    rtc.set_memory_size(u64{128} << 20);
    const auto word = [this](u8 at) { return get(at) | get(static_cast<u8>(at + 1)) << 8; };
    EXPECT_EQ(word(0x15), 640);
    EXPECT_EQ(word(0x17), 65535);
    EXPECT_EQ(word(0x30), 65535);
    EXPECT_EQ(word(0x34), 112 * 16);
    rtc.set_memory_size(u64{8} << 20);
    EXPECT_EQ(word(0x17), 7 * 1024);
    EXPECT_EQ(word(0x34), 0);
}

TEST_F(Rtc146818Test, survives_random_accesses) {
    for (u32 round = 0; round < 20; round++) {
        hostile_accesses(rtc, 2, 1, round, clock, timers, 2000);
        std::mt19937 random(round);
        for (int i = 0; i < 500; i++) {
            put(static_cast<u8>(random() % 14), static_cast<u8>(random()));
            put(0x32, static_cast<u8>(random()));
            get(static_cast<u8>(random() % 14));
            pass(random() % (2 * kSecond));
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
