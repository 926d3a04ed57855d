// SPDX-License-Identifier: MIT
// Primes below 200,000 by the sieve of Eratosthenes: byte stores at a growing stride.
#include <string.h>

#include "../bench.h"

enum { kLimit = 200000 };
static uint8_t composite[kLimit];

uint32_t run(unsigned percent) {
    uint32_t primes = 0;
    for (unsigned round = scaled(180, percent); round > 0; round--) {
        memset(composite, 0, sizeof composite);
        for (unsigned i = 2; i < kLimit; i++) {
            if (composite[i]) {
                continue;
            }
            primes++;
            for (unsigned j = 2 * i; j < kLimit; j += i) {
                composite[j] = 1;
            }
        }
    }
    return primes;
}
