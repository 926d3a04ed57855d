// SPDX-License-Identifier: MIT
// The ACPI fixed registers of a PIIX4: power button, power-off, timer, general events, and the SMI
// command port.
#pragma once

#include <functional>

#include "vmcore/devices/clock.h"
#include "vmcore/devices/device_window.h"
#include "vmcore/devices/irq.h"
#include "vmcore/log.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// The registers at PMBA are the Device itself (width 4). vCPU thread only.
class AcpiPm final : public Device {
  public:
    static constexpr u32 kDefaultBase = 0x600;
    static constexpr u32 kLength = 64;
    static constexpr u64 kTimerHz = 3579545;
    // Offsets from the base that the FADT names.
    static constexpr u32 kPm1Event = 0x00, kPm1Control = 0x04, kPmTimer = 0x08, kGpe0 = 0x0c;
    // What the FADT tells the guest to write to the SMI command port.
    static constexpr u16 kSmiCommandPort = 0xb2;
    static constexpr u8 kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;
    // SLP_TYP of S5 in PM1_CNT, as \_S5 says.
    static constexpr unsigned kSleepTypeS5 = 0;

    struct Wiring {  // every function may be empty
        IrqLine sci;
        std::function<void()> power_off;
    };

    AcpiPm(TimerQueue& timers, Wiring wiring, Log log = {});

    void reset();
    // Asks the guest to power off. Nothing comes of it unless the guest listens.
    void press_power_button();
    [[nodiscard]] bool power_button_enabled() const;
    // Raises a general-purpose event, 0…15.
    void raise_event(unsigned event);

    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;
    Device& smi_ports() { return smi_window_; }  // 0xb2, 2 bytes, width 1: APMC and APMS

  private:
    [[nodiscard]] u8 read_byte(unsigned offset);
    void write_byte(unsigned offset, u8 value);
    void write_control(u16 value);
    [[nodiscard]] u64 ticks() const;
    void catch_up_timer();
    void update();
    void arm();
    u32 read_smi(u64 offset, unsigned size);
    void write_smi(u64 offset, unsigned size, u32 value);

    TimerQueue& timers_;
    Wiring wiring_;
    Log log_;
    LogLimit sleep_log_{4};
    u16 status_ = 0;   // PMSTS
    u16 enable_ = 0;   // PMEN
    u16 control_ = 0;  // PMCNTRL
    u16 gpe_status_ = 0;
    u16 gpe_enable_ = 0;
    u64 timer_halves_ =
        0;  // times bit 23 of the timer had changed when TMR_STS was last looked after
    u8 apmc_ = 0;
    u8 apms_ = 0;
    Timer overflow_;
    DeviceWindow<AcpiPm> smi_window_{*this, &AcpiPm::read_smi, &AcpiPm::write_smi};
};

}  // namespace ennead::vmcore
