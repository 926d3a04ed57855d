// SPDX-License-Identifier: MIT
// Page by page, through Mmu::peek().
#include "vmcore/machine/linear_memory.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "vmcore/devices/rom.h"

namespace ennead::vmcore {
namespace {

constexpr u64 kEnd = u64{1} << 32;

// Up to the page's end.
std::size_t piece_size(u64 address, std::size_t wanted) {
    return std::min<u64>(wanted, kPageSize - (address & kPageMask));
}

// Of a ROM on the bus, which a read does not change. False: there is none there.
bool read_rom(Bus& bus, PhysAddr address, std::span<u8> into) {
    const auto covers = [&](const Bus::Range& r) {
        return r.base <= raw(address) && raw(address) + into.size() <= r.base + r.length &&
               dynamic_cast<const Rom*>(r.device) != nullptr;
    };
    if (std::ranges::none_of(bus.ranges(), covers)) {
        return false;
    }
    for (std::size_t i = 0; i < into.size(); ++i) {
        into[i] = static_cast<u8>(bus.read(raw(address) + i, 1));
    }
    return true;
}

bool read_piece(Mmu& mmu, u64 address, std::span<u8> into) {
    const auto physical = mmu.peek(LinearAddr{static_cast<u32>(address)});
    if (!physical) {
        return false;
    }
    if (const u8* page = mmu.memory().readable_page(*physical)) {
        std::memcpy(into.data(), page + (raw(*physical) & kPageMask), into.size());
        return true;
    }
    return read_rom(mmu.memory().mmio(), *physical, into);
}

}  // namespace

Result<std::size_t> read_linear(Mmu& mmu, u64 address, std::span<u8> into) {
    std::size_t done = 0;
    while (done < into.size() && address + done < kEnd) {
        const std::size_t size = piece_size(address + done, into.size() - done);
        if (!read_piece(mmu, address + done, into.subspan(done, size))) {
            break;
        }
        done += size;
    }
    if (done == 0 && !into.empty()) {
        return Error::unmapped_address;
    }
    return done;
}

Result<> write_linear(Mmu& mmu, u64 address, std::span<const u8> bytes) {
    std::vector<std::span<u8>> places;
    for (std::size_t done = 0; done < bytes.size();) {
        const u64 at = address + done;
        const auto physical = at < kEnd ? mmu.peek(LinearAddr{static_cast<u32>(at)}) : std::nullopt;
        u8* page = physical ? mmu.memory().writable_page(*physical) : nullptr;
        if (page == nullptr) {
            return Error::unmapped_address;
        }
        const std::size_t size = piece_size(at, bytes.size() - done);
        places.emplace_back(page + (raw(*physical) & kPageMask), size);
        done += size;
    }
    for (const std::span<u8> place : places) {
        std::memcpy(place.data(), bytes.data(), place.size());
        mmu.memory().ram().written(place);
        bytes = bytes.subspan(place.size());
    }
    return success();
}

}  // namespace ennead::vmcore
