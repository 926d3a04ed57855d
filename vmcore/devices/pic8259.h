// SPDX-License-Identifier: MIT
// The PC's two cascaded 8259A interrupt controllers, with the edge/level registers of the PIIX3.
#pragma once

#include <array>

#include "vmcore/devices/device_window.h"
#include "vmcore/devices/irq.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// IRQ 0…7 are the master's inputs, 8…15 the slave's; the slave's INT output is the master's
// input 2. vCPU thread only.
class Pic8259 {
  public:
    // `intr` follows the master's INT output, which a PC wires to LINT0 of the local APIC.
    explicit Pic8259(IrqLine intr = {});

    // Power-on: nothing is delivered until the guest has run the initialisation sequence. The input
    // lines keep their levels, for they belong to the devices.
    void reset();

    // Input 2 is the cascade and cannot be driven from outside.
    void set_irq(unsigned irq, bool asserted);
    [[nodiscard]] IrqLine line(unsigned irq) {
        return [this, irq](bool asserted) { set_irq(irq, asserted); };
    }

    [[nodiscard]] bool intr() const { return intr_; }
    // The two INTA cycles: the vector, with in-service bits set. Without a request it is the
    // spurious vector (IRQ 7, or IRQ 15 when only the slave's request vanished).
    u8 acknowledge();
    // Whether an unmasked request of this input still waits for its INTA.
    [[nodiscard]] bool pending(unsigned irq) const;

    // As a BIOS does before it starts an operating system that was not booted through it.
    void set_elcr(u16 level_triggered);

    Device& master_ports() { return master_window_; }  // 0x20, 2 bytes, width 1
    Device& slave_ports() { return slave_window_; }    // 0xa0, 2 bytes, width 1
    Device& elcr_ports() { return elcr_window_; }      // 0x4d0, 2 bytes, width 1

  private:
    // One 8259A. Bit n of every mask is input n.
    struct Chip {
        u8 lines = 0;      // levels at the inputs
        u8 edges = 0;      // rising edges not acknowledged yet
        u8 elcr = 0;       // 1: level triggered
        u8 isr = 0;        // in service
        u8 imr = 0;        // masked
        u8 base = 0;       // ICW2: bits 7…3 of the vector
        u8 lowest = 7;     // input with the lowest priority
        u8 init_step = 0;  // the ICW expected next at A0=1; 0 outside of the sequence
        bool icw4_follows = false;
        bool single = false;
        bool auto_eoi = false;
        bool rotate_on_auto_eoi = false;
        bool special_mask = false;
        bool special_fully_nested = false;
        bool poll = false;
        bool read_isr = false;  // OCW3: which register A0=0 reads

        [[nodiscard]] u8 irr() const { return edges | (lines & elcr); }
    };
    static constexpr unsigned kMaster = 0;
    static constexpr unsigned kSlave = 1;
    static constexpr unsigned kCascade = 2;
    static constexpr int kNone = -1;

    // The input whose request the chip would pass on, or kNone.
    [[nodiscard]] int request(unsigned chip) const;
    [[nodiscard]] u8 irr(unsigned chip) const;
    void put_in_service(unsigned chip, unsigned input);
    u8 read_chip(unsigned chip, unsigned a0);
    void write_chip(unsigned chip, unsigned a0, u8 value);
    void write_icw1(Chip& c, u8 value);
    void write_icw(Chip& c, u8 value);
    static void write_ocw2(Chip& c, u8 value);
    static void write_ocw3(Chip& c, u8 value);
    static int highest_in_service(const Chip& c);
    void update();

    u32 read_master(u64 offset, unsigned) { return read_chip(kMaster, offset & 1); }
    void write_master(u64 offset, unsigned, u32 v) { write_chip(kMaster, offset & 1, v & 0xff); }
    u32 read_slave(u64 offset, unsigned) { return read_chip(kSlave, offset & 1); }
    void write_slave(u64 offset, unsigned, u32 v) { write_chip(kSlave, offset & 1, v & 0xff); }
    u32 read_elcr(u64 offset, unsigned) { return chips_[offset & 1].elcr; }
    void write_elcr(u64 offset, unsigned, u32 v);

    IrqLine intr_line_;
    std::array<Chip, 2> chips_;
    bool intr_ = false;
    DeviceWindow<Pic8259> master_window_{*this, &Pic8259::read_master, &Pic8259::write_master};
    DeviceWindow<Pic8259> slave_window_{*this, &Pic8259::read_slave, &Pic8259::write_slave};
    DeviceWindow<Pic8259> elcr_window_{*this, &Pic8259::read_elcr, &Pic8259::write_elcr};
};

}  // namespace ennead::vmcore
