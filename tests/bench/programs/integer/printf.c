// SPDX-License-Identifier: MIT
// Formatted printing of integers, strings and floating point into memory.
#include <stdio.h>

#include "../bench.h"

uint32_t run(unsigned percent) {
    uint32_t state = 1, sum = 0;
    for (unsigned i = scaled(180000, percent); i > 0; i--) {
        const uint32_t r = next_random(&state);
        char text[128];
        // A quarter of an integer is exact in every format, so the digits are the same everywhere.
        int size = snprintf(text, sizeof text, "%-8s|%10d|%#x|%.2f|%llu", r % 2 ? "odd" : "even",
                            (int)r, r, (double)(r % 100000) / 4, (unsigned long long)r * r);
        for (int k = 0; k < size; k += 5) {
            sum = mix(sum, (uint32_t)text[k]);
        }
    }
    return sum;
}
