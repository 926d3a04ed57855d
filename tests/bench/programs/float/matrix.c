// SPDX-License-Identifier: MIT
// Products of 96 x 96 matrices of doubles. All values are small integers, so x87 and SSE2 agree to
// the bit.
#include "../bench.h"

enum { kSize = 96 };
static double a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];

static void multiply(void) {
    for (int i = 0; i < kSize; i++) {
        for (int j = 0; j < kSize; j++) {
            double sum = 0;
            for (int k = 0; k < kSize; k++) {
                sum += a[i][k] * b[k][j];
            }
            c[i][j] = sum;
        }
    }
}

uint32_t run(unsigned percent) {
    uint32_t sum = 0;
    for (unsigned round = scaled(220, percent); round > 0; round--) {
        for (int i = 0; i < kSize; i++) {
            for (int j = 0; j < kSize; j++) {
                a[i][j] = (double)((i * j + (int)round) % 17);
                b[i][j] = (double)((i + 2 * j) % 13 - 6);
            }
        }
        multiply();
        for (int i = 0; i < kSize; i++) {
            sum = mix(sum, (uint32_t)(int32_t)c[i][(i * 7) % kSize]);
        }
    }
    return sum;
}
