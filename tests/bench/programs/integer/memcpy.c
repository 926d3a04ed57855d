// SPDX-License-Identifier: MIT
// The C library's memcpy, memmove and memset over 16 bytes to 256 KiB.
#include <string.h>

#include "../bench.h"

enum { kSize = 256 * 1024 };
static uint8_t from[kSize], to[kSize];

uint32_t run(unsigned percent) {
    uint32_t state = 1, sum = 0;
    for (unsigned i = 0; i < kSize; i++) {
        from[i] = (uint8_t)next_random(&state);
    }
    for (unsigned round = scaled(800, percent); round > 0; round--) {
        for (unsigned size = 16; size <= kSize; size *= 4) {
            // As many bytes of each size.
            for (unsigned at = 0; at + size <= kSize; at += size) {
                memcpy(to + at, from + (kSize - size - at), size);
            }
        }
        memmove(to + 3, to, kSize / 2);
        memset(to + round, (int)round, kSize / 8);
        for (unsigned i = 0; i < kSize; i += 4099) {
            sum = mix(sum, to[i]);
        }
    }
    return sum;
}
