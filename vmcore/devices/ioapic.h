// SPDX-License-Identifier: MIT
// The I/O APIC (82093AA): 24 inputs, each sent as its redirection entry says.
#pragma once

#include <array>

#include "vmcore/devices/apic.h"
#include "vmcore/devices/irq.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// vCPU thread only.
class IoApic final : public Device {
  public:
    static constexpr unsigned kInputs = 24;
    static constexpr u64 kBase = 0xfec00000;
    static constexpr u64 kLength = 0x1000;  // IOREGSEL and IOWIN; the rest of the page reads 0

    explicit IoApic(LocalApic& cpu) : cpu_(cpu) { reset(); }

    void reset();

    // Asserted means "interrupt wanted", whatever the wire's polarity; the polarity bit only reads
    // back.
    void set_irq(unsigned input, bool asserted);
    [[nodiscard]] IrqLine line(unsigned input) {
        return [this, input](bool asserted) { set_irq(input, asserted); };
    }
    // The CPU's end of interrupt for a level-triggered vector.
    void end_of_interrupt(u8 vector);
    [[nodiscard]] bool masked(unsigned input) const;
    // Whether this input's last edge still waits in the local APIC.
    [[nodiscard]] bool pending(unsigned input) const;

    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    u32 read_register() const;
    void write_register(u32 value);
    void write_entry(unsigned input, bool high, u32 value);
    void send(unsigned input);
    void send_level(unsigned input);
    void update_extint();
    [[nodiscard]] bool asserted(unsigned input) const { return (lines_ >> input) & 1; }

    LocalApic& cpu_;
    u8 select_ = 0;
    u32 id_ = 0;
    u32 lines_ = 0;  // bit n: input n asserted
    std::array<u64, kInputs> entries_{};
};

}  // namespace ennead::vmcore
