// SPDX-License-Identifier: MIT
// Fixed events and sleep control (ACPI specification 3.0 §4.7.3; PIIX4 data sheet 290562 for the
// addresses).
#include "vmcore/devices/acpi_pm.h"

#include <utility>

namespace ennead::vmcore {
namespace {

constexpr u16 kTimerEvent = 1u << 0;
constexpr u16 kGlobalEvent = 1u << 5;
constexpr u16 kPowerButton = 1u << 8;
constexpr u16 kRtcEvent = 1u << 10;
constexpr u16 kEnableWritable = kTimerEvent | kGlobalEvent | kPowerButton | kRtcEvent;

constexpr u16 kSciEnable = 1u << 0;
constexpr u16 kSleepEnable = 1u << 13;
// SCI_EN, BM_RLD and SLP_TYP; GBL_RLS and SLP_EN read 0.
constexpr u16 kControlWritable = 0x1c03;

constexpr u64 kHalf = u64{1} << 23;  // the 24-bit timer's top bit changes this often

}  // namespace

AcpiPm::AcpiPm(TimerQueue& timers, Wiring wiring, Log log)
    : timers_(timers), wiring_(std::move(wiring)), log_(std::move(log)), overflow_(timers, [this] {
          catch_up_timer();
          update();
          arm();
      }) {}

void AcpiPm::reset() {
    status_ = 0;
    enable_ = 0;
    control_ = 0;
    gpe_status_ = 0;
    gpe_enable_ = 0;
    timer_halves_ = ticks() / kHalf;
    apmc_ = 0;
    apms_ = 0;
    overflow_.cancel();
    update();
}

u64 AcpiPm::ticks() const {
    return static_cast<u64>(static_cast<unsigned __int128>(timers_.now_ns()) * kTimerHz /
                            1'000'000'000);
}

// TMR_STS: "set any time the most significant bit of the timer goes from 0 to 1 or from 1 to 0".
void AcpiPm::catch_up_timer() {
    const u64 halves = ticks() / kHalf;
    if (halves != timer_halves_) {
        timer_halves_ = halves;
        status_ |= kTimerEvent;
    }
}

void AcpiPm::arm() {
    if (enable_ & kTimerEvent) {
        const auto edge = static_cast<unsigned __int128>((ticks() / kHalf + 1) * kHalf);
        overflow_.arm_at_ns(static_cast<u64>((edge * 1'000'000'000 + kTimerHz - 1) / kTimerHz));
    } else {
        overflow_.cancel();
    }
}

void AcpiPm::update() {
    // Outside of ACPI mode the events would be SMIs, and there are none.
    const bool wanted = (status_ & enable_) != 0 || (gpe_status_ & gpe_enable_) != 0;
    if (wiring_.sci) {
        wiring_.sci((control_ & kSciEnable) && wanted);
    }
}

void AcpiPm::press_power_button() {
    status_ |= kPowerButton;
    update();
}

bool AcpiPm::power_button_enabled() const {
    return (control_ & kSciEnable) && (enable_ & kPowerButton);
}

void AcpiPm::raise_event(unsigned event) {
    if (event < 16) {
        gpe_status_ |= static_cast<u16>(1u << event);
        update();
    }
}

u32 AcpiPm::read(u64 offset, unsigned size) {
    const unsigned at = static_cast<unsigned>(offset);
    if (at == kPmTimer && size == 4) {
        return ticks() & 0xff'ffff;  // of one moment
    }
    u32 value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= u32{read_byte(at + i)} << (8 * i);
    }
    return value;
}

u8 AcpiPm::read_byte(unsigned offset) {
    const auto byte_of = [offset](u32 value) { return static_cast<u8>(value >> (offset % 4 * 8)); };
    switch (offset / 4 * 4) {
        case kPm1Event:
            catch_up_timer();
            return byte_of(status_ | u32{enable_} << 16);
        case kPm1Control:
            return byte_of(control_);
        case kPmTimer:
            return byte_of(ticks() & 0xff'ffff);
        case kGpe0:
            return byte_of(gpe_status_ | u32{gpe_enable_} << 16);
        default:
            return 0;  // throttling, global and device trap registers: nothing behind them
    }
}

void AcpiPm::write(u64 offset, unsigned size, u32 value) {
    const unsigned at = static_cast<unsigned>(offset);
    if (at == kPm1Control && size >= 2) {
        write_control(static_cast<u16>(value));
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        write_byte(at + i, static_cast<u8>(value >> (8 * i)));
    }
}

void AcpiPm::write_byte(unsigned offset, u8 value) {
    const unsigned shift = offset % 2 * 8;
    const u16 placed = static_cast<u16>(value << shift);
    const u16 lane = static_cast<u16>(0xff << shift);
    switch (offset & ~1u) {
        case kPm1Event:  // status bits are cleared by writing ones
            catch_up_timer();
            status_ &= static_cast<u16>(~placed);
            update();
            break;
        case kPm1Event + 2:
            catch_up_timer();
            enable_ = static_cast<u16>((enable_ & ~lane) | (placed & kEnableWritable));
            update();
            arm();
            break;
        case kPm1Control:
            write_control(static_cast<u16>((control_ & ~lane) | placed));
            break;
        case kGpe0:
            gpe_status_ &= static_cast<u16>(~placed);
            update();
            break;
        case kGpe0 + 2:
            gpe_enable_ = static_cast<u16>((gpe_enable_ & ~lane) | placed);
            update();
            break;
        default:
            break;
    }
}

void AcpiPm::write_control(u16 value) {
    control_ = value & kControlWritable;
    update();
    if (value & kSleepEnable) {
        const unsigned type = value >> 10 & 7;
        if (type == kSleepTypeS5) {
            if (wiring_.power_off) {
                wiring_.power_off();
            }
        } else if (sleep_log_.allow()) {
            log_.warn("dev=acpi_pm what=unknown_sleep_type type=%u", type);
        }
    }
}

u32 AcpiPm::read_smi(u64 offset, unsigned) {
    return (offset & 1) == 0 ? apmc_ : apms_;
}

// In place of the SMI that a write to APMC raises on hardware, what its handler would do is done
// here.
void AcpiPm::write_smi(u64 offset, unsigned, u32 value) {
    if (offset & 1) {
        apms_ = static_cast<u8>(value);
        return;
    }
    apmc_ = static_cast<u8>(value);
    if (apmc_ == kAcpiEnable) {
        control_ |= kSciEnable;
        update();
    } else if (apmc_ == kAcpiDisable) {
        control_ &= static_cast<u16>(~kSciEnable);
        update();
    }
}

}  // namespace ennead::vmcore
