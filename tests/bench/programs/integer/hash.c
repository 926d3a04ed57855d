// SPDX-License-Identifier: MIT
// Insertions into and lookups in an open hash table of 512 KiB: loads that miss, compares that
// jump.
#include <string.h>

#include "../bench.h"

enum { kSlots = 65536, kKeys = 40000 };
static struct { uint32_t key, value; } table[kSlots];

static unsigned find(uint32_t key) {
    unsigned slot = (key * 2654435761u) >> 16;
    while (table[slot].key != 0 && table[slot].key != key) {
        slot = (slot + 1) % kSlots;
    }
    return slot;
}

uint32_t run(unsigned percent) {
    uint32_t sum = 0;
    for (unsigned round = scaled(50, percent); round > 0; round--) {
        memset(table, 0, sizeof table);
        uint32_t state = round;
        for (unsigned i = 0; i < kKeys; i++) {
            const uint32_t key = next_random(&state);
            const unsigned slot = find(key);
            table[slot].key = key;
            table[slot].value += i;
        }
        state = round;
        for (unsigned i = 0; i < 2 * kKeys; i++) {  // the second half is not there
            sum = mix(sum, table[find(next_random(&state))].value);
        }
    }
    return sum;
}
