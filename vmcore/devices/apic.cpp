// SPDX-License-Identifier: MIT
// Registers, acceptance and delivery of the local APIC (Intel SDM vol 3A, chapter 10).
#include "vmcore/devices/apic.h"

#include <bit>
#include <utility>

#include "vmcore/devices/device_window.h"

namespace ennead::vmcore {
namespace {

// Register offsets divided by 16, SDM vol 3A table 10-1.
namespace reg {
enum : unsigned {
    kId = 0x02,
    kVersion = 0x03,
    kTpr = 0x08,
    kApr = 0x09,
    kPpr = 0x0a,
    kEoi = 0x0b,
    kRrd = 0x0c,
    kLdr = 0x0d,
    kDfr = 0x0e,
    kSvr = 0x0f,
    kIsr = 0x10,
    kTmr = 0x18,
    kIrr = 0x20,
    kEsr = 0x28,
    kIcrLow = 0x30,
    kIcrHigh = 0x31,
    kInitialCount = 0x38,
    kCurrentCount = 0x39,
    kDivide = 0x3e,
};
}  // namespace reg

// An integrated APIC with six local vector table entries.
constexpr u32 kVersionValue = 0x14 | 5 << 16;

constexpr unsigned kLvtFirst = 0x32;
constexpr u32 kMasked = 1u << 16;
constexpr u32 kLevel = 1u << 15;
constexpr u32 kRemoteIrr = 1u << 14;

constexpr u32 kErrorSendVector = 1u << 5;
constexpr u32 kErrorReceiveVector = 1u << 6;
constexpr u32 kErrorRegister = 1u << 7;

// Writable bits of each LVT entry, figure 10-8: timer, thermal, performance, LINT0, LINT1, error.
constexpr std::array<u32, 6> kLvtWritable = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

constexpr DeliveryMode mode_of(u32 value) {
    return static_cast<DeliveryMode>(value >> 8 & 7);
}

}  // namespace

LocalApic::LocalApic(TimerQueue& timers, Wiring wiring, Log log)
    : timers_(timers),
      wiring_(std::move(wiring)),
      log_(std::move(log)),
      timer_(timers, [this] { fire_timer(); }) {
    base_msr_ = kDefaultBase | kBaseEnable | kBaseBsp;
    reset_registers();
}

void LocalApic::reset() {
    base_msr_ = kDefaultBase | kBaseEnable | kBaseBsp;
    reset_registers();
    if (wiring_.relocate) {
        wiring_.relocate(PhysAddr{kDefaultBase}, true);
    }
    update();
}

void LocalApic::reset_registers() {
    id_ = 0;
    tpr_ = 0;
    ldr_ = 0;
    dfr_ = 0xffff'ffff;
    svr_ = 0xff;
    esr_ = 0;
    esr_pending_ = 0;
    icr_low_ = 0;
    icr_high_ = 0;
    lvt_.fill(kMasked);
    lvt_[kLvtLint0] = static_cast<u32>(DeliveryMode::ext_int) << 8;
    lvt_[kLvtLint1] = static_cast<u32>(DeliveryMode::nmi) << 8;
    isr_ = {};
    tmr_ = {};
    irr_ = {};
    divide_ = 0;
    initial_count_ = 0;
    ticks_given_ = 0;
    tsc_deadline_ = 0;
    timer_.cancel();
}

bool LocalApic::write_base_msr(u64 value) {
    // Bits 0…7, 9, 10 (x2APIC, not offered) and 36 up are reserved; bit 8 only tells the boot
    // processor.
    constexpr u64 kReserved = ~u64{0xf'ffff'fd00} | 1u << 10;
    if (value & kReserved) {
        return false;
    }
    const bool was_enabled = enabled();
    base_msr_ = (value & ~kBaseBsp) | kBaseBsp;
    if (was_enabled && !enabled()) {
        // "When IA32_APIC_BASE[11] is set to 0, the processor is functionally equivalent to one
        // without an on-chip APIC"; set again, it is in its state after power-up, §10.4.3.
        reset_registers();
    }
    if (wiring_.relocate) {
        wiring_.relocate(PhysAddr{base_msr_ & ~u64{kPageMask}}, enabled());
    }
    update();
    return true;
}

int LocalApic::highest(const Bits& b) {
    for (int i = 7; i >= 0; i--) {
        if (b[static_cast<unsigned>(i)] != 0) {
            return i * 32 + std::bit_width(b[static_cast<unsigned>(i)]) - 1;
        }
    }
    return -1;
}

u8 LocalApic::ppr() const {
    const int in_service = highest(isr_);
    const u32 isrv = in_service < 0 ? 0 : static_cast<u32>(in_service);
    return static_cast<u8>((tpr_ & 0xf0) >= (isrv & 0xf0) ? tpr_ : isrv & 0xf0);
}

// Whether the 8259's request reaches the CPU.
bool LocalApic::extint() const {
    if (!enabled()) {
        return lint_[0];  // LINT0 is the CPU's INTR pin then, §10.4.3
    }
    const u32 lvt = lvt_[kLvtLint0];
    const bool wired = (lvt & kMasked) == 0 && mode_of(lvt) == DeliveryMode::ext_int;
    return (wired && lint_[0]) || ioapic_extint_;
}

void LocalApic::update() {
    bool now = extint();
    if (!now && enabled() && software_enabled()) {
        const int vector = highest(irr_);
        now = vector >= 0 && (static_cast<u32>(vector) & 0xf0) > (ppr() & 0xf0u);
    }
    if (now != intr_) {
        intr_ = now;
        if (wiring_.intr) {
            wiring_.intr(now);
        }
    }
}

u8 LocalApic::acknowledge() {
    if (extint() && wiring_.extint_acknowledge) {
        // The 8259 lowers its INTR during this, which comes back as set_lint0.
        const u8 vector = wiring_.extint_acknowledge();
        update();
        return vector;
    }
    const int vector = highest(irr_);
    if (!enabled() || !software_enabled() || vector < 0 ||
        (static_cast<u32>(vector) & 0xf0) <= (ppr() & 0xf0u)) {
        // §10.9: the spurious vector, which sets no ISR bit and takes no EOI.
        return static_cast<u8>(svr_);
    }
    clear(irr_, static_cast<unsigned>(vector));
    set(isr_, static_cast<unsigned>(vector));
    update();
    return static_cast<u8>(vector);
}

bool LocalApic::accept(u8 vector, bool level) {
    if (!enabled() || !software_enabled()) {
        return false;  // §10.4.7.2: disabled, it answers only INIT, NMI, SMI and start-up
    }
    if (vector < 16) {
        error(kErrorReceiveVector);
        return false;
    }
    if (level) {
        set(tmr_, vector);
    } else {
        clear(tmr_, vector);
    }
    set(irr_, vector);
    update();
    return true;
}

bool LocalApic::matches(u8 destination, bool logical) const {
    if (!enabled()) {
        return false;
    }
    if (destination == 0xff) {
        return true;
    }
    if (!logical) {
        return destination == id_ >> 24;
    }
    const u32 mine = ldr_ >> 24;
    if (dfr_ >> 28 == 0xf) {
        return (destination & mine) != 0;  // flat model
    }
    // Cluster model: the high nibble names the cluster.
    return (destination & 0xf0u) == (mine & 0xf0u) && (destination & mine & 0x0fu) != 0;
}

bool LocalApic::deliver(const ApicMessage& message) {
    if (!matches(message.destination, message.logical)) {
        return false;
    }
    switch (message.mode) {
        case DeliveryMode::fixed:
        case DeliveryMode::lowest:
            return accept(message.vector, message.level);
        case DeliveryMode::nmi:
            if (wiring_.nmi) {
                wiring_.nmi();
            }
            return true;
        default:
            // SMI: there is no system management mode. INIT and start-up would stop the only
            // processor. A guest that sends them to itself sees nothing happen.
            if (ipi_log_.allow()) {
                log_.warn("dev=apic what=ignored_message mode=%u vector=0x%02x",
                          static_cast<unsigned>(message.mode), message.vector);
            }
            return true;
    }
}

void LocalApic::deliver_msi(u64 address, u32 data) {
    ApicMessage m;
    m.destination = static_cast<u8>(address >> 12);
    // SDM vol 3A §10.11.1 says that destination mode (bit 2) counts only with the redirection hint
    // (bit 3), but chipsets obey it alone, and Linux on 32 bits sends logical destinations without
    // the hint.
    m.logical = (address & 0x04) != 0;
    m.mode = mode_of(data);
    m.vector = static_cast<u8>(data);
    m.level = (data & kLevel) != 0;
    if (m.level && (data & 1u << 14) == 0) {
        return;  // a deassert message means nothing to these APICs
    }
    deliver(m);
}

void LocalApic::set_ioapic_extint(bool asserted) {
    ioapic_extint_ = asserted;
    update();
}

void LocalApic::set_lint(unsigned n, bool asserted) {
    if (lint_[n] == asserted) {
        return;
    }
    lint_[n] = asserted;
    const u32 lvt = lvt_[kLvtLint0 + n];
    if (!enabled()) {
        if (n == 1 && asserted && wiring_.nmi) {
            wiring_.nmi();  // LINT1 is the CPU's NMI pin
        }
    } else if ((lvt & kMasked) == 0 && asserted) {
        switch (mode_of(lvt)) {
            case DeliveryMode::fixed:
                // LINT1 is always edge sensitive, §10.5.1.
                if (n == 0 && (lvt & kLevel)) {
                    lint_level(n);
                } else {
                    accept(static_cast<u8>(lvt), false);
                }
                break;
            case DeliveryMode::nmi:
                if (wiring_.nmi) {
                    wiring_.nmi();
                }
                break;
            default:
                break;  // ExtINT is looked at by update(); SMI and INIT as in deliver()
        }
    }
    update();
}

// A level-triggered local input asks again until it is low, once after each EOI.
void LocalApic::lint_level(unsigned n) {
    u32& lvt = lvt_[kLvtLint0 + n];
    if (lint_[n] && (lvt & (kMasked | kRemoteIrr)) == 0 && (lvt & kLevel) &&
        mode_of(lvt) == DeliveryMode::fixed && accept(static_cast<u8>(lvt), true)) {
        lvt |= kRemoteIrr;
    }
}

void LocalApic::end_of_interrupt() {
    const int vector = highest(isr_);
    if (vector < 0) {
        return;
    }
    const u8 v = static_cast<u8>(vector);
    clear(isr_, v);
    if (test(tmr_, v)) {
        u32& lvt = lvt_[kLvtLint0];
        if ((lvt & kRemoteIrr) && static_cast<u8>(lvt) == v) {
            lvt &= ~kRemoteIrr;
            lint_level(0);
        }
        if (wiring_.eoi) {
            wiring_.eoi(v);
        }
    }
    update();
}

u32 LocalApic::read(u64 offset, unsigned size) {
    const unsigned byte = offset & 0xf;
    if (byte >= 4 || byte + size > 4) {
        return 0;  // §10.4.1: only aligned 32-bit accesses are defined
    }
    return low_bytes(read_register(static_cast<unsigned>(offset >> 4)) >> (8 * byte), size);
}

void LocalApic::write(u64 offset, unsigned size, u32 value) {
    if (size == 4 && (offset & 0xf) == 0) {
        write_register(static_cast<unsigned>(offset >> 4), value);
    }
}

u32 LocalApic::read_register(unsigned index) {
    // clang-format off
    switch (index) {
        case reg::kId:           return id_;
        case reg::kVersion:      return kVersionValue;
        case reg::kTpr:          return tpr_;
        case reg::kApr:          return ppr();  // no other processor to arbitrate with
        case reg::kPpr:          return ppr();
        case reg::kEoi:          return 0;
        case reg::kRrd:          return 0;
        case reg::kLdr:          return ldr_;
        case reg::kDfr:          return dfr_;
        case reg::kSvr:          return svr_;
        case reg::kEsr:          return esr_;
        case reg::kIcrLow:       return icr_low_;
        case reg::kIcrHigh:      return icr_high_;
        case reg::kInitialCount: return initial_count_;
        case reg::kCurrentCount: return current_count();
        case reg::kDivide:       return divide_;
        default:            break;
    }
    // clang-format on
    if (index >= reg::kIsr && index < reg::kIsr + 8) {
        return isr_[index - reg::kIsr];
    }
    if (index >= reg::kTmr && index < reg::kTmr + 8) {
        return tmr_[index - reg::kTmr];
    }
    if (index >= reg::kIrr && index < reg::kIrr + 8) {
        return irr_[index - reg::kIrr];
    }
    if (index >= kLvtFirst && index < kLvtFirst + kLvtCount) {
        return lvt_[index - kLvtFirst];
    }
    error(kErrorRegister);
    return 0;
}

void LocalApic::write_register(unsigned index, u32 value) {
    switch (index) {
        case reg::kId:
            id_ = value & 0xff00'0000;
            break;
        case reg::kTpr:
            tpr_ = value & 0xff;
            update();
            break;
        case reg::kEoi:
            end_of_interrupt();
            break;
        case reg::kLdr:
            ldr_ = value & 0xff00'0000;
            break;
        case reg::kDfr:
            dfr_ = value | 0x0fff'ffff;
            break;
        case reg::kSvr:
            write_svr(value);
            break;
        case reg::kEsr:
            // §10.5.3: a write, of any value, shows the errors since the last one.
            esr_ = esr_pending_;
            esr_pending_ = 0;
            break;
        case reg::kIcrLow:
            write_icr(value);
            break;
        case reg::kIcrHigh:
            icr_high_ = value & 0xff00'0000;
            break;
        case reg::kInitialCount:
            if (timer_mode() != TimerMode::tsc_deadline) {
                start_timer(value, value);
            }
            break;
        case reg::kDivide: {
            const u32 current = current_count();
            divide_ = value & 0x0b;
            start_timer(initial_count_, current);
            break;
        }
        default:
            if (index >= kLvtFirst && index < kLvtFirst + kLvtCount) {
                write_lvt(static_cast<Lvt>(index - kLvtFirst), value);
            } else if (index != reg::kVersion && index != reg::kApr && index != reg::kPpr &&
                       index != reg::kRrd && index != reg::kCurrentCount &&
                       !(index >= reg::kIsr && index < reg::kEsr)) {
                error(kErrorRegister);
            }
            break;
    }
}

void LocalApic::write_svr(u32 value) {
    svr_ =
        value & 0x3ff;  // bit 12 would suppress EOI broadcasts, which the version register denies
    if (!software_enabled()) {
        // §10.4.7.2: "The mask bits for all the LVT entries are set."
        for (u32& lvt : lvt_) {
            lvt |= kMasked;
        }
    }
    update();
}

void LocalApic::write_lvt(Lvt which, u32 value) {
    u32& lvt = lvt_[which];
    const TimerMode before = timer_mode();
    const u32 current = which == kLvtTimer ? current_count() : 0;
    const u32 kept = lvt & kRemoteIrr;
    lvt = value & kLvtWritable[which];
    if (!software_enabled()) {
        lvt |= kMasked;
    }
    if (which == kLvtTimer && timer_mode() != before) {
        // §10.5.4.1: a change from or to TSC-deadline mode disarms the timer.
        if (before == TimerMode::tsc_deadline || timer_mode() == TimerMode::tsc_deadline) {
            tsc_deadline_ = 0;
            initial_count_ = 0;
            timer_.cancel();
        } else {
            start_timer(initial_count_, current);
        }
    }
    if (which == kLvtLint0) {
        if (lvt & kLevel) {
            lvt |= kept;
        }
        lint_level(0);
    }
    update();
}

void LocalApic::write_icr(u32 value) {
    icr_low_ = value & 0x000c'cfff;  // delivery status (bit 12) always reads idle
    const unsigned shorthand = value >> 18 & 3;
    ApicMessage m;
    m.destination = static_cast<u8>(icr_high_ >> 24);
    m.logical = (value & 1u << 11) != 0;
    m.mode = mode_of(value);
    m.vector = static_cast<u8>(value);
    if (m.mode == DeliveryMode::init && (value & kLevel) && !(value & 1u << 14)) {
        return;  // INIT level deassert only synchronised arbitration IDs
    }
    if ((m.mode == DeliveryMode::fixed || m.mode == DeliveryMode::lowest) && m.vector < 16) {
        error(kErrorSendVector);
        return;
    }
    if (shorthand == 3) {
        return;  // all others: there are none
    }
    if (shorthand != 0) {
        // To itself only fixed interrupts can be sent with the "self" shorthand, table 10-3.
        if (shorthand == 1 && m.mode != DeliveryMode::fixed) {
            return;
        }
        m.destination = 0xff;
        m.logical = false;
    }
    deliver(m);
}

void LocalApic::error(u32 bit) {
    const bool was_new = (esr_pending_ & bit) == 0;
    esr_pending_ |= bit;
    const u32 lvt = lvt_[kLvtError];
    // A bad vector in the error entry itself must not raise errors without end.
    if (was_new && (lvt & kMasked) == 0) {
        accept(static_cast<u8>(lvt), false);
    }
}

}  // namespace ennead::vmcore
