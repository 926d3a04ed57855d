// SPDX-License-Identifier: MIT
// Configuration registers of the PIIX3 ISA bridge (Intel data sheet 290550) and of the PIIX4 power
// management function (290562).
#include "vmcore/devices/piix.h"

#include <utility>

#include "vmcore/devices/acpi_pm.h"

namespace ennead::vmcore {
namespace {

constexpr unsigned kPirqA = 0x60;
constexpr u8 kPirqDisabled = 0x80;
// IRQ 0, 1, 2, 8 and 13 are reserved in PIRQRC.
constexpr u16 kRoutable = 0xdef8;

constexpr unsigned kPmBase = 0x40;
constexpr unsigned kPmRegMisc = 0x80;

}  // namespace

PiixIsaBridge::PiixIsaBridge(SetIrq set_irq) : set_irq_(std::move(set_irq)) {
    reset();
}

void PiixIsaBridge::reset() {
    config_ = {};
    // clang-format off
    config_.set16(0x00, 0x8086);
    config_.set16(0x02, 0x7000);
    config_.set16(0x04, 0x0007, 0x0108);  // I/O, memory and master always on
    config_.set16(0x06, 0x0200);          // medium DEVSEL
    config_.set32(0x08, 0x0601'0000);     // ISA bridge
    config_.set8(0x0e, 0x80);             // more functions in this slot
    config_.set8(0x4c, 0x4d, 0xff);       // IORT: ISA recovery
    config_.set16(0x4e, 0x0003, 0xffff);  // XBCS: chip selects
    for (unsigned i = 0; i < 4; i++) {
        config_.set8(kPirqA + i, kPirqDisabled, 0x8f);
    }
    config_.set8(0x69, 0x02, 0xff);       // TOM
    config_.set8(0x70, 0x80, 0xff);       // MBIRQ0
    config_.set8(0x76, 0x0c, 0x8f);       // MBDMA
    config_.set8(0x77, 0x0c, 0x8f);
    config_.set8(0x78, 0x02, 0xff);       // PCSC
    config_.set8(0x82, 0x00, 0x0f);       // DLC
    config_.set8(0xa0, 0x08, 0x1f);       // SMICNTL
    config_.set16(0xa2, 0x0000, 0x00ff);  // SMIEN
    config_.set32(0xa4, 0x0000'0000, 0xe000'ffff);  // SEE
    config_.set8(0xa8, 0x0f, 0xff);       // FTMR
    // clang-format on
    update();
}

void PiixIsaBridge::config_write(unsigned offset, unsigned size, u32 value) {
    config_.write(offset, size, value);
    if (offset < kPirqA + 4 && offset + size > kPirqA) {
        update();
    }
}

void PiixIsaBridge::set_pirq(unsigned pirq, bool asserted) {
    if (pirq < pirqs_.size()) {
        pirqs_[pirq] = asserted;
        update();
    }
}

void PiixIsaBridge::route_as_firmware() {
    for (unsigned i = 0; i < kFirmwareRoute.size(); i++) {
        config_write(kPirqA + i, 1, kFirmwareRoute[i]);
    }
}

void PiixIsaBridge::update() {
    u16 now = 0;
    for (unsigned i = 0; i < pirqs_.size(); i++) {
        const u8 route = config_[kPirqA + i];
        if (pirqs_[i] && !(route & kPirqDisabled)) {
            now |= static_cast<u16>(1u << (route & 15)) & kRoutable;
        }
    }
    const u16 changed = now ^ driven_;
    driven_ = now;
    for (unsigned irq = 0; irq < 16; irq++) {
        if ((changed >> irq & 1) && set_irq_) {
            set_irq_(irq, (now >> irq & 1) != 0);
        }
    }
}

PiixPowerManagement::PiixPowerManagement(Bus& ports, Device& registers)
    : ports_(ports), registers_(registers) {
    reset();
}

PiixPowerManagement::~PiixPowerManagement() {
    if (placed_at_ != 0) {
        ports_.remove(placed_at_);
    }
}

void PiixPowerManagement::reset() {
    config_ = {};
    // clang-format off
    config_.set16(0x00, 0x8086);
    config_.set16(0x02, 0x7113);
    config_.set16(0x04, 0x0000, 0x0101);
    config_.set16(0x06, 0x0280);
    config_.set32(0x08, 0x0680'0003);     // other bridge
    config_.set8(0x3c, 0x09, 0xff);       // the SCI is interrupt 9
    config_.set8(0x3d, 0x01);             // INTA, though the SCI does not go through the router
    config_.set32(kPmBase, 0x0000'0001, 0x0000'ffc0);
    // DEVACTB with APMC_EN set: firmware reads that its system management code is already in
    // place, and does not wait for an SMI that will not come.
    config_.set32(0x58, 0x0200'0000);
    config_.set8(kPmRegMisc, 0x00, 0x01);
    config_.set32(0x90, 0x0000'0001, 0x0000'fff0);  // SMBus base; there is no SMBus behind it
    config_.set8(0xd2, 0x00, 0x0f);                 // SMBHSTCFG
    // clang-format on
    place();
}

void PiixPowerManagement::config_write(unsigned offset, unsigned size, u32 value) {
    config_.write(offset, size, value);
    place();
}

void PiixPowerManagement::enable_as_firmware() {
    config_write(kPmBase, 4, AcpiPm::kDefaultBase);
    config_write(kPmRegMisc, 1, 1);
}

// PMREGMISC bit 0 decodes the ACPI registers at PMBA.
void PiixPowerManagement::place() {
    const u32 base = config_.read(kPmBase, 2) & 0xffc0;
    const u32 wanted = (config_[kPmRegMisc] & 1) ? base : 0;
    if (wanted == placed_at_) {
        return;
    }
    if (placed_at_ != 0) {
        ports_.remove(placed_at_);
        placed_at_ = 0;
    }
    // A guest that moves them over another device's ports finds that device there, not these.
    if (wanted != 0 && ports_.add(wanted, AcpiPm::kLength, 4, registers_, "acpi pm")) {
        placed_at_ = wanted;
    }
}

}  // namespace ennead::vmcore
