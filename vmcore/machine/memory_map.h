// SPDX-License-Identifier: MIT
// What is where in physical memory, as a list: what `map` shows.
#pragma once

#include <string>
#include <vector>

#include "vmcore/mem/physical_memory.h"

namespace ennead::vmcore {

struct MemoryRegion {
    enum class Kind {
        ram,
        rom,  // reads as memory; writes are lost, or go to RAM that is not seen
        device,
    };
    u64 first = 0, last = 0;  // physical, both belong to it
    Kind kind = Kind::ram;
    std::string name;
};

// In the order of addresses, none overlapping: what reads there reach. Of a device or ROM that RAM
// is in front of, the parts that can be seen. vCPU thread only.
[[nodiscard]] std::vector<MemoryRegion> memory_map(PhysicalMemory& memory);

}  // namespace ennead::vmcore
