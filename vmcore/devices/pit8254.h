// SPDX-License-Identifier: MIT
// The 8254 interval timer of a PC, and port 61h which gates its third counter.
#pragma once

#include <array>
#include <functional>

#include "vmcore/devices/clock.h"
#include "vmcore/devices/device_window.h"
#include "vmcore/devices/irq.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// One counter. It never runs by itself: everything is computed from the CLK pulses since it was
// loaded, so it cannot drift. `now` is the number of the current CLK pulse.
class PitCounter {
  public:
    void write_control(u8 control, u64 now);
    void write_count(u8 value, u64 now);
    u8 read(u64 now);
    void latch_count(u64 now);
    void latch_status(u64 now);
    void set_gate(bool high, u64 now);

    [[nodiscard]] bool out(u64 now);
    [[nodiscard]] bool gate() const { return gate_; }
    [[nodiscard]] unsigned mode() const { return mode_; }
    [[nodiscard]] bool periodic() const { return mode_ == 2 || mode_ == 3; }
    // Counting, so that start() and count() have a meaning.
    [[nodiscard]] bool running() const { return running_ && !held_; }
    // The CLK pulse at which count() was loaded; for periodic modes, of any of the periods so far.
    [[nodiscard]] u64 start() const { return start_; }
    [[nodiscard]] u32 count() const { return count_; }
    // A count written to a periodic counter that takes over when the current period (mode 3: half
    // period) ends, and the pulse when that is.
    [[nodiscard]] bool reload_pending() const { return reload_pending_; }
    [[nodiscard]] u64 reload_at() const { return reload_at_; }
    // Brings reloads up to date.
    void advance(u64 now);

  private:
    [[nodiscard]] u64 elapsed(u64 now) const;
    [[nodiscard]] u32 value(u64 now);  // the counting element, binary
    [[nodiscard]] u16 encoded(u64 now);
    [[nodiscard]] u32 modulus() const { return bcd_ ? 10000 : 65536; }
    [[nodiscard]] u8 status(u64 now);
    [[nodiscard]] u32 high_part() const { return (count_ + 1) / 2; }
    void load(u64 at);
    void count_written(u64 now);

    u8 mode_ = 0;
    u8 access_ = 3;  // 1: low byte, 2: high byte, 3: low, then high
    bool bcd_ = false;
    bool gate_ = true;
    bool write_high_next_ = false;
    bool read_high_next_ = false;
    u8 low_byte_ = 0;       // first of two bytes being written
    u32 register_ = 65536;  // count register: what was written last, 1…65536
    u32 count_ = 65536;     // what the counting element was loaded with
    u64 start_ = 0;
    u64 held_elapsed_ = 0;  // pulses counted when the gate stopped it
    u32 idle_value_ = 0;    // what reads give while nothing was loaded
    bool running_ = false;
    bool held_ = false;       // by a low gate
    bool has_count_ = false;  // written since the control word
    bool null_count_ = true;  // written but waiting for a trigger or a reload
    bool reload_pending_ = false;
    bool reload_low_ = false;  // mode 3: the reload starts a low half
    u64 reload_at_ = 0;
    bool count_latched_ = false;
    bool status_latched_ = false;
    u16 latched_count_ = 0;
    u8 latched_status_ = 0;
};

// vCPU thread only.
class Pit8254 {
  public:
    static constexpr u64 kHz = 1193182;  // 14.31818 MHz / 12

    // `irq0` follows OUT of counter 0. `tick_pending` tells whether the last tick still waits for
    // the CPU; ticks that fall due meanwhile are given later, so that a guest which counts them
    // keeps its time.
    Pit8254(TimerQueue& timers, IrqLine irq0, std::function<bool()> tick_pending = {});

    void reset();

    Device& ports() { return window_; }     // 0x40, 4 bytes, width 1
    Device& port61() { return window61_; }  // 0x61, 1 byte, width 1
    // Whether counter 2 drives the speaker, and what it plays.
    [[nodiscard]] bool speaker_on() const { return (port61_ & 3) == 3; }
    [[nodiscard]] u32 speaker_count() const { return counters_[2].count(); }

  private:
    u32 read_port(u64 offset, unsigned size);
    void write_port(u64 offset, unsigned size, u32 value);
    u32 read_61(u64 offset, unsigned size);
    void write_61(u64 offset, unsigned size, u32 value);

    [[nodiscard]] u64 now() const;
    void write_control(u8 control);
    void account(u64 now);  // adds to owed_ the ticks of counter 0 that fell due
    void arm(u64 now);
    void fire();
    void pulse();  // low, then high: one tick
    void set_line(bool high);

    TimerQueue& timers_;
    IrqLine irq0_;
    std::function<bool()> tick_pending_;
    std::array<PitCounter, 3> counters_;
    u8 port61_ = 0;
    bool line_ = false;
    u64 counted_ = 0;  // periods since the counter's start that went into owed_
    u64 owed_ = 0;     // ticks that fell due and were not given to irq0_ yet
    Timer timer_;
    DeviceWindow<Pit8254> window_{*this, &Pit8254::read_port, &Pit8254::write_port};
    DeviceWindow<Pit8254> window61_{*this, &Pit8254::read_61, &Pit8254::write_61};
};

}  // namespace ennead::vmcore
