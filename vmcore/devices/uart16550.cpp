// SPDX-License-Identifier: MIT
// Registers, FIFOs and interrupts of the PC16550D (National Semiconductor data sheet, June 1995).
#include "vmcore/devices/uart16550.h"

#include <algorithm>
#include <utility>

namespace ennead::vmcore {
namespace {

enum : unsigned { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };

constexpr u8 kIerReceive = 1;
constexpr u8 kIerTransmit = 2;
constexpr u8 kIerLine = 4;
constexpr u8 kIerModem = 8;

constexpr u8 kIirNone = 0x01;
constexpr u8 kIirModem = 0x00;
constexpr u8 kIirTransmit = 0x02;
constexpr u8 kIirReceive = 0x04;
constexpr u8 kIirLine = 0x06;
constexpr u8 kIirTimeout = 0x0c;
constexpr u8 kIirFifos = 0xc0;

constexpr u8 kLcrBreak = 0x40;
constexpr u8 kLcrDlab = 0x80;

constexpr u8 kMcrDtr = 0x01;
constexpr u8 kMcrRts = 0x02;
constexpr u8 kMcrOut1 = 0x04;
constexpr u8 kMcrOut2 = 0x08;
constexpr u8 kMcrLoop = 0x10;

constexpr u8 kLsrReady = 0x01;
constexpr u8 kLsrOverrun = 0x02;
constexpr u8 kLsrBreak = 0x10;
constexpr u8 kLsrErrors = 0x1e;
constexpr u8 kLsrTransmitEmpty = 0x60;  // THRE and TEMT
constexpr u8 kLsrFifoError = 0x80;

constexpr u8 kMsrCts = 0x10;
constexpr u8 kMsrDsr = 0x20;
constexpr u8 kMsrRi = 0x40;
constexpr u8 kMsrDcd = 0x80;

constexpr u64 kClockHz = 1843200;

}  // namespace

Uart16550::Uart16550(TimerQueue& timers, Wiring wiring)
    : wiring_(std::move(wiring)), timers_(timers), timeout_(timers, [this] {
          timed_out_ = count_ != 0;
          update_irq();
      }) {}

void Uart16550::reset() {
    const u8 before = modem_status();
    ier_ = 0;
    fcr_ = 0;
    lcr_ = 0;
    mcr_ = 0;
    scr_ = 0;
    polls_ = 0;
    divisor_ = 12;  // undefined in the data sheet; 9600 baud as a BIOS leaves it
    lsr_errors_ = 0;
    thre_pending_ = false;
    clear_receiver();
    modem_changed(before);
    msr_delta_ = 0;
    update_irq();
}

unsigned Uart16550::trigger() const {
    static constexpr std::array<u8, 4> kLevels = {1, 4, 8, 14};
    return fifo_enabled() ? kLevels[fcr_ >> 6] : 1;
}

u64 Uart16550::character_ns() const {
    // Start bit, 5 to 8 data bits, parity, one or two stop bits; 16 clocks a bit.
    const u64 bits = 1 + 5 + (lcr_ & 3) + (lcr_ >> 3 & 1) + 1 + (lcr_ >> 2 & 1);
    const u64 divisor = divisor_ == 0 ? 65536 : divisor_;
    return bits * 16 * divisor * 1'000'000'000 / kClockHz;
}

std::size_t Uart16550::receive(std::span<const u8> bytes) {
    std::size_t taken = 0;
    if (clear_to_send()) {
        while (taken < bytes.size() && has_room()) {
            push({bytes[taken++], 0});
            burst_ = std::min(burst_ + 1, kBurst);
        }
    }
    left_behind_ = taken < bytes.size();
    update_irq();
    return taken;
}

bool Uart16550::has_room() const {
    const bool polled = polls_ == kEnoughPolls && (ier_ & kIerReceive) == 0;
    return count_ < capacity() && !(polled && burst_ == kBurst);
}

bool Uart16550::receive_break() {
    if (loopback() || count_ >= capacity()) {
        return false;
    }
    // "When break occurs only one zero character is loaded into the FIFO."
    push({0, kLsrBreak});
    update_irq();
    return true;
}

bool Uart16550::clear_to_send() const {
    return !loopback() && ((mcr_ & kMcrRts) || polls_ == kEnoughPolls);
}

std::optional<u64> Uart16550::polled_for_ns() const {
    return polls_ == kEnoughPolls ? std::optional(timers_.now_ns() - polled_since_ns_)
                                  : std::nullopt;
}

bool Uart16550::listening() const {
    return (mcr_ & kMcrRts) && (ier_ & kIerReceive) && interrupt_gate();
}

// A PC leads the interrupt through a gate that OUT2 opens; loopback mode turns OUT2 off.
bool Uart16550::interrupt_gate() const {
    return (mcr_ & (kMcrOut2 | kMcrLoop)) == kMcrOut2;
}

void Uart16550::push(Character c) {
    if (count_ >= capacity()) {
        // In loopback mode nobody waits for room. The FIFO keeps its characters; without FIFOs the
        // newer one replaces the older.
        lsr_errors_ |= kLsrOverrun;
        if (!fifo_enabled()) {
            fifo_[head_] = c;
            top_changed();
        }
        return;
    }
    fifo_[(head_ + count_) % kFifoSize] = c;
    count_++;
    if (count_ == 1) {
        top_changed();
    }
    // Character timeout: at least one character in the FIFO and none came or was read for four
    // character times.
    if (fifo_enabled()) {
        timeout_.arm_at_ns(timers_.now_ns() + 4 * character_ns());
    }
}

// "This error is revealed to the CPU when its associated character is at the top of the FIFO."
void Uart16550::top_changed() {
    if (count_ != 0) {
        lsr_errors_ |= fifo_[head_].errors;
        fifo_[head_].errors = 0;
    }
}

void Uart16550::clear_receiver() {
    head_ = 0;
    count_ = 0;
    timed_out_ = false;
    timeout_.cancel();
}

u8 Uart16550::line_status() const {
    u8 value = kLsrTransmitEmpty | lsr_errors_;
    if (count_ != 0) {
        value |= kLsrReady;
    }
    if (fifo_enabled()) {
        bool any = (lsr_errors_ & (kLsrErrors & ~kLsrOverrun)) != 0;
        for (unsigned i = 0; i < count_; i++) {
            any |= fifo_[(head_ + i) % kFifoSize].errors != 0;
        }
        value |= any ? kLsrFifoError : 0;
    }
    return value;
}

u8 Uart16550::modem_status() const {
    if (!loopback()) {
        return msr_lines_;
    }
    // Loopback: the four modem control outputs are connected to the four inputs.
    return static_cast<u8>((mcr_ & kMcrRts ? kMsrCts : 0) | (mcr_ & kMcrDtr ? kMsrDsr : 0) |
                           (mcr_ & kMcrOut1 ? kMsrRi : 0) | (mcr_ & kMcrOut2 ? kMsrDcd : 0));
}

u8 Uart16550::identification() const {
    // Data sheet table IV, in order of priority.
    if ((ier_ & kIerLine) && lsr_errors_ != 0) {
        return kIirLine;
    }
    if ((ier_ & kIerReceive) && count_ >= trigger()) {
        return kIirReceive;
    }
    if ((ier_ & kIerReceive) && timed_out_) {
        return kIirTimeout;
    }
    if ((ier_ & kIerTransmit) && thre_pending_) {
        return kIirTransmit;
    }
    if ((ier_ & kIerModem) && msr_delta_ != 0) {
        return kIirModem;
    }
    return kIirNone;
}

void Uart16550::update_irq() {
    if (wiring_.irq) {
        wiring_.irq(interrupt_gate() && identification() != kIirNone);
    }
}

void Uart16550::offer_room() {
    if (left_behind_ && has_room() && clear_to_send()) {
        left_behind_ = false;
        if (wiring_.room) {
            wiring_.room();
        }
    }
}

u32 Uart16550::read(u64 offset, unsigned) {
    const bool dlab = (lcr_ & kLcrDlab) != 0;
    switch (offset & 7) {
        case kData:
            return dlab ? divisor_ & 0xff : read_rbr();
        case kIer:
            return dlab ? divisor_ >> 8 : ier_;
        case kIirFcr:
            return read_iir();
        case kLcr:
            return lcr_;
        case kMcr:
            return mcr_;
        case kLsr:
            return read_lsr();
        case kMsr:
            return read_msr();
        default:
            return scr_;
    }
}

void Uart16550::write(u64 offset, unsigned, u32 value) {
    const u8 v = static_cast<u8>(value);
    const bool dlab = (lcr_ & kLcrDlab) != 0;
    // Who has begun to poll may send; who sets the port up is another.
    if ((offset & 7) != kData || dlab || polls_ != kEnoughPolls) {
        polls_ = 0;
    }
    switch (offset & 7) {
        case kData:
            if (dlab) {
                divisor_ = static_cast<u16>((divisor_ & 0xff00) | v);
            } else {
                write_thr(v);
            }
            break;
        case kIer:
            if (dlab) {
                divisor_ = static_cast<u16>((divisor_ & 0xff) | v << 8);
            } else {
                write_ier(v);
            }
            break;
        case kIirFcr:
            write_fcr(v);
            break;
        case kLcr:
            write_lcr(v);
            break;
        case kMcr:
            write_mcr(v);
            break;
        case kScr:
            scr_ = v;
            break;
        default:
            break;  // LSR and MSR: "writing is not recommended", factory test only
    }
}

u8 Uart16550::read_rbr() {
    const u8 value = fifo_[head_].byte;  // an empty receiver gives its last byte again
    if (count_ != 0) {
        head_ = (head_ + 1) % kFifoSize;
        count_--;
        top_changed();
        timed_out_ = false;
        if (count_ != 0 && fifo_enabled()) {
            timeout_.arm_at_ns(timers_.now_ns() + 4 * character_ns());
        } else {
            timeout_.cancel();
        }
        offer_room();
        update_irq();
    }
    return value;
}

u8 Uart16550::read_iir() {
    const u8 id = identification();
    if (id == kIirTransmit) {
        thre_pending_ = false;  // reading IIR resets it, if it is the source shown
        update_irq();
    }
    return id | (fifo_enabled() ? kIirFifos : 0);
}

u8 Uart16550::read_lsr() {
    const u8 value = line_status();
    if (!(value & kLsrReady)) {
        burst_ = 0;
        if (polls_ < kEnoughPolls && ++polls_ == kEnoughPolls) {
            polled_since_ns_ = timers_.now_ns();
        }
        offer_room();
    }
    if (lsr_errors_ != 0) {
        lsr_errors_ = 0;
        update_irq();
    }
    return value;
}

u8 Uart16550::read_msr() {
    const u8 value = modem_status() | msr_delta_;
    if (msr_delta_ != 0) {
        msr_delta_ = 0;
        update_irq();
    }
    return value;
}

void Uart16550::write_thr(u8 value) {
    const u8 byte = value & static_cast<u8>((1u << (5 + (lcr_ & 3))) - 1);
    if (loopback()) {
        push({byte, 0});
    } else if (wiring_.transmit) {
        wiring_.transmit(byte);
    }
    // The holding register is empty again at once.
    thre_pending_ = true;
    update_irq();
}

void Uart16550::write_ier(u8 value) {
    // Enabling it while the holding register is empty interrupts at once; drivers test for that.
    if ((value & kIerTransmit) && !(ier_ & kIerTransmit)) {
        thre_pending_ = true;
    }
    ier_ = value & 0x0f;
    update_irq();
}

void Uart16550::write_fcr(u8 value) {
    if ((value ^ fcr_) & 1) {
        clear_receiver();  // "when changing from FIFO mode to 16450 mode and vice versa"
        lsr_errors_ = 0;
    }
    if ((value & 1) == 0) {
        fcr_ = 0;  // the other bits are not programmed without bit 0
    } else {
        if (value & 2) {
            clear_receiver();
        }
        fcr_ = value & 0xc9;  // the reset bits clear themselves
    }
    offer_room();
    update_irq();
}

void Uart16550::write_lcr(u8 value) {
    const u8 changed = lcr_ ^ value;
    lcr_ = value;
    if (changed & kLcrBreak) {
        const bool on = (value & kLcrBreak) != 0;
        if (loopback()) {
            if (on) {
                push({0, kLsrBreak});
                update_irq();
            }
        } else if (wiring_.transmit_break) {
            wiring_.transmit_break(on);
        }
    }
}

void Uart16550::write_mcr(u8 value) {
    const u8 before = modem_status();
    const u8 changed = mcr_ ^ value;
    mcr_ = value & 0x1f;
    modem_changed(before);
    if ((changed & (kMcrDtr | kMcrRts)) && wiring_.modem_control) {
        wiring_.modem_control((mcr_ & kMcrDtr) != 0, (mcr_ & kMcrRts) != 0);
    }
    offer_room();
    update_irq();
}

void Uart16550::set_modem_lines(ModemLines lines) {
    const u8 before = modem_status();
    msr_lines_ = static_cast<u8>((lines.cts ? kMsrCts : 0) | (lines.dsr ? kMsrDsr : 0) |
                                 (lines.ri ? kMsrRi : 0) | (lines.dcd ? kMsrDcd : 0));
    modem_changed(before);
    update_irq();
}

void Uart16550::modem_changed(u8 before) {
    const u8 after = modem_status();
    u8 delta = static_cast<u8>((before ^ after) >> 4);
    if (after & kMsrRi) {
        delta &= static_cast<u8>(~4u);  // TERI: only the trailing edge of the ring indicator
    }
    msr_delta_ |= delta;
}

}  // namespace ennead::vmcore
