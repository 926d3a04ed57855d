// SPDX-License-Identifier: MIT
// PCI bus 0 behind configuration mechanism 1, with the reset control register that lies between its
// ports.
#pragma once

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "vmcore/devices/device_window.h"
#include "vmcore/devices/irq.h"
#include "vmcore/devices/pci_function.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// vCPU thread only.
class PciHost {
  public:
    static constexpr unsigned kSlots = 32;
    static constexpr unsigned kPins = 4;

    struct Wiring {  // every function may be empty
        // PIRQA…PIRQD (0…3) of the interrupt router.
        std::function<void(unsigned pirq, bool asserted)> pirq;
        // The guest asked for a reset through port CF9h; `hard` resets all devices, else only the
        // CPU.
        std::function<void(bool hard)> reset;
    };

    explicit PciHost(Wiring wiring) : wiring_(std::move(wiring)) {}

    // Resets the bus and every function on it; their interrupt lines are theirs to drop.
    void reset();

    // `function` must outlive the bridge. range_overlap if the place is taken, bad_value if there
    // is no such. Function 0 of a slot must be there for the others to be found, and must set the
    // multi-function bit.
    Result<> add(unsigned slot, unsigned number, PciFunction& function);

    // INTA…INTD (0…3) of a slot. Wires are shared: a PIRQ is asserted while any wire on it is.
    void set_intx(unsigned slot, unsigned pin, bool asserted);
    [[nodiscard]] IrqLine intx(unsigned slot, unsigned pin) {
        return [this, slot, pin](bool asserted) { set_intx(slot, pin, asserted); };
    }
    // The wires of a PC with a 440FX: slot 1's INTA is PIRQA, and each slot is rotated by one.
    static constexpr unsigned pirq_of(unsigned slot, unsigned pin) {
        return (slot + pin + kPins - 1) % kPins;
    }

    Device& address_port() { return address_window_; }  // 0xcf8, 4 bytes, width 4
    Device& data_port() { return data_window_; }        // 0xcfc, 4 bytes, width 4

  private:
    u32 read_address(u64 offset, unsigned size);
    void write_address(u64 offset, unsigned size, u32 value);
    u32 read_data(u64 offset, unsigned size);
    void write_data(u64 offset, unsigned size, u32 value);
    void write_reset_control(u8 value);
    [[nodiscard]] PciFunction* selected() const;

    Wiring wiring_;
    u32 address_ = 0;
    u8 reset_control_ = 0;
    std::array<std::array<PciFunction*, 8>, kSlots> functions_{};
    std::array<u8, kSlots> intx_{};           // a bit for each pin
    std::array<unsigned, kPins> asserted_{};  // wires asserted on each PIRQ
    DeviceWindow<PciHost> address_window_{*this, &PciHost::read_address, &PciHost::write_address};
    DeviceWindow<PciHost> data_window_{*this, &PciHost::read_data, &PciHost::write_data};
};

}  // namespace ennead::vmcore
