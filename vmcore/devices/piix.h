// SPDX-License-Identifier: MIT
// The south bridge's functions in slot 1: the PIIX3 ISA bridge with its interrupt router, and the
// PIIX4's power management function.
#pragma once

#include <array>
#include <functional>
#include <utility>

#include "vmcore/devices/config_space.h"
#include "vmcore/devices/pci_function.h"
#include "vmcore/mem/bus.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// 00:01.0. Leads PIRQA…PIRQD to the ISA interrupts that registers 60h…63h name. vCPU thread only.
class PiixIsaBridge final : public PciFunction {
  public:
    // Drives one of the sixteen ISA interrupts.
    using SetIrq = std::function<void(unsigned irq, bool asserted)>;
    // What firmware programs: PIRQA, B to 10 and C, D to 11. The DSDT counts on it.
    static constexpr std::array<u8, 4> kFirmwareRoute = {10, 10, 11, 11};

    explicit PiixIsaBridge(SetIrq set_irq);

    u32 config_read(unsigned offset, unsigned size) override { return config_.read(offset, size); }
    void config_write(unsigned offset, unsigned size, u32 value) override;
    void reset() override;

    void set_pirq(unsigned pirq, bool asserted);
    // Does what firmware would, for a guest that is entered without any.
    void route_as_firmware();

  private:
    void update();

    SetIrq set_irq_;
    ConfigSpace config_;
    std::array<bool, 4> pirqs_{};
    u16 driven_ = 0;  // ISA interrupts asserted now, a bit for each
};

// 00:01.3. Shows the ACPI registers at the I/O address its configuration gives. vCPU thread only.
class PiixPowerManagement final : public PciFunction {
  public:
    // `registers` (an AcpiPm) is put on `ports` when the guest enables the range.
    PiixPowerManagement(Bus& ports, Device& registers);
    ~PiixPowerManagement() override;

    u32 config_read(unsigned offset, unsigned size) override { return config_.read(offset, size); }
    void config_write(unsigned offset, unsigned size, u32 value) override;
    void reset() override;

    // Does what firmware would: the registers at AcpiPm::kDefaultBase.
    void enable_as_firmware();

  private:
    void place();

    Bus& ports_;
    Device& registers_;
    ConfigSpace config_;
    u32 placed_at_ = 0;  // 0: not on the bus
};

}  // namespace ennead::vmcore
