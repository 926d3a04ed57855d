// SPDX-License-Identifier: MIT
// Recursive Fibonacci: calls, returns and stack traffic, nothing else.
#include "../bench.h"

// Without these the compiler unrolls the recursion, by a different amount for each architecture.
__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static uint32_t fib(uint32_t n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

uint32_t run(unsigned percent) {
    uint32_t sum = 0;
    for (unsigned round = scaled(120, percent); round > 0; round--) {
        sum = mix(sum, fib(24 + round % 2));
    }
    return sum;
}
