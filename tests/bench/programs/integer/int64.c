// SPDX-License-Identifier: MIT
// 64-bit integers: on i386 pairs of registers with carry, and calls of the compiler's library to
// divide.
#include "../bench.h"

uint32_t run(unsigned percent) {
    uint64_t x = 88172645463325252u, sum = 0;
    for (unsigned i = scaled(25000000, percent); i > 0; i--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += (x >> 11) * 1000003u;
        if (i % 4 == 0) {
            sum ^= x / ((sum | 1) & 0xffffffffffu) + x % 10007u;
        }
    }
    return (uint32_t)(sum ^ sum >> 32);
}
