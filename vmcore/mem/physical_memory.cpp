// SPDX-License-Identifier: MIT
// Accesses by physical address, for page walks, devices and everything that is not plain RAM.
#include "vmcore/mem/physical_memory.h"

#include <cstring>

namespace ennead::vmcore {

u64 PhysicalMemory::read(PhysAddr address, unsigned size) {
    if (const u8* page = readable_page(address)) {
        u64 value = 0;
        std::memcpy(&value, page + (raw(address) & kPageMask), size);
        return value;
    }
    return mmio_.read(raw(address), size);
}

void PhysicalMemory::write(PhysAddr address, unsigned size, u64 value) {
    if (u8* page = writable_page(address)) {
        std::memcpy(page + (raw(address) & kPageMask), &value, size);
        ram_.written(address, size);
    } else if (is_memory(raw(address)) && is_shadow(raw(address)) && shadow(raw(address)).write) {
        std::memcpy(ram_.base() + raw(address), &value, size);  // RAM under a ROM that is read
        ram_.written(address, size);
    } else {
        mmio_.write(raw(address), size, value);
    }
}

}  // namespace ennead::vmcore
