// SPDX-License-Identifier: MIT
// The C library's qsort: a call through a pointer for each comparison.
#include <stdlib.h>

#include "../bench.h"

enum { kCount = 20000 };
static uint32_t values[kCount];

static int compare(const void* a, const void* b) {
    const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
    return (x > y) - (x < y);
}

uint32_t run(unsigned percent) {
    uint32_t state = 1, sum = 0;
    for (unsigned round = scaled(50, percent); round > 0; round--) {
        for (unsigned i = 0; i < kCount; i++) {
            values[i] = next_random(&state);
        }
        qsort(values, kCount, sizeof values[0], compare);
        for (unsigned i = 0; i < kCount; i += 97) {
            sum = mix(sum, values[i]);
        }
    }
    return sum;
}
