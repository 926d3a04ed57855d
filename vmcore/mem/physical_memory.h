// SPDX-License-Identifier: MIT
// What is behind a physical address: RAM, ROM shadowed in RAM, a device, or nothing.
#pragma once

#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// The PC's memory map below 4 GiB:
//   0x0000'0000 … 0x0009'ffff  RAM
//   0x000a'0000 … 0x000b'ffff  devices (VGA window)
//   0x000c'0000 … 0x000f'ffff  RAM holding ROM images; the CPU's writes are ignored while it is protected
//   0x0010'0000 … RAM size     RAM
//   above                      devices on the MMIO bus; unclaimed addresses read all ones
// vCPU thread only.
class PhysicalMemory {
  public:
    PhysicalMemory(GuestRam& ram, Bus& mmio) : ram_(ram), mmio_(mmio) {}

    // The host address of the page that holds `address`, if plain RAM (or ROM) is readable there; else null,
    // and the access goes through read(). `address` may have any low bits; the page's start is returned.
    [[nodiscard]] u8* readable_page(PhysAddr address) {
        const u64 page = raw(address) & ~u64{kPageMask};
        return is_memory(page) ? ram_.base() + page : nullptr;
    }
    // Same, for writing: null where a write must not change memory.
    [[nodiscard]] u8* writable_page(PhysAddr address) {
        const u64 page = raw(address) & ~u64{kPageMask};
        return is_memory(page) && !(rom_protected_ && is_rom(page)) ? ram_.base() + page : nullptr;
    }

    // Whether an engine has made something from the page's bytes: writes to it must be told to ram().written().
    [[nodiscard]] bool holds_code(PhysAddr address) const {
        return is_memory(raw(address)) && ram_.code().page_marked(address);
    }

    // Any address, `size` 1, 2, 4 or 8, not crossing a page.
    [[nodiscard]] u64 read(PhysAddr address, unsigned size);
    void write(PhysAddr address, unsigned size, u64 value);

    // Whether the CPU's writes to 0xc0000…0xfffff are ignored. Changes need a TLB flush by the caller.
    void protect_rom(bool on) { rom_protected_ = on; }

    GuestRam& ram() { return ram_; }
    Bus& mmio() { return mmio_; }

  private:
    [[nodiscard]] bool is_memory(u64 page) const {
        return page < ram_.size() && (page < 0xa0000 || page >= 0xc0000);
    }
    static bool is_rom(u64 page) { return page >= 0xc0000 && page < 0x100000; }

    GuestRam& ram_;
    Bus& mmio_;
    bool rom_protected_ = false;
};

}  // namespace ennead::vmcore
