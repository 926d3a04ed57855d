// SPDX-License-Identifier: MIT
// The MC146818 real-time clock and its battery-backed RAM, at ports 70h and 71h.
#pragma once

#include <array>
#include <functional>

#include "vmcore/devices/clock.h"
#include "vmcore/devices/irq.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// vCPU thread only.
class Rtc146818 final : public Device {
  public:
    // Nanoseconds since 1970-01-01 00:00 UTC. Unlike machine time it goes on while the machine is
    // paused.
    using WallClock = std::function<i64()>;

    Rtc146818(TimerQueue& timers, WallClock wall, IrqLine irq8);

    // The RESET# pin: interrupts off; time and RAM stay, as they do on a battery.
    void reset();

    // The two ports 70h (index, write-only) and 71h (data); width 1.
    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;

    // What a BIOS's self test would have left: the size of RAM, where SeaBIOS looks for it.
    void set_memory_size(u64 bytes);
    void set_nvram(unsigned index, u8 value) { ram_[index & 0x7f] = value; }
    [[nodiscard]] u8 nvram(unsigned index) const { return ram_[index & 0x7f]; }
    // Bit 7 of port 70h keeps NMIs from the CPU.
    [[nodiscard]] bool nmi_masked() const { return nmi_masked_; }

  private:
    struct Time {  // broken down, in the order of the registers
        int second, minute, hour, weekday, day, month, year;
    };

    struct Instant {  // the guest's time; years that nanoseconds alone could not hold are settable
        i64 second;   // since 1970-01-01 00:00
        i64 ns;       // 0 … 999999999
    };

    [[nodiscard]] Instant now() const;
    [[nodiscard]] bool frozen() const;
    [[nodiscard]] bool updating() const;
    void refresh();
    void set_time(i64 fraction_ns);
    [[nodiscard]] Time decode() const;
    void encode(const Time& t);
    [[nodiscard]] u8 to_register(int value) const;
    [[nodiscard]] int from_register(u8 value) const;
    [[nodiscard]] u8 hour_to_register(int hour) const;
    [[nodiscard]] int hour_from_register(u8 value) const;

    u8 read_data();
    void write_data(u8 value);
    void write_a(u8 value);
    void write_b(u8 value);
    void restart(bool divider_was_reset);

    [[nodiscard]] u64 period_ticks() const;
    [[nodiscard]] u64 ticks_32k() const;
    [[nodiscard]] bool alarm_matches(unsigned which, int value) const;
    [[nodiscard]] i64 next_alarm(i64 after_second) const;
    void catch_up();  // sets the flags of what happened since the last time
    void update_irq();
    void arm();
    void fire();

    TimerQueue& timers_;
    WallClock wall_;
    IrqLine irq_;
    std::array<u8, 128> ram_{};
    u8 index_ = 0;
    bool nmi_masked_ = false;
    i64 offset_s_ = 0;        // guest's time less the host's: whole seconds
    i64 offset_ns_ = 0;       // … and 0 … 999999999
    int weekday_shift_ = 0;   // the day of the week is a counter of its own
    i64 checked_second_ = 0;  // update and alarm flags are up to date until here
    u64 checked_ticks_ = 0;   // the periodic flag likewise, in 32768 Hz ticks
    Timer timer_;
};

}  // namespace ennead::vmcore
