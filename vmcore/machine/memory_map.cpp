// SPDX-License-Identifier: MIT
// Merges RAM, its shadowed pieces and the ranges of the MMIO bus into one list.
#include "vmcore/machine/memory_map.h"

#include <algorithm>

#include "vmcore/devices/rom.h"

namespace ennead::vmcore {
namespace {

using Kind = MemoryRegion::Kind;

// RAM from 0 to 1 MiB by pieces, joined where neighbours are alike, and what is above in one.
std::vector<MemoryRegion> ram_regions(PhysicalMemory& memory) {
    std::vector<MemoryRegion> regions;
    const auto add = [&regions](u64 first, u64 end, Kind kind, const char* name) {
        if (!regions.empty() && regions.back().last + 1 == first && regions.back().kind == kind &&
            regions.back().name == name) {
            regions.back().last = end - 1;
        } else {
            regions.push_back({first, end - 1, kind, name});
        }
    };
    constexpr u64 kWindow = 0xa0000;
    const u64 size = memory.ram().size();
    add(0, std::min(size, kWindow), Kind::ram, "ram");
    for (u64 at = PhysicalMemory::kShadowStart; at < std::min(size, PhysicalMemory::kShadowEnd);
         at += PhysicalMemory::kShadowPiece) {
        if (memory.readable_page(PhysAddr{at}) != nullptr) {
            const bool writable = memory.writable_page(PhysAddr{at}) != nullptr;
            add(at, at + PhysicalMemory::kShadowPiece, writable ? Kind::ram : Kind::rom,
                writable ? "ram" : "shadow");
        }
    }
    if (size > PhysicalMemory::kShadowEnd) {
        add(PhysicalMemory::kShadowEnd, size, Kind::ram, "ram");
    }
    return regions;
}

}  // namespace

std::vector<MemoryRegion> memory_map(PhysicalMemory& memory) {
    const std::vector<MemoryRegion> ram = ram_regions(memory);
    std::vector<MemoryRegion> all = ram;
    for (const Bus::Range& range : memory.mmio().ranges()) {
        u64 at = range.base;
        const u64 end = range.base + range.length;
        const Kind kind =
            dynamic_cast<const Rom*>(range.device) != nullptr ? Kind::rom : Kind::device;
        for (const MemoryRegion& front : ram) {
            if (front.last < at || front.first >= end) {
                continue;
            }
            if (at < front.first) {
                all.push_back({at, front.first - 1, kind, range.name});
            }
            at = front.last + 1;
        }
        if (at < end) {
            all.push_back({at, end - 1, kind, range.name});
        }
    }
    std::ranges::sort(all, {}, &MemoryRegion::first);
    return all;
}

}  // namespace ennead::vmcore
