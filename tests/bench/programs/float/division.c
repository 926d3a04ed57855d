// SPDX-License-Identifier: MIT
// The series 4/1 - 4/3 + 4/5 ..., bound by the divider. Nine digits of the result are the checksum:
// in the rest x87, with its longer significand, and SSE2 differ.
#include <stdio.h>

#include "../bench.h"

uint32_t run(unsigned percent) {
    const unsigned terms = scaled(45000000, percent);
    double pi = 0, divisor = 1, sign = 4;
    for (unsigned i = 0; i < terms; i++) {
        pi += sign / divisor;
        divisor += 2;
        sign = -sign;
    }
    char text[32];
    snprintf(text, sizeof text, "%.9f", pi);
    uint32_t sum = 0;
    for (const char* p = text; *p; p++) {
        sum = mix(sum, (uint32_t)*p);
    }
    return sum;
}
