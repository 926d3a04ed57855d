// SPDX-License-Identifier: MIT
// usage: PROGRAM [percent]
// Runs the program's work once and prints `milliseconds checksum`, by the machine's own clock.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

unsigned scaled(unsigned full, unsigned percent) {
    const unsigned part = (unsigned)((uint64_t)full * percent / 100);
    return part > 0 ? part : 1;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char** argv) {
    const unsigned percent = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    const double start = now_ms();
    const uint32_t sum = run(percent);
    printf("%.3f %08x\n", now_ms() - start, (unsigned)sum);
    return 0;
}
