// SPDX-License-Identifier: MIT
// 200,000 system calls that do next to nothing: getppid and a write of one byte to /dev/null, in
// turn.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../bench.h"

uint32_t run(unsigned percent) {
    const int null = open("/dev/null", O_WRONLY);
    const pid_t parent = getppid();
    uint32_t sum = 0;
    for (unsigned i = scaled(100000, percent); i > 0; i--) {
        const ssize_t written = write(null, &i, 1);
        if (getppid() != parent || written != 1) {
            abort();
        }
        sum++;
    }
    close(null);
    return sum;
}
