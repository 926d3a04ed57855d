// SPDX-License-Identifier: MIT
// Configuration space accesses, BAR decoding and interrupts of a PCI function.
#include "vmcore/devices/pci_device.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace ennead::vmcore {
namespace {

// PCI Local Bus 3.0 §6.1, the type 00h header.
constexpr unsigned kVendorId = 0x00;
constexpr unsigned kDeviceId = 0x02;
constexpr unsigned kCommand = 0x04;
constexpr unsigned kStatus = 0x06;
constexpr unsigned kRevisionId = 0x08;
constexpr unsigned kBar0 = 0x10;
constexpr unsigned kSubsystemVendorId = 0x2c;
constexpr unsigned kSubsystemId = 0x2e;
constexpr unsigned kInterruptLine = 0x3c;
constexpr unsigned kInterruptPin = 0x3d;

constexpr u16 kCommandIo = 1u << 0;
constexpr u16 kCommandMemory = 1u << 1;
constexpr u16 kCommandInterruptDisable = 1u << 10;
// I/O, memory, bus master, parity error response, SERR#, interrupt disable.
constexpr u16 kCommandWritable = 0x0547;
constexpr u16 kStatusInterrupt = 1u << 3;
constexpr u16 kStatusCapabilities = 1u << 4;

constexpr u8 kCapabilityMsix = 0x11;
constexpr u16 kMsixEnable = 1u << 15;
constexpr u16 kMsixFunctionMask = 1u << 14;
constexpr unsigned kMsixEntrySize = 16;

bool touches(unsigned offset, unsigned size, unsigned field, unsigned field_size) {
    return offset < field + field_size && field < offset + size;
}

u32 size_mask(unsigned size) {
    return size >= 4 ? 0xffff'ffffu : (1u << (8 * size)) - 1;
}

}  // namespace

// --- MSI-X ---

MsixTable::MsixTable(unsigned vectors, MsiSink sink) : entries_(vectors), sink_(std::move(sink)) {
    assert(vectors >= 1 && vectors <= kMaxVectors);
    // PCI 3.0 §6.8.2 asks that table and PBA share no naturally aligned 4 KB with other registers,
    // which holds in a BAR of their own; both may share a page with each other.
    pba_offset_ = std::max(0x800u, std::bit_ceil(vectors * kMsixEntrySize));
    bar_size_ = std::max(0x1000u, std::bit_ceil(pba_offset_ + (vectors + 63) / 64 * 8));
}

void MsixTable::set_control(bool enabled, bool function_masked) {
    enabled_ = enabled;
    function_masked_ = function_masked;
    for (Entry& entry : entries_) {
        send_if_unmasked(entry);
    }
}

void MsixTable::signal(unsigned vector) {
    if (!enabled_ || vector >= entries_.size()) {
        return;
    }
    entries_[vector].pending = true;
    send_if_unmasked(entries_[vector]);
}

void MsixTable::send_if_unmasked(Entry& entry) {
    if (!entry.pending || !enabled_ || function_masked_ || (entry.words[3] & kMasked) != 0) {
        return;
    }
    entry.pending = false;
    if (sink_) {
        sink_((u64{entry.words[1]} << 32) | entry.words[0], entry.words[2]);
    }
}

void MsixTable::reset() {
    std::fill(entries_.begin(), entries_.end(), Entry{});
    enabled_ = false;
    function_masked_ = false;
}

u32 MsixTable::dword(u64 offset) const {
    if (offset < entries_.size() * kMsixEntrySize) {
        return entries_[offset / kMsixEntrySize].words[offset % kMsixEntrySize / 4];
    }
    if (offset < pba_offset_) {
        return 0;
    }
    u32 bits = 0;
    const u64 first = (offset - pba_offset_) * 8;
    for (u64 i = 0; i < 32 && first + i < entries_.size(); ++i) {
        bits |= u32{entries_[first + i].pending} << i;
    }
    return bits;
}

u32 MsixTable::read(u64 offset, unsigned size) {
    // §6.8.2 asks for DWORD or QWORD accesses; narrower ones give the bytes they name.
    return (dword(offset & ~u64{3}) >> (8 * (offset & 3))) & size_mask(size);
}

void MsixTable::write(u64 offset, unsigned size, u32 value) {
    if (offset >= entries_.size() * kMsixEntrySize) {
        return;  // the pending bits are read-only
    }
    Entry& entry = entries_[offset / kMsixEntrySize];
    const unsigned index = static_cast<unsigned>(offset % kMsixEntrySize / 4);
    const unsigned shift = 8 * static_cast<unsigned>(offset & 3);
    const u32 mask = size_mask(size) << shift;
    u32 word = (entry.words[index] & ~mask) | ((value << shift) & mask);
    if (index == 0) {
        word &= ~3u;  // §6.8.2.7: messages are DWORD writes
    } else if (index == 3) {
        word &= kMasked;
    }
    entry.words[index] = word;
    send_if_unmasked(entry);
}

// --- The function ---

PciDevice::PciDevice(const Identity& identity, Wiring wiring) : wiring_(std::move(wiring)) {
    define(kVendorId, 2, identity.vendor, 0);
    define(kDeviceId, 2, identity.device, 0);
    define(kCommand, 2, 0, kCommandWritable);
    define(kRevisionId, 4, (identity.class_code << 8) | identity.revision, 0);
    define(kSubsystemVendorId, 2, identity.subsystem_vendor, 0);
    define(kSubsystemId, 2, identity.subsystem, 0);
    define(kInterruptLine, 1, 0, identity.interrupt_pin != 0 ? 0xff : 0);
    define(kInterruptPin, 1, identity.interrupt_pin, 0);
}

PciDevice::~PciDevice() {
    for (const Bar& bar : bars_) {
        if (bar.claimed) {
            bus_of(bar).remove(bar.base);
        }
    }
}

void PciDevice::define(unsigned offset, unsigned size, u32 value, u32 writable) {
    for (unsigned i = 0; i < size; ++i) {
        config_[offset + i] = initial_[offset + i] = static_cast<u8>(value >> (8 * i));
        writable_[offset + i] = static_cast<u8>(writable >> (8 * i));
    }
}

void PciDevice::add_bar(unsigned index, const Bar& bar, u32 type_bits) {
    assert(index < kBarCount && bars_[index].contents == nullptr);
    assert(std::has_single_bit(bar.size) && bar.size >= (bar.io ? 4u : 16u));
    bars_[index] = bar;
    // §6.2.5.1: the bits below the size are wired to zero, which is how the guest finds the size.
    define(kBar0 + 4 * index, 4, type_bits, ~(bar.size - 1));
}

void PciDevice::add_memory_bar(unsigned index, u32 size, Device& contents, unsigned width) {
    add_bar(index, {.contents = &contents, .size = size, .width = width}, 0);
}

void PciDevice::add_io_bar(unsigned index, u32 size, Device& contents, unsigned width) {
    add_bar(index, {.contents = &contents, .size = size, .width = width, .io = true}, 1);
}

unsigned PciDevice::add_capability(u8 id, std::span<const u8> body, std::span<const u8> writable) {
    const unsigned offset = next_free_;
    assert(offset + 2 + body.size() <= config_.size());
    define(last_link_, 1, offset, 0);
    define(offset, 1, id, 0);
    define(offset + 1, 1, 0, 0);
    for (unsigned i = 0; i < body.size(); ++i) {
        define(offset + 2 + i, 1, body[i], i < writable.size() ? writable[i] : 0);
    }
    define(kStatus, 2, kStatusCapabilities, 0);
    last_link_ = offset + 1;
    next_free_ = (offset + 2 + static_cast<unsigned>(body.size()) + 3) & ~3u;
    return offset;
}

void PciDevice::add_msix(unsigned bar_index, unsigned vectors) {
    assert(!msix_);
    msix_ = std::make_unique<MsixTable>(vectors, wiring_.msi);
    add_memory_bar(bar_index, msix_->bar_size(), *msix_);
    const u32 pba = msix_->pba_offset() | bar_index;
    const std::array<u8, 10> body{static_cast<u8>(vectors - 1),
                                  static_cast<u8>((vectors - 1) >> 8),
                                  static_cast<u8>(bar_index),
                                  0,
                                  0,
                                  0,
                                  static_cast<u8>(pba),
                                  static_cast<u8>(pba >> 8),
                                  static_cast<u8>(pba >> 16),
                                  static_cast<u8>(pba >> 24)};
    const std::array<u8, 2> writable{0, (kMsixEnable | kMsixFunctionMask) >> 8};
    msix_capability_ = add_capability(kCapabilityMsix, body, writable);
}

u32 PciDevice::config_value(unsigned offset, unsigned size) const {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
        value |= u32{config_[offset + i]} << (8 * i);
    }
    return value;
}

void PciDevice::set_config_value(unsigned offset, unsigned size, u32 value) {
    for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
        config_[offset + i] = static_cast<u8>(value >> (8 * i));
    }
}

u32 PciDevice::config_read(unsigned offset, unsigned size) {
    if (offset >= config_.size() || size > config_.size() - offset) {
        return size_mask(size);
    }
    before_config_read(offset, size);
    return config_value(offset, size);
}

void PciDevice::config_write(unsigned offset, unsigned size, u32 value) {
    if (offset >= config_.size() || size > config_.size() - offset) {
        return;
    }
    for (unsigned i = 0; i < size; ++i) {
        const u8 mask = writable_[offset + i];
        u8& byte = config_[offset + i];
        byte = static_cast<u8>((byte & ~mask) | (static_cast<u8>(value >> (8 * i)) & mask));
    }
    if (touches(offset, size, kCommand, 2) || touches(offset, size, kBar0, 4 * kBarCount)) {
        update_bars();
    }
    if (msix_ && touches(offset, size, msix_capability_ + 2, 2)) {
        update_msix();
    }
    update_intx();
    after_config_write(offset, size);
}

void PciDevice::reset() {
    config_ = initial_;
    intx_asserted_ = false;
    if (msix_) {
        msix_->reset();
    }
    update_bars();
    update_intx();
}

Device* PciDevice::bar_contents(unsigned index, u32& size) const {
    if (index >= kBarCount) {
        return nullptr;
    }
    size = bars_[index].size;
    return bars_[index].contents;
}

// Whether the BAR decodes an address at all, and which.
bool PciDevice::wanted_base(unsigned index, u64& base) const {
    const Bar& bar = bars_[index];
    const u16 command = static_cast<u16>(config_value(kCommand, 2));
    if (bar.contents == nullptr || (command & (bar.io ? kCommandIo : kCommandMemory)) == 0) {
        return false;
    }
    base = config_value(kBar0 + 4 * index, 4) & ~(bar.size - 1);
    // An unset BAR, and the all-ones of a guest that asks for the size while decoding is on, claim
    // nothing.
    const u64 last = base + bar.size - 1;
    return base != 0 && last < (bar.io ? 0xffffu : 0xffff'ffffu);
}

void PciDevice::update_bars() {
    // All that leave go first, so that two BARs can change places.
    for (unsigned i = 0; i < kBarCount; ++i) {
        u64 base = 0;
        Bar& bar = bars_[i];
        if (bar.claimed && !(wanted_base(i, base) && base == bar.base)) {
            bus_of(bar).remove(bar.base);
            bar.claimed = false;
        }
    }
    for (unsigned i = 0; i < kBarCount; ++i) {
        u64 base = 0;
        Bar& bar = bars_[i];
        if (bar.claimed || !wanted_base(i, base)) {
            continue;
        }
        std::string clash;
        if (bus_of(bar).add(base, bar.size, bar.width, *bar.contents, wiring_.name, &clash)) {
            bar.claimed = true;
            bar.base = base;
        } else if (clash_lines_.allow()) {
            wiring_.log.warn("dev=%s what=bar_clash bar=%u %s", wiring_.name.c_str(), i,
                             clash.c_str());
        }
    }
}

void PciDevice::update_msix() {
    const u32 control = config_value(msix_capability_ + 2, 2);
    msix_->set_control((control & kMsixEnable) != 0, (control & kMsixFunctionMask) != 0);
}

void PciDevice::set_intx(bool asserted) {
    intx_asserted_ = asserted;
    update_intx();
}

void PciDevice::update_intx() {
    // §6.2.3: the status bit shows the pin's state whatever the disable bit says. §6.8.3.3: a
    // function whose MSI-X is enabled must not use its pin.
    const bool active = intx_asserted_ && !msix_enabled();
    u8& status = config_[kStatus];
    status = static_cast<u8>((status & ~kStatusInterrupt) | (active ? kStatusInterrupt : 0));
    const bool line = active && (config_value(kCommand, 2) & kCommandInterruptDisable) == 0;
    if (line != line_) {
        line_ = line;
        if (wiring_.intx) {
            wiring_.intx(line);
        }
    }
}

void PciDevice::signal_msix(unsigned vector) {
    if (msix_) {
        msix_->signal(vector);
    }
}

}  // namespace ennead::vmcore
