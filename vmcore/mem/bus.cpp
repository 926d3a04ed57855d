// SPDX-License-Identifier: MIT
// Finds the device behind an address and splits wide accesses.
#include "vmcore/mem/bus.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace ennead::vmcore {

Result<> Bus::add(u64 base, u64 length, unsigned width, Device& device, std::string name,
                  std::string* clash) {
    const auto at = std::lower_bound(ranges_.begin(), ranges_.end(), base,
                                     [](const Range& r, u64 b) { return r.base < b; });
    const auto overlaps = [&](const Range& r) {
        return base < r.base + r.length && r.base < base + length;
    };
    const Range* other = nullptr;
    if (at != ranges_.end() && overlaps(*at)) {
        other = &*at;
    } else if (at != ranges_.begin() && overlaps(*std::prev(at))) {
        other = &*std::prev(at);
    }
    if (other != nullptr) {
        if (clash != nullptr) {
            char text[160];
            std::snprintf(text, sizeof text, "%s 0x%llx+0x%llx and %s 0x%llx+0x%llx", name.c_str(),
                          static_cast<unsigned long long>(base),
                          static_cast<unsigned long long>(length), other->name.c_str(),
                          static_cast<unsigned long long>(other->base),
                          static_cast<unsigned long long>(other->length));
            *clash = text;
        }
        return Error::range_overlap;
    }
    ranges_.insert(at, Range{base, length, width, &device, std::move(name)});
    return success();
}

void Bus::remove(u64 base) {
    std::erase_if(ranges_, [base](const Range& r) { return r.base == base; });
}

const Bus::Range* Bus::find(u64 address) const {
    auto at = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                               [](u64 a, const Range& r) { return a < r.base; });
    if (at == ranges_.begin()) {
        return nullptr;
    }
    --at;
    return address - at->base < at->length ? &*at : nullptr;
}

u64 Bus::read(u64 address, unsigned size) {
    u64 value = 0;
    for (unsigned done = 0; done < size;) {
        const Range* range = find(address + done);
        unsigned step = 1;
        u32 part = 0xff;
        if (range != nullptr) {
            const u64 offset = address + done - range->base;
            // The largest power of two that the device, the range's end and the access allow.
            step = range->width;
            while (step > size - done || step > range->length - offset) {
                step /= 2;
            }
            part = range->device->read(offset, step);
            if (step < 4) {
                part &= (1u << (8 * step)) - 1;
            }
        }
        value |= u64{part} << (8 * done);
        done += step;
    }
    return value;
}

void Bus::write(u64 address, unsigned size, u64 value) {
    for (unsigned done = 0; done < size;) {
        const Range* range = find(address + done);
        unsigned step = 1;
        if (range != nullptr) {
            const u64 offset = address + done - range->base;
            step = range->width;
            while (step > size - done || step > range->length - offset) {
                step /= 2;
            }
            const u64 mask = step < 4 ? (u64{1} << (8 * step)) - 1 : 0xffff'ffffull;
            range->device->write(offset, step, static_cast<u32>((value >> (8 * done)) & mask));
        }
        done += step;
    }
}

}  // namespace ennead::vmcore
