// SPDX-License-Identifier: MIT
// A 16550A serial port whose line is infinitely fast outwards and back-pressured inwards.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>

#include "vmcore/devices/clock.h"
#include "vmcore/devices/irq.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Eight ports, width 1. vCPU thread only.
class Uart16550 final : public Device {
  public:
    struct Wiring {  // every function may be empty
        IrqLine irq;
        std::function<void(u8)> transmit;
        // There is room again after receive() had to leave bytes behind. May call receive().
        std::function<void()> room;
        // The guest began (true) or ended (false) to send a break.
        std::function<void(bool)> transmit_break;
        // DTR and RTS, as the guest drives them.
        std::function<void(bool dtr, bool rts)> modem_control;
    };

    Uart16550(TimerQueue& timers, Wiring wiring);

    void reset();

    // The other end sends: how many bytes were taken, from the first on. None are while the guest
    // holds RTS low or tests in loopback mode, as a sender that obeys RTS/CTS would wait; a guest
    // that polls is sent to without RTS, since firmware does not care for modem lines. It gets half
    // a FIFO and more once it has found the receiver empty: SeaBIOS moves all that is there into a
    // keyboard buffer of 15 keys at a tick of its clock, and drops the rest.
    std::size_t receive(std::span<const u8> bytes);
    // A break arrives; false if there was no room for it.
    bool receive_break();
    // Whether a driver waits for bytes by interrupt, if the processor lets interrupts through. What
    // is sent before may be dropped when one starts, for it empties the FIFO.
    [[nodiscard]] bool listening() const;
    // For how many nanoseconds a program has been waiting for bytes without interrupts, as firmware
    // and boot loaders do: it looks whether one is there, time and again, and has not set the port
    // up anew or sent something meanwhile. (Sending alone looks at the same register, once for each
    // byte.) Nothing if there is none.
    [[nodiscard]] std::optional<u64> polled_for_ns() const;

    // The other end's modem lines; all asserted after power-on. Dropping DCD hangs up.
    struct ModemLines {
        bool cts = true, dsr = true, ri = false, dcd = true;
    };
    void set_modem_lines(ModemLines lines);

    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    struct Character {
        u8 byte = 0;
        u8 errors = 0;  // LSR bits that belong to it
    };
    static constexpr unsigned kFifoSize = 16;
    static constexpr unsigned kEnoughPolls = 8;
    static constexpr unsigned kBurst = kFifoSize / 2;

    [[nodiscard]] bool fifo_enabled() const { return (fcr_ & 1) != 0; }
    [[nodiscard]] bool loopback() const { return (mcr_ & 0x10) != 0; }
    [[nodiscard]] unsigned capacity() const { return fifo_enabled() ? kFifoSize : 1; }
    [[nodiscard]] unsigned trigger() const;
    [[nodiscard]] u8 identification() const;
    [[nodiscard]] u8 line_status() const;
    [[nodiscard]] u8 modem_status() const;
    [[nodiscard]] u64 character_ns() const;

    u8 read_rbr();
    u8 read_iir();
    u8 read_lsr();
    u8 read_msr();
    void write_thr(u8 value);
    void write_ier(u8 value);
    void write_fcr(u8 value);
    void write_lcr(u8 value);
    void write_mcr(u8 value);
    void push(Character c);
    void top_changed();
    void clear_receiver();
    void modem_changed(u8 before);
    [[nodiscard]] bool interrupt_gate() const;
    [[nodiscard]] bool clear_to_send() const;
    [[nodiscard]] bool has_room() const;
    void offer_room();
    void update_irq();

    Wiring wiring_;
    u8 ier_ = 0;
    u8 fcr_ = 0;
    u8 lcr_ = 0;
    u8 mcr_ = 0;
    u8 scr_ = 0;
    u16 divisor_ = 12;
    u8 lsr_errors_ = 0;  // OE PE FE BI not read yet
    u8 msr_delta_ = 0;
    u8 msr_lines_ = 0xb0;  // from outside: DCD, DSR, CTS
    bool thre_pending_ = false;
    bool timed_out_ = false;
    bool left_behind_ = false;  // receive() did not take all
    unsigned polls_ = 0;        // looks at an empty receiver, up to kEnoughPolls
    u64 polled_since_ns_ = 0;
    unsigned burst_ = 0;  // bytes received since the receiver was found empty, up to kBurst
    std::array<Character, kFifoSize> fifo_{};
    unsigned head_ = 0;
    unsigned count_ = 0;
    TimerQueue& timers_;
    Timer timeout_;
};

}  // namespace ennead::vmcore
