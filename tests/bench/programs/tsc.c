// SPDX-License-Identifier: MIT
// Prints how many kHz the TSC of this host runs at, as the kernel's clock sees it in half a second.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(void) {
    const int64_t start = now_ns(), start_tsc = (int64_t)__rdtsc();
    int64_t now, tsc;
    do {
        now = now_ns();
        tsc = (int64_t)__rdtsc();
    } while (now - start < 500000000);
    printf("%lld\n", (long long)((tsc - start_tsc) * 1000000 / (now - start)));
    return 0;
}
