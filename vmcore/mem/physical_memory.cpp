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
    const u64 value = mmio_.read(passed(address), size);
    if (watcher_ != nullptr) [[unlikely]] {
        watcher_->accessed(PhysAddr{passed(address)}, size, false, value);
    }
    return value;
}

void PhysicalMemory::write(PhysAddr address, unsigned size, u64 value) {
    const u64 at = passed(address);
    // RAM under a ROM that is read can be written, but has no writable page.
    if (writable_page(address) != nullptr || (is_memory(at) && is_shadow(at) && shadow(at).write)) {
        std::memcpy(ram_.base() + at, &value, size);
        ram_.written(PhysAddr{at}, size);
    } else {
        mmio_.write(at, size, value);
        if (watcher_ != nullptr) [[unlikely]] {
            watcher_->accessed(PhysAddr{at}, size, true, value);
        }
    }
}

}  // namespace ennead::vmcore
