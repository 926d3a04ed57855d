// SPDX-License-Identifier: MIT
// Redirection of the 82093AA (Intel data sheet 290566).
#include "vmcore/devices/ioapic.h"

#include "vmcore/devices/device_window.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kMask = 1u << 16;
constexpr u64 kLevel = 1u << 15;
constexpr u64 kRemoteIrr = 1u << 14;
constexpr u64 kLogical = 1u << 11;
// Delivery status (bit 12) and remote IRR (bit 14) are read-only.
constexpr u32 kLowWritable = 0x1afff;

constexpr DeliveryMode mode_of(u64 entry) {
    return static_cast<DeliveryMode>(entry >> 8 & 7);
}

}  // namespace

void IoApic::reset() {
    select_ = 0;
    id_ = 0;
    entries_.fill(kMask);
    update_extint();
}

void IoApic::set_irq(unsigned input, bool asserted_now) {
    if (input >= kInputs || asserted(input) == asserted_now) {
        return;
    }
    lines_ ^= 1u << input;
    const u64 entry = entries_[input];
    if (mode_of(entry) == DeliveryMode::ext_int) {
        update_extint();
    } else if (asserted_now) {
        if (entry & kLevel) {
            send_level(input);
        } else if ((entry & kMask) == 0) {
            // "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored."
            send(input);
        }
    }
}

void IoApic::send(unsigned input) {
    const u64 entry = entries_[input];
    ApicMessage m;
    m.destination = static_cast<u8>(entry >> 56);
    m.logical = (entry & kLogical) != 0;
    m.mode = mode_of(entry);
    m.vector = static_cast<u8>(entry);
    // SMI, NMI and INIT are edges even if programmed otherwise.
    const bool fixed = m.mode == DeliveryMode::fixed || m.mode == DeliveryMode::lowest;
    m.level = fixed && (entry & kLevel) != 0;
    // "Remote IRR: set to 1 when local APIC(s) accept the level interrupt."
    if (cpu_.deliver(m) && m.level) {
        entries_[input] |= kRemoteIrr;
    }
}

void IoApic::send_level(unsigned input) {
    const u64 entry = entries_[input];
    if (asserted(input) && (entry & kLevel) && (entry & (kMask | kRemoteIrr)) == 0 &&
        mode_of(entry) != DeliveryMode::ext_int) {
        send(input);
    }
}

void IoApic::end_of_interrupt(u8 vector) {
    for (unsigned i = 0; i < kInputs; i++) {
        if ((entries_[i] & kRemoteIrr) && static_cast<u8>(entries_[i]) == vector) {
            entries_[i] &= ~kRemoteIrr;
            send_level(i);
        }
    }
}

bool IoApic::masked(unsigned input) const {
    return input >= kInputs || (entries_[input] & kMask) != 0;
}

bool IoApic::pending(unsigned input) const {
    return !masked(input) && mode_of(entries_[input]) == DeliveryMode::fixed &&
           cpu_.requested(static_cast<u8>(entries_[input]));
}

// An entry in ExtINT mode passes the 8259's request on as a level; the CPU then asks the 8259 for
// the vector.
void IoApic::update_extint() {
    bool any = false;
    for (unsigned i = 0; i < kInputs; i++) {
        any |= asserted(i) && (entries_[i] & kMask) == 0 &&
               mode_of(entries_[i]) == DeliveryMode::ext_int;
    }
    cpu_.set_ioapic_extint(any);
}

u32 IoApic::read(u64 offset, unsigned size) {
    const unsigned byte = offset & 0xf;
    if (byte >= 4 || byte + size > 4) {
        return 0;
    }
    switch (offset >> 4) {
        case 0:
            return low_bytes(u32{select_} >> (8 * byte), size);
        case 1:
            return low_bytes(read_register() >> (8 * byte), size);
        default:
            return 0;
    }
}

void IoApic::write(u64 offset, unsigned size, u32 value) {
    if (offset == 0x00) {
        select_ = static_cast<u8>(value);
    } else if (offset == 0x10 && size == 4) {
        write_register(value);
    }
}

u32 IoApic::read_register() const {
    // clang-format off
    switch (select_) {
        case 0x00: return id_;                          // IOAPICID
        case 0x01: return 0x11 | (kInputs - 1) << 16;   // IOAPICVER
        case 0x02: return id_;                          // IOAPICARB: loaded with the ID
        default:   break;
    }
    // clang-format on
    const unsigned input = (select_ - 0x10u) / 2;
    if (select_ < 0x10 || input >= kInputs) {
        return 0;
    }
    return static_cast<u32>(select_ & 1 ? entries_[input] >> 32 : entries_[input]);
}

void IoApic::write_register(u32 value) {
    if (select_ == 0x00) {
        id_ = value & 0x0f00'0000;
        return;
    }
    const unsigned input = (select_ - 0x10u) / 2;
    if (select_ >= 0x10 && input < kInputs) {
        write_entry(input, (select_ & 1) != 0, value);
    }
}

void IoApic::write_entry(unsigned input, bool high, u32 value) {
    u64& entry = entries_[input];
    if (high) {
        entry = (entry & 0xffff'ffff) | u64{value & 0xff00'0000} << 32;
    } else {
        entry = (entry & ~u64{kLowWritable}) | (value & kLowWritable);
        if ((entry & kLevel) == 0) {
            // "This bit is undefined for edge triggered interrupts"; kernels that lost an EOI clear
            // it by making the entry edge triggered for a moment.
            entry &= ~kRemoteIrr;
        }
    }
    update_extint();
    send_level(input);
}

}  // namespace ennead::vmcore
