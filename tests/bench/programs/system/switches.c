// SPDX-License-Identifier: MIT
// 20,000 context switches: a byte goes back and forth between two processes through pipes.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bench.h"

uint32_t run(unsigned percent) {
    int there[2], back[2];
    if (pipe(there) != 0 || pipe(back) != 0) {
        abort();
    }
    uint8_t byte = 1;
    const pid_t pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1 && ++byte && write(back[1], &byte, 1) == 1) {
        }
        _exit(0);
    }
    uint32_t sum = 0;
    for (unsigned i = scaled(10000, percent); i > 0; i--) {
        byte = (uint8_t)(i % 100);
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
            abort();
        }
        sum = mix(sum, byte);
    }
    close(there[1]);
    waitpid(pid, NULL, 0);
    return sum;
}
