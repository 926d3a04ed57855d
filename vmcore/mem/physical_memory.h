// SPDX-License-Identifier: MIT
// What is behind a physical address: RAM, ROM shadowed in RAM, a device, or nothing.
#pragma once

#include <array>

#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Is told of every access to the MMIO bus, once it is done: `size` bytes at `address`.
class DeviceWatcher {
  public:
    virtual ~DeviceWatcher() = default;
    virtual void accessed(PhysAddr address, unsigned size, bool write, u64 value) = 0;
};

// The PC's memory map below 4 GiB:
//   0x0000'0000 … 0x0009'ffff  RAM
//   0x000a'0000 … 0x000b'ffff  devices (VGA window)
//   0x000c'0000 … 0x000f'ffff  in pieces of 16 KiB: for reading RAM or devices (the firmware's
//   ROM), for
//                              writing RAM or devices, as the host bridge says
//   0x0010'0000 … RAM size     RAM
//   above                      devices on the MMIO bus; unclaimed addresses read all ones
// vCPU thread only.
class PhysicalMemory {
  public:
    PhysicalMemory(GuestRam& ram, Bus& mmio) : ram_(ram), mmio_(mmio) {}

    // The host address of the page that holds `address`, if plain RAM (or ROM) is readable there;
    // else null, and the access goes through read(). `address` may have any low bits; the page's
    // start is returned.
    [[nodiscard]] u8* readable_page(PhysAddr address) {
        const u64 page = passed(address) & ~u64{kPageMask};
        return is_memory(page) && (!is_shadow(page) || shadow(page).read) ? ram_.base() + page
                                                                          : nullptr;
    }
    // Same, for writing: null where a write must not change memory, or cannot be read back.
    [[nodiscard]] u8* writable_page(PhysAddr address) {
        const u64 page = passed(address) & ~u64{kPageMask};
        return is_memory(page) && (!is_shadow(page) || (shadow(page).read && shadow(page).write))
                   ? ram_.base() + page
                   : nullptr;
    }

    // Whether an engine has made something from the page's bytes: writes to it must be told to
    // ram().written().
    [[nodiscard]] bool holds_code(PhysAddr address) const {
        return is_memory(passed(address)) && ram_.code().page_marked(PhysAddr{passed(address)});
    }

    // Any address, `size` 1, 2, 4 or 8, not crossing a page.
    [[nodiscard]] u64 read(PhysAddr address, unsigned size);
    void write(PhysAddr address, unsigned size, u64 value);

    // Where reads and writes of a piece of 0xc0000…0xfffff go: RAM, or the MMIO bus. All are RAM at
    // first. Changes need a TLB flush by the caller.
    struct Shadow {
        bool read = true;
        bool write = true;
    };
    static constexpr u64 kShadowStart = 0xc0000, kShadowEnd = 0x100000, kShadowPiece = 0x4000;
    void set_shadow(PhysAddr piece, Shadow to) { shadow(raw(piece)) = to; }

    // Whether the CPU's address line 20 passes; else it is always 0. Changes need a TLB flush by
    // the caller.
    void set_a20(bool on) { address_mask_ = on ? ~u64{0} : ~(u64{1} << 20); }

    // Null: nobody. The watcher outlives its watch.
    void watch_devices(DeviceWatcher* watcher) { watcher_ = watcher; }

    GuestRam& ram() { return ram_; }
    Bus& mmio() { return mmio_; }

  private:
    // An address as it comes out of the A20 gate.
    [[nodiscard]] u64 passed(PhysAddr address) const { return raw(address) & address_mask_; }
    [[nodiscard]] bool is_memory(u64 page) const {
        return page < ram_.size() && (page < 0xa0000 || page >= kShadowStart);
    }
    static bool is_shadow(u64 page) { return page >= kShadowStart && page < kShadowEnd; }
    [[nodiscard]] Shadow& shadow(u64 page) { return shadow_[(page - kShadowStart) / kShadowPiece]; }

    GuestRam& ram_;
    Bus& mmio_;
    DeviceWatcher* watcher_ = nullptr;
    u64 address_mask_ = ~u64{0};
    std::array<Shadow, (kShadowEnd - kShadowStart) / kShadowPiece> shadow_{};
};

}  // namespace ennead::vmcore
