// SPDX-License-Identifier: MIT
// A small virtio driver for tests: builds rings in guest RAM and drives the PCI transport's
// registers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/virtio/pci_transport.h"

namespace ennead::vmcore {

inline constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4;

// One split virtqueue as a driver keeps it. The areas lie one after the other from `base` on.
class DriverRing {
  public:
    DriverRing(GuestRam& ram, u64 base, u16 size) : ram_(ram), base_(base), size_(size) {}

    [[nodiscard]] QueueConfig config(u16 max_size) const {
        return {.max_size = max_size,
                .size = size_,
                .enabled = true,
                .descriptors = PhysAddr{base_},
                .driver = PhysAddr{driver()},
                .device = PhysAddr{device()}};
    }
    [[nodiscard]] u64 descriptors() const { return base_; }
    [[nodiscard]] u64 driver() const { return base_ + 16u * size_; }
    [[nodiscard]] u64 device() const { return (driver() + 6 + 2u * size_ + 3) & ~u64{3}; }

    void put(u64 address, const void* bytes, std::size_t n) {
        std::memcpy(ram_.base() + address, bytes, n);
    }
    template <class T>
    [[nodiscard]] T get(u64 address) const {
        T value;
        std::memcpy(&value, ram_.base() + address, sizeof value);
        return value;
    }
    template <class T>
    void set(u64 address, T value) {
        put(address, &value, sizeof value);
    }

    // Writes entry `index` of the descriptor table at `table`.
    void describe_in(u64 table, u16 index, u64 address, u32 length, u16 flags, u16 next = 0) {
        const u64 at = table + 16u * index;
        set<u64>(at, address);
        set<u32>(at + 8, length);
        set<u16>(at + 12, flags);
        set<u16>(at + 14, next);
    }
    void describe(u16 index, u64 address, u32 length, u16 flags, u16 next = 0) {
        describe_in(base_, index, address, length, flags, next);
    }
    void offer(u16 head) {
        set<u16>(driver() + 4 + 2u * (offered_ & (size_ - 1u)), head);
        set<u16>(driver() + 2, ++offered_);
    }
    void set_available_flags(u16 flags) { set<u16>(driver(), flags); }
    void set_available_index(u16 index) { set<u16>(driver() + 2, offered_ = index); }
    void set_used_event(u16 index) { set<u16>(driver() + 4 + 2u * size_, index); }
    [[nodiscard]] u16 available_event() const { return get<u16>(device() + 4 + 8u * size_); }
    [[nodiscard]] u16 used_index() const { return get<u16>(device() + 2); }
    // The used element at a free-running index: head and length.
    [[nodiscard]] std::pair<u32, u32> used(u16 index) const {
        const u64 at = device() + 4 + 8u * (index & (size_ - 1u));
        return {get<u32>(at), get<u32>(at + 4)};
    }

  private:
    GuestRam& ram_;
    u64 base_;
    u16 size_;
    u16 offered_ = 0;
};

// A machine of nothing but RAM, an MMIO bus and one virtio function.
class VirtioBench {
  public:
    static constexpr u64 kBar0 = 0xe0000000, kBar1 = 0xe0010000;
    static constexpr u64 kIsr = kBar0 + 0x1000, kConfig = kBar0 + 0x2000, kNotify = kBar0 + 0x3000;
    static constexpr u64 kRings = 0x10000, kRingStride = 0x8000;

    explicit VirtioBench(VirtioDevice& device) : ram(GuestRam::create(1u << 20).value()) {
        transport = std::make_unique<PciTransport>(
            device, *ram,
            PciDevice::Wiring{ports, mmio, [this](bool level) { line = level; },
                              [this](u64, u32 data) { messages.push_back(data); },
                              Log([this](LogLevel, std::string_view t) { lines.emplace_back(t); }),
                              ""});
        map();
    }

    void map() {
        transport->config_write(0x10, 4, kBar0);
        transport->config_write(0x14, 4, kBar1);
        transport->config_write(0x04, 2, 6);
    }

    // --- registers of the common structure ---
    u32 common(unsigned offset, unsigned size) {
        return static_cast<u32>(mmio.read(kBar0 + offset, size));
    }
    void set_common(unsigned offset, unsigned size, u64 value) {
        mmio.write(kBar0 + offset, size, value);
    }
    u8 status() { return static_cast<u8>(common(20, 1)); }
    void set_status(u8 value) { set_common(20, 1, value); }
    u64 device_features() {
        set_common(0, 4, 0);
        const u64 low = common(4, 4);
        set_common(0, 4, 1);
        return low | (u64{common(4, 4)} << 32);
    }
    void set_features(u64 features) {
        set_common(8, 4, 0);
        set_common(12, 4, static_cast<u32>(features));
        set_common(8, 4, 1);
        set_common(12, 4, features >> 32);
    }

    // --- the life of a driver ---
    void negotiate(u64 features) {
        set_status(0);
        set_status(PciTransport::kAcknowledge);
        set_status(PciTransport::kAcknowledge | PciTransport::kDriver);
        set_features(features);
        set_status(PciTransport::kAcknowledge | PciTransport::kDriver | PciTransport::kFeaturesOk);
    }
    DriverRing make_queue(u16 n, u16 size, u16 vector = kVirtioNoVector) {
        const u64 base = kRings + kRingStride * n;
        std::memset(ram->base() + base, 0, kRingStride);
        DriverRing ring(*ram, base, size);
        set_common(22, 2, n);
        set_common(24, 2, size);
        set_common(26, 2, vector);
        set_common(32, 8, ring.descriptors());
        set_common(40, 8, ring.driver());
        set_common(48, 8, ring.device());
        set_common(28, 2, 1);
        return ring;
    }
    void driver_ok() { set_status(status() | PciTransport::kDriverOk); }
    void notify(u16 n) { mmio.write(kNotify + 4u * n, 2, n); }

    // --- guest memory ---
    void write(u64 address, std::string_view text) {
        std::memcpy(ram->base() + address, text.data(), text.size());
    }
    std::string text(u64 address, std::size_t n) {
        return {reinterpret_cast<const char*>(ram->base() + address), n};
    }

    std::unique_ptr<GuestRam> ram;
    Bus ports, mmio;
    bool line = false;
    std::vector<u32> messages;
    std::vector<std::string> lines;
    std::unique_ptr<PciTransport> transport;
};

inline constexpr u64 kAllTransport = kVirtioFVersion1 | kVirtioFEventIdx | kVirtioFIndirectDesc;

}  // namespace ennead::vmcore
