// SPDX-License-Identifier: MIT
// Modes, latches and ticks of the 8254 (Intel data sheet 231164), port 61h as in the PIIX3.
#include "vmcore/devices/pit8254.h"

#include <algorithm>
#include <utility>

namespace ennead::vmcore {
namespace {

constexpr u64 kNsPerSecond = 1'000'000'000;
// CLK pulses are numbered from here, so that a start computed backwards never falls below zero.
constexpr u64 kFirstPulse = u64{1} << 20;
// A guest that did not take its ticks for longer than this has lost them, as on hardware.
constexpr u64 kMaxCatchUpSeconds = 2;
// Neither ticks nor catching up come closer together than this: the guest, not the host's timers,
// shall get the processor's time.
constexpr u64 kMinGapNs = 10'000;

u64 pulse_of(u64 ns) {
    return kFirstPulse +
           static_cast<u64>(static_cast<unsigned __int128>(ns) * Pit8254::kHz / kNsPerSecond);
}

// The first nanosecond at which pulse_of() has reached `pulse`.
u64 ns_of(u64 pulse) {
    const auto scaled = static_cast<unsigned __int128>(pulse - kFirstPulse) * kNsPerSecond;
    return static_cast<u64>((scaled + Pit8254::kHz - 1) / Pit8254::kHz);
}

u32 from_bcd(u32 v) {
    return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

u16 to_bcd(u32 v) {
    return static_cast<u16>(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

}  // namespace

u64 PitCounter::elapsed(u64 now) const {
    if (held_) {
        return held_elapsed_;
    }
    return now < start_ ? 0 : now - start_;
}

void PitCounter::advance(u64 now) {
    if (reload_pending_ && now >= reload_at_) {
        reload_pending_ = false;
        count_ = register_;
        // A low half begins where the high half of an imagined period would have ended.
        start_ = reload_low_ ? reload_at_ - high_part() : reload_at_;
        null_count_ = false;
    }
}

void PitCounter::load(u64 at) {
    idle_value_ = value(at);
    count_ = register_;
    start_ = at;
    running_ = true;
    held_ = false;
    null_count_ = false;
    reload_pending_ = false;
}

u32 PitCounter::value(u64 now) {
    advance(now);
    if (!running_ || (!held_ && now < start_)) {
        return idle_value_;
    }
    const u64 e = elapsed(now);
    if (mode_ == 2) {
        return static_cast<u32>(count_ - e % count_);
    }
    if (mode_ == 3) {
        // Counts down by two, from the count less one if that is odd; an odd count's extra pulse is
        // in the high half.
        const u32 phase = static_cast<u32>(e % count_);
        const u32 even = count_ & ~1u;
        return phase < high_part() ? even - 2 * phase : even - 2 * (phase - high_part());
    }
    // The other modes count on past zero, through FFFFh or 9999.
    return (count_ + modulus() - static_cast<u32>(e % modulus())) % modulus();
}

u16 PitCounter::encoded(u64 now) {
    const u32 v = value(now) % modulus();
    return bcd_ ? to_bcd(v) : static_cast<u16>(v);
}

bool PitCounter::out(u64 now) {
    advance(now);
    if (!running_) {
        return mode_ != 0;
    }
    const u64 e = elapsed(now);
    switch (mode_) {
        case 0:
            return e >= count_;
        case 1:
            return e >= count_;
        case 2:
            return held_ || now < start_ || count_ == 1 || e % count_ != count_ - 1;
        case 3:
            return held_ || e % count_ < high_part();
        default:
            return e != count_;  // 4, 5: low for the one pulse at zero
    }
}

void PitCounter::write_control(u8 control, u64 now) {
    idle_value_ = value(now);
    mode_ = control >> 1 & 7;
    if (mode_ > 5) {
        mode_ &= 3;  // the top bit is "don't care" for modes 2 and 3
    }
    access_ = control >> 4 & 3;
    bcd_ = (control & 1) != 0;
    write_high_next_ = false;
    read_high_next_ = false;
    running_ = false;
    held_ = false;
    has_count_ = false;
    null_count_ = true;
    reload_pending_ = false;
    count_latched_ = false;
    status_latched_ = false;
}

void PitCounter::write_count(u8 v, u64 now) {
    u32 whole;
    if (access_ == 1) {
        whole = v;
    } else if (access_ == 2) {
        whole = static_cast<u32>(v) << 8;
    } else if (!write_high_next_) {
        write_high_next_ = true;
        low_byte_ = v;
        if (mode_ == 0) {
            // "Writing the first byte disables counting. OUT is set low immediately."
            idle_value_ = value(now);
            running_ = false;
        }
        return;
    } else {
        write_high_next_ = false;
        whole = static_cast<u32>(v) << 8 | low_byte_;
    }
    const u32 binary = (bcd_ ? from_bcd(whole) : whole) % modulus();
    register_ = binary == 0 ? modulus() : binary;
    count_written(now);
}

void PitCounter::count_written(u64 now) {
    // A reload whose time has come still takes what was written before.
    const bool first = !has_count_;
    has_count_ = true;
    null_count_ = true;
    if (mode_ == 0 || mode_ == 4) {
        load(now + 1);
        if (!gate_) {
            held_ = true;
            held_elapsed_ = 0;
        }
        return;
    }
    if (!periodic() || !gate_) {
        return;  // waits for the gate to rise
    }
    if (first || !running_) {
        load(now + 1);
        return;
    }
    const u32 phase = static_cast<u32>(elapsed(now) % count_);
    reload_low_ = mode_ == 3 && phase < high_part();
    reload_at_ = std::max(now, start_) - phase + (reload_low_ ? high_part() : count_);
    reload_pending_ = true;
}

void PitCounter::set_gate(bool high, u64 now) {
    advance(now);
    if (high == gate_) {
        return;
    }
    gate_ = high;
    if (high) {
        if (mode_ == 0 || mode_ == 4) {
            if (running_ && held_) {
                start_ = now - held_elapsed_;
                held_ = false;
            }
        } else if (has_count_) {
            load(now + 1);  // modes 1 and 5: the trigger; 2 and 3: synchronised by hardware
        }
    } else if (running_ && mode_ != 1 && mode_ != 5) {
        held_elapsed_ = elapsed(now);
        held_ = true;
        reload_pending_ = false;  // the rising gate loads it
    }
}

void PitCounter::latch_count(u64 now) {
    if (!count_latched_) {
        count_latched_ = true;
        latched_count_ = encoded(now);
    }
}

u8 PitCounter::status(u64 now) {
    const bool is_out = out(now);
    const bool null = null_count_ || (running_ && !held_ && now < start_);
    return static_cast<u8>((is_out ? 0x80 : 0) | (null ? 0x40 : 0) | access_ << 4 | mode_ << 1 |
                           (bcd_ ? 1 : 0));
}

void PitCounter::latch_status(u64 now) {
    if (!status_latched_) {
        status_latched_ = true;
        latched_status_ = status(now);
    }
}

u8 PitCounter::read(u64 now) {
    // Read-back command: with both latched, the status comes first.
    if (status_latched_) {
        status_latched_ = false;
        return latched_status_;
    }
    const u16 v = count_latched_ ? latched_count_ : encoded(now);
    const bool high = access_ == 2 || (access_ == 3 && read_high_next_);
    if (access_ == 3) {
        read_high_next_ = !read_high_next_;
    }
    if (access_ != 3 || high) {
        count_latched_ = false;
    }
    return static_cast<u8>(high ? v >> 8 : v);
}

Pit8254::Pit8254(TimerQueue& timers, IrqLine irq0, std::function<bool()> tick_pending)
    : timers_(timers),
      irq0_(std::move(irq0)),
      tick_pending_(std::move(tick_pending)),
      timer_(timers, [this] { fire(); }) {
    reset();
}

void Pit8254::reset() {
    // The data sheet calls the state at power-on undefined; here nothing counts until it is
    // programmed.
    counters_ = {};
    counters_[2].set_gate(false, now());
    port61_ = 0;
    counted_ = 0;
    owed_ = 0;
    timer_.cancel();
    set_line(false);
}

u64 Pit8254::now() const {
    return pulse_of(timers_.now_ns());
}

void Pit8254::set_line(bool high) {
    if (line_ != high) {
        line_ = high;
        if (irq0_) {
            irq0_(high);
        }
    }
}

void Pit8254::pulse() {
    set_line(false);
    set_line(true);
}

u32 Pit8254::read_port(u64 offset, unsigned) {
    if (offset > 2) {
        return 0xff;  // the control word cannot be read
    }
    const u64 t = now();
    account(t);
    return counters_[offset].read(t);
}

void Pit8254::write_port(u64 offset, unsigned, u32 value) {
    const u64 t = now();
    account(t);
    if (offset > 2) {
        write_control(static_cast<u8>(value));
        return;
    }
    PitCounter& c = counters_[offset];
    c.write_count(static_cast<u8>(value), t);
    if (offset == 0) {
        if (!c.periodic()) {
            owed_ = 0;
            set_line(c.out(t));
        } else if (c.running() && c.start() > t) {
            counted_ = 0;  // the first count after the control word
        }
        arm(t);
    }
}

void Pit8254::write_control(u8 control) {
    const u64 t = now();
    const unsigned select = control >> 6;
    if (select == 3) {
        // Read-back command: bits 5 and 4 are active low.
        for (unsigned i = 0; i < 3; i++) {
            if (control & (2u << i)) {
                if (!(control & 0x20)) {
                    counters_[i].latch_count(t);
                }
                if (!(control & 0x10)) {
                    counters_[i].latch_status(t);
                }
            }
        }
        return;
    }
    PitCounter& c = counters_[select];
    if ((control & 0x30) == 0) {
        c.latch_count(t);
        return;
    }
    c.write_control(control, t);
    if (select == 0) {
        counted_ = 0;
        owed_ = 0;
        set_line(c.out(t));
        arm(t);
    }
}

// Every access to counter 0 comes through here first, so that no period boundary passes uncounted
// when the counter takes over a new count.
void Pit8254::account(u64 t) {
    PitCounter& c = counters_[0];
    if (!c.periodic() || !c.running() || t < c.start()) {
        return;
    }
    const auto count_to = [&](u64 until) {
        const u64 periods = until < c.start() ? 0 : (until - c.start()) / c.count();
        if (periods > counted_) {
            owed_ += periods - counted_;
            counted_ = periods;
        }
    };
    if (c.reload_pending() && t >= c.reload_at()) {
        count_to(c.reload_at());
        c.advance(t);
        counted_ = 0;
    }
    count_to(t);
    owed_ = std::min(owed_, std::max<u64>(1, kMaxCatchUpSeconds * kHz / c.count()));
}

void Pit8254::arm(u64 t) {
    const PitCounter& c = counters_[0];
    if (!c.running()) {
        timer_.cancel();
        return;
    }
    if (!c.periodic()) {
        // Mode 0 rises when the count is used up, mode 4 one pulse later. Modes 1 and 5 wait for a
        // gate that a PC ties high.
        const u64 edge = c.start() + c.count() + (c.mode() == 4 ? 1 : 0);
        if (t < edge) {
            timer_.arm_at_ns(ns_of(edge));
        } else {
            timer_.cancel();
        }
        return;
    }
    const u64 now_ns = timers_.now_ns();
    u64 next = c.start() + (counted_ + 1) * c.count();
    if (c.reload_pending()) {
        next = std::min(next, c.reload_at());
    }
    u64 next_ns = ns_of(next);
    if (owed_ != 0) {
        const u64 period_ns = c.count() * kNsPerSecond / kHz;
        next_ns = std::min(next_ns, now_ns + period_ns / 4);
    }
    timer_.arm_at_ns(std::max(next_ns, now_ns + kMinGapNs));
}

void Pit8254::fire() {
    const u64 t = now();
    PitCounter& c = counters_[0];
    if (!c.periodic()) {
        if (c.mode() == 4) {
            pulse();
        } else {
            set_line(true);
        }
        return;
    }
    account(t);
    // OUT stays high through the rest of the period in both modes, although in mode 3 it is low for
    // half of it: a PC's guest only sees the rising edge, and a tick it takes late is then not
    // withdrawn.
    if (owed_ != 0 && !(tick_pending_ && tick_pending_())) {
        owed_--;
        pulse();
    }
    arm(t);
}

u32 Pit8254::read_61(u64, unsigned) {
    // Bit 4 toggles with each memory refresh, every 15 µs; bit 5 is OUT of counter 2.
    const u64 t = now();
    const u32 refresh = t / 18 & 1;
    return port61_ | refresh << 4 | (counters_[2].out(t) ? 0x20u : 0u);
}

void Pit8254::write_61(u64, unsigned, u32 value) {
    port61_ = value & 0x0f;
    counters_[2].set_gate((value & 1) != 0, now());
}

}  // namespace ennead::vmcore
