// SPDX-License-Identifier: MIT
// CRC-32 by a table of 256 words: one chain of dependent loads.
#include "../bench.h"

enum { kSize = 64 * 1024 };
static uint8_t data[kSize];

uint32_t run(unsigned percent) {
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) {
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        }
        table[i] = c;
    }
    uint32_t state = 1, crc = 0xffffffffu;
    for (unsigned i = 0; i < kSize; i++) {
        data[i] = (uint8_t)next_random(&state);
    }
    for (unsigned round = scaled(400, percent); round > 0; round--) {
        for (unsigned i = 0; i < kSize; i++) {
            crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
        }
    }
    return ~crc;
}
