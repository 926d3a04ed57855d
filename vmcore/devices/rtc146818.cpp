// SPDX-License-Identifier: MIT
// Time, alarms and interrupts of the MC146818 (Motorola data sheet ADI1026); RAM layout of the
// PC/AT.
#include "vmcore/devices/rtc146818.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ennead::vmcore {
namespace {

constexpr i64 kSecondNs = 1'000'000'000;
// With a 32.768 kHz time base: UIP rises 244 µs before the update cycle, which takes 1984 µs.
constexpr i64 kUpdateNs = 244'000 + 1'984'000;
constexpr i64 kNoAlarm = std::numeric_limits<i64>::max();

enum : unsigned {
    kSeconds = 0,
    kSecondsAlarm = 1,
    kMinutes = 2,
    kMinutesAlarm = 3,
    kHours = 4,
    kHoursAlarm = 5,
    kWeekday = 6,
    kDay = 7,
    kMonth = 8,
    kYear = 9,
    kA = 10,
    kB = 11,
    kC = 12,
    kD = 13,
    kCentury = 0x32,
};

constexpr u8 kUip = 0x80;  // A
constexpr u8 kSet = 0x80;  // B
constexpr u8 kPie = 0x40;
constexpr u8 kAie = 0x20;
constexpr u8 kUie = 0x10;
constexpr u8 kSqwe = 0x08;
constexpr u8 kBinary = 0x04;
constexpr u8 k24Hours = 0x02;
constexpr u8 kIrqf = 0x80;  // C
constexpr u8 kPf = 0x40;
constexpr u8 kAf = 0x20;
constexpr u8 kUf = 0x10;

i64 floor_div(i64 a, i64 b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

// Days since 1970-01-01 of a date in the Gregorian calendar; years are counted from March so that
// the leap day comes last.
i64 days_from_date(int year, int month, int day) {
    const i64 y = month <= 2 ? year - 1 : year;
    const i64 months = (month + 9) % 12;
    return y * 365 + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) +
           (months * 153 + 2) / 5 + (day - 1) - 719468;
}

void date_from_days(i64 days, int& year, int& month, int& day) {
    // 400 years have 146097 days; the guess is never late and at most two years early.
    year = static_cast<int>(1970 + floor_div(days * 400, 146097) - 1);
    while (days_from_date(year + 1, 1, 1) <= days) {
        year++;
    }
    month = 1;
    while (month < 12 && days_from_date(year, month + 1, 1) <= days) {
        month++;
    }
    day = static_cast<int>(days - days_from_date(year, month, 1)) + 1;
}

bool is_time_register(unsigned index) {
    return index <= kYear ? index != kSecondsAlarm && index != kMinutesAlarm && index != kHoursAlarm
                          : index == kCentury;
}

bool divider_reset(u8 a) {
    return (a & 0x60) == 0x60;
}

}  // namespace

Rtc146818::Rtc146818(TimerQueue& timers, WallClock wall, IrqLine irq8)
    : timers_(timers),
      wall_(std::move(wall)),
      irq_(std::move(irq8)),
      timer_(timers, [this] { fire(); }) {
    ram_[kA] = 0x26;  // 32.768 kHz, periodic rate 1024 Hz
    ram_[kB] = k24Hours;
    ram_[kD] = 0x80;  // VRT: the battery is good
    checked_second_ = now().second;
    checked_ticks_ = ticks_32k();
}

void Rtc146818::reset() {
    ram_[kB] &= static_cast<u8>(~(kPie | kAie | kUie | kSqwe));
    ram_[kC] = 0;
    index_ = 0;
    nmi_masked_ = false;
    update_irq();
    arm();
}

Rtc146818::Instant Rtc146818::now() const {
    const i64 wall = wall_();
    const i64 second = floor_div(wall, kSecondNs);
    const i64 ns = wall - second * kSecondNs + offset_ns_;
    return {second + offset_s_ + ns / kSecondNs, ns % kSecondNs};
}

bool Rtc146818::frozen() const {
    return (ram_[kB] & kSet) != 0 || divider_reset(ram_[kA]);
}

bool Rtc146818::updating() const {
    if (frozen()) {
        return false;
    }
    return now().ns >= kSecondNs - kUpdateNs;
}

u8 Rtc146818::to_register(int value) const {
    return static_cast<u8>(ram_[kB] & kBinary ? value : value / 10 << 4 | value % 10);
}

int Rtc146818::from_register(u8 value) const {
    return ram_[kB] & kBinary ? value : (value >> 4) * 10 + (value & 15);
}

u8 Rtc146818::hour_to_register(int hour) const {
    if (ram_[kB] & k24Hours) {
        return to_register(hour);
    }
    const int twelve = hour % 12 == 0 ? 12 : hour % 12;
    return static_cast<u8>(to_register(twelve) | (hour >= 12 ? 0x80 : 0));
}

int Rtc146818::hour_from_register(u8 value) const {
    if (ram_[kB] & k24Hours) {
        return from_register(value);
    }
    return from_register(value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

// Brings the time registers up to date, unless the guest stopped them.
void Rtc146818::refresh() {
    if (frozen()) {
        return;
    }
    const i64 second = now().second;
    const i64 days = floor_div(second, 86400);
    const int of_day = static_cast<int>(second - days * 86400);
    Time t;
    date_from_days(days, t.year, t.month, t.day);
    t.hour = of_day / 3600;
    t.minute = of_day / 60 % 60;
    t.second = of_day % 60;
    // 1970-01-01 was a Thursday; Sunday is 1.
    t.weekday = static_cast<int>(((days + 4 + weekday_shift_) % 7 + 7) % 7) + 1;
    encode(t);
}

void Rtc146818::encode(const Time& t) {
    ram_[kSeconds] = to_register(t.second);
    ram_[kMinutes] = to_register(t.minute);
    ram_[kHours] = hour_to_register(t.hour);
    ram_[kWeekday] = to_register(t.weekday);
    ram_[kDay] = to_register(t.day);
    ram_[kMonth] = to_register(t.month);
    ram_[kYear] = to_register(t.year % 100);
    ram_[kCentury] = to_register(t.year / 100 % 100);
}

Rtc146818::Time Rtc146818::decode() const {
    Time t;
    t.second = from_register(ram_[kSeconds]);
    t.minute = from_register(ram_[kMinutes]);
    t.hour = hour_from_register(ram_[kHours]);
    t.weekday = from_register(ram_[kWeekday]);
    t.day = from_register(ram_[kDay]);
    t.month = std::clamp(from_register(ram_[kMonth]), 1, 12);
    t.year = from_register(ram_[kCentury]) * 100 + from_register(ram_[kYear]) % 100;
    return t;
}

// Makes the registers the time now, that many nanoseconds into the second. Values out of range
// carry over.
void Rtc146818::set_time(i64 fraction_ns) {
    const Time t = decode();
    const i64 days = days_from_date(t.year, t.month, t.day);
    const i64 second = days * 86400 + t.hour * 3600 + t.minute * 60 + t.second;
    const i64 wall = wall_();
    const i64 wall_second = floor_div(wall, kSecondNs);
    const i64 ns = fraction_ns - (wall - wall_second * kSecondNs);
    offset_s_ = second - wall_second + floor_div(ns, kSecondNs);
    offset_ns_ = ns - floor_div(ns, kSecondNs) * kSecondNs;
    weekday_shift_ = static_cast<int>(((t.weekday - 1 - (days + 4)) % 7 + 7) % 7);
    checked_second_ = second;
}

u32 Rtc146818::read(u64 offset, unsigned) {
    return (offset & 1) == 0 ? 0xff : read_data();  // the index register cannot be read
}

void Rtc146818::write(u64 offset, unsigned, u32 value) {
    if ((offset & 1) == 0) {
        index_ = value & 0x7f;
        nmi_masked_ = (value & 0x80) != 0;
    } else {
        write_data(static_cast<u8>(value));
    }
}

u8 Rtc146818::read_data() {
    if (is_time_register(index_)) {
        refresh();
        return ram_[index_];
    }
    if (index_ == kA) {
        return static_cast<u8>(ram_[kA] | (updating() ? kUip : 0));
    }
    if (index_ == kC) {
        catch_up();
        const u8 value = ram_[kC];
        ram_[kC] = 0;
        update_irq();
        arm();
        return value;
    }
    return ram_[index_];
}

void Rtc146818::write_data(u8 value) {
    if (index_ == kA) {
        write_a(value);
        return;
    }
    if (index_ == kB) {
        write_b(value);
        return;
    }
    if (index_ == kC || index_ == kD) {
        return;  // read-only
    }
    catch_up();
    if (is_time_register(index_)) {
        refresh();
        ram_[index_] = value;
        if (!frozen()) {
            set_time(now().ns);
        }
    } else {
        ram_[index_] = value;
    }
    if (index_ <= kYear || index_ == kCentury) {
        arm();
    }
}

void Rtc146818::write_a(u8 value) {
    catch_up();
    refresh();
    const bool was_frozen = frozen();
    const bool divider_was_reset = divider_reset(ram_[kA]);
    ram_[kA] = value & 0x7f;
    checked_ticks_ = ticks_32k();
    if (was_frozen && !frozen()) {
        restart(divider_was_reset);
    }
    arm();
}

void Rtc146818::write_b(u8 value) {
    catch_up();
    refresh();
    const bool was_frozen = frozen();
    if (value & kSet) {
        value &= static_cast<u8>(~kUie);  // "SET going high clears UIE"
    }
    // Stopped registers keep their bytes when the format changes: the guest is to write them again.
    ram_[kB] = value;
    if (was_frozen && !frozen()) {
        restart(false);
    }
    update_irq();
    arm();
}

void Rtc146818::restart(bool divider_was_reset) {
    // "The first update cycle begins one-half second later" once the divider runs. SET does not
    // stop the divider: the seconds go on in step with what they were.
    set_time(divider_was_reset ? kSecondNs / 2 : now().ns);
}

u64 Rtc146818::ticks_32k() const {
    return static_cast<u64>(static_cast<unsigned __int128>(timers_.now_ns()) * 32768 / kSecondNs);
}

// The periodic interrupt in ticks of 32768 Hz, data sheet table 5; 0 is none.
u64 Rtc146818::period_ticks() const {
    const unsigned rate = ram_[kA] & 15;
    if (rate == 0 || divider_reset(ram_[kA])) {
        return 0;
    }
    return u64{1} << (rate < 3 ? rate + 6 : rate - 1);
}

bool Rtc146818::alarm_matches(unsigned which, int value) const {
    const u8 wanted = ram_[which];
    if (wanted >= 0xc0) {
        return true;  // "don't care"
    }
    return wanted == (which == kHoursAlarm ? hour_to_register(value) : to_register(value));
}

// The first second later than `after` at which the alarm goes off.
i64 Rtc146818::next_alarm(i64 after) const {
    const auto any = [this](unsigned which, int limit) {
        for (int i = 0; i < limit; i++) {
            if (alarm_matches(which, i)) {
                return true;
            }
        }
        return false;
    };
    if (!any(kSecondsAlarm, 60) || !any(kMinutesAlarm, 60) || !any(kHoursAlarm, 24)) {
        return kNoAlarm;
    }
    i64 t = after + 1;
    for (;;) {
        const int of_day = static_cast<int>(t - floor_div(t, 86400) * 86400);
        if (!alarm_matches(kHoursAlarm, of_day / 3600)) {
            t += 3600 - of_day % 3600;
        } else if (!alarm_matches(kMinutesAlarm, of_day / 60 % 60)) {
            t += 60 - of_day % 60;
        } else if (!alarm_matches(kSecondsAlarm, of_day % 60)) {
            t++;
        } else {
            return t;
        }
    }
}

void Rtc146818::catch_up() {
    const u64 ticks = ticks_32k();
    const u64 period = period_ticks();
    if (period != 0 && ticks / period != checked_ticks_ / period) {
        ram_[kC] |= kPf;
    }
    checked_ticks_ = ticks;
    if (!frozen()) {
        const i64 second = now().second;
        if (second > checked_second_) {
            ram_[kC] |= kUf;
            const i64 alarm = next_alarm(checked_second_);
            if (alarm <= second) {
                ram_[kC] |= kAf;
            }
        }
        checked_second_ = second;  // the host's clock may also have been set back
    }
    update_irq();
}

void Rtc146818::update_irq() {
    if (ram_[kC] & ram_[kB] & (kPf | kAf | kUf)) {
        ram_[kC] |= kIrqf;
    } else {
        ram_[kC] &= static_cast<u8>(~kIrqf);
    }
    if (irq_) {
        irq_((ram_[kC] & kIrqf) != 0);
    }
}

// Only what may interrupt needs a timer; all else is found out when register C is read.
void Rtc146818::arm() {
    timer_.cancel();
    const u8 enabled = ram_[kB];
    if (ram_[kC] & kIrqf) {
        return;  // until it is read, nothing more can happen at the pin
    }
    u64 deadline = TimerQueue::kNever;
    if (const u64 period = period_ticks(); (enabled & kPie) && period != 0) {
        const u64 next = (ticks_32k() / period + 1) * period;
        deadline =
            static_cast<u64>((static_cast<unsigned __int128>(next) * kSecondNs + 32767) / 32768);
    }
    if (!frozen() && (enabled & (kUie | kAie))) {
        const Instant t = now();
        const i64 at = (enabled & kUie) ? t.second + 1 : next_alarm(t.second);
        if (at != kNoAlarm) {
            const i64 wait = (at - t.second) * kSecondNs - t.ns;
            deadline = std::min(deadline, timers_.now_ns() + static_cast<u64>(wait));
        }
    }
    timer_.arm_at_ns(deadline);
}

void Rtc146818::fire() {
    // The host's clock may have been slewed since the deadline was computed; then this just arms
    // again.
    catch_up();
    arm();
}

// Where SeaBIOS, like the BIOS of the PC/AT before it, reads the size of memory.
void Rtc146818::set_memory_size(u64 bytes) {
    const auto put16 = [this](unsigned at, u64 value) {
        ram_[at] = static_cast<u8>(value);
        ram_[at + 1] = static_cast<u8>(value >> 8);
    };
    const u64 kib = bytes / 1024;
    const u64 above_1m = kib > 1024 ? std::min<u64>(kib - 1024, 65535) : 0;
    const u64 above_16m = kib > 16384 ? std::min<u64>((kib - 16384) / 64, 65535) : 0;
    put16(0x15, std::min<u64>(kib, 640));
    put16(0x17, above_1m);
    put16(0x30, above_1m);
    put16(0x34, above_16m);
    ram_[0x5b] = 0;  // nothing above 4 GiB
    ram_[0x5c] = 0;
    ram_[0x5d] = 0;
}

}  // namespace ennead::vmcore
