// SPDX-License-Identifier: MIT
// Random register accesses of every size, as a guest bent on mischief would make them.
#pragma once

#include <random>

#include "vmcore/devices/clock.h"
#include "vmcore/mem/device.h"

namespace ennead::vmcore {

// Makes `count` accesses that lie inside a range of `length` bytes and are no wider than `width`,
// with time passing between them. The same seed gives the same accesses.
inline void hostile_accesses(Device& device, u64 length, unsigned width, u32 seed,
                             ManualClock& clock, TimerQueue& timers, unsigned count = 20000) {
    std::mt19937 random(seed);
    for (unsigned i = 0; i < count; i++) {
        unsigned size = 1u << random() % 3;
        while (size > width || size > length) {
            size /= 2;
        }
        const u64 offset = random() % (length - size + 1);
        if (random() % 2 != 0) {
            device.read(offset, size);
        } else {
            u32 value = random() % 4 == 0 ? 0xffff'ffff : static_cast<u32>(random());
            if (size < 4) {
                value &= (1u << (8 * size)) - 1;
            }
            device.write(offset, size, value);
        }
        if (random() % 4 == 0) {
            clock.advance_ns(random() % 16 == 0 ? random() : random() % 100'000);
            timers.run_due();
        }
    }
}

}  // namespace ennead::vmcore
