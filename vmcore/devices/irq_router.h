// SPDX-License-Identifier: MIT
// Where the PC's sixteen interrupt wires end: at the 8259 pair and at the I/O APIC alike.
#pragma once

#include "vmcore/devices/ioapic.h"
#include "vmcore/devices/irq.h"
#include "vmcore/devices/pic8259.h"

namespace ennead::vmcore {

// The timer's wire ends at input 2 of the I/O APIC, as the MADT tells; all others at the input of
// the same number. vCPU thread only.
class IrqRouter {
  public:
    IrqRouter(Pic8259& pic, IoApic& ioapic) : pic_(pic), ioapic_(ioapic) {}

    void set_irq(unsigned irq, bool asserted) {
        pic_.set_irq(irq, asserted);
        ioapic_.set_irq(ioapic_input(irq), asserted);
    }
    [[nodiscard]] IrqLine line(unsigned irq) {
        return [this, irq](bool asserted) { set_irq(irq, asserted); };
    }
    // Whether the last edge of this wire still waits for the CPU at the controller that is in use:
    // what a Pit8254 wants to know. The I/O APIC is, if its input is not masked.
    [[nodiscard]] bool pending(unsigned irq) const {
        const unsigned input = ioapic_input(irq);
        return ioapic_.masked(input) ? pic_.pending(irq) : ioapic_.pending(input);
    }

  private:
    static unsigned ioapic_input(unsigned irq) { return irq == 0 ? 2 : irq; }

    Pic8259& pic_;
    IoApic& ioapic_;
};

}  // namespace ennead::vmcore
