// SPDX-License-Identifier: MIT
// Configuration mechanism 1 (PCI Local Bus Specification 2.1, §3.7.4.1) and the TRC register of the
// PIIX3.
#include "vmcore/devices/pci_host.h"

namespace ennead::vmcore {
namespace {

constexpr u8 kHardReset = 0x02;
constexpr u8 kResetCpu = 0x04;

}  // namespace

void PciHost::reset() {
    address_ = 0;
    reset_control_ = 0;
    for (auto& slot : functions_) {
        for (PciFunction* f : slot) {
            if (f != nullptr) {
                f->reset();
            }
        }
    }
}

Result<> PciHost::add(unsigned slot, unsigned number, PciFunction& function) {
    if (slot >= kSlots || number >= functions_[0].size()) {
        return Error::bad_value;
    }
    PciFunction*& place = functions_[slot][number];
    if (place != nullptr) {
        return Error::range_overlap;
    }
    place = &function;
    return success();
}

void PciHost::set_intx(unsigned slot, unsigned pin, bool asserted) {
    if (slot >= kSlots || pin >= kPins) {
        return;
    }
    const u8 bit = static_cast<u8>(1u << pin);
    if (asserted == ((intx_[slot] & bit) != 0)) {
        return;
    }
    intx_[slot] ^= bit;
    const unsigned pirq = pirq_of(slot, pin);
    const bool was = asserted_[pirq] != 0;
    asserted_[pirq] += asserted ? 1u : -1u;
    const bool now = asserted_[pirq] != 0;
    if (was != now && wiring_.pirq) {
        wiring_.pirq(pirq, now);
    }
}

// The function that CONFIG_ADDRESS names: only bus 0 has any.
PciFunction* PciHost::selected() const {
    const bool enabled = (address_ & 0x8000'0000) != 0;
    const unsigned bus = address_ >> 16 & 0xff;
    return enabled && bus == 0 ? functions_[address_ >> 11 & 31][address_ >> 8 & 7] : nullptr;
}

u32 PciHost::read_address(u64 offset, unsigned size) {
    if (offset == 0 && size == 4) {
        return address_;
    }
    if (offset == 1 && size == 1) {
        return reset_control_;
    }
    return low_bytes(0xffff'ffff,
                     size);  // narrower accesses are ordinary I/O cycles that nobody claims
}

void PciHost::write_address(u64 offset, unsigned size, u32 value) {
    if (offset == 0 && size == 4) {
        address_ = value & 0x80ff'fffc;  // bits 30…24 and 1…0 are reserved and read 0
    } else if (offset == 1 && size == 1) {
        write_reset_control(static_cast<u8>(value));
    }
}

// PIIX3 data sheet, TRC: a rising bit 2 resets, hard if bit 1 is set.
void PciHost::write_reset_control(u8 value) {
    const bool rising = (value & kResetCpu) && !(reset_control_ & kResetCpu);
    reset_control_ = value & (kHardReset | kResetCpu);
    if (rising && wiring_.reset) {
        wiring_.reset((value & kHardReset) != 0);
    }
}

u32 PciHost::read_data(u64 offset, unsigned size) {
    PciFunction* f = selected();
    if (f == nullptr) {
        return low_bytes(0xffff'ffff, size);
    }
    const unsigned at = (address_ & 0xfc) + static_cast<unsigned>(offset);
    if (size == 2 && (at & 1)) {
        return f->config_read(at, 1) | f->config_read(at + 1, 1) << 8;
    }
    return f->config_read(at, size);
}

void PciHost::write_data(u64 offset, unsigned size, u32 value) {
    PciFunction* f = selected();
    if (f == nullptr) {
        return;
    }
    const unsigned at = (address_ & 0xfc) + static_cast<unsigned>(offset);
    if (size == 2 && (at & 1)) {
        f->config_write(at, 1, value & 0xff);
        f->config_write(at + 1, 1, value >> 8 & 0xff);
        return;
    }
    f->config_write(at, size, value);
}

}  // namespace ennead::vmcore
