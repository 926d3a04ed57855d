// SPDX-License-Identifier: MIT
// 40,960 page faults: fresh anonymous memory is touched once a page and given back.
#include <stdlib.h>
#include <sys/mman.h>

#include "../bench.h"

enum { kPage = 4096, kPages = 1024 };

uint32_t run(unsigned percent) {
    uint32_t sum = 0;
    for (unsigned round = scaled(40, percent); round > 0; round--) {
        uint8_t* memory =
            mmap(NULL, kPage * kPages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            abort();
        }
        for (unsigned i = 0; i < kPages; i++) {
            memory[i * kPage]++;
            sum += memory[i * kPage];
        }
        munmap(memory, kPage * kPages);
    }
    return sum;
}
