// SPDX-License-Identifier: MIT
// What a benchmark program provides (run) and what it may use. main.c times it.
#pragma once

#include <stdint.h>

// Does the work, `percent` of the usual amount, and gives a checksum that is the same on every
// machine.
uint32_t run(unsigned percent);

// `percent` of `full`, at least 1.
unsigned scaled(unsigned full, unsigned percent);

// The next number of a fixed pseudo-random sequence (xorshift32).
static inline uint32_t next_random(uint32_t* state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

// Adds a value to a checksum (FNV-1a, a word at a time).
static inline uint32_t mix(uint32_t sum, uint32_t value) {
    return (sum ^ value) * 16777619u;
}
