// SPDX-License-Identifier: MIT
// usage: command 'shell command'
// Runs it by /bin/sh, reads what it prints, and prints `milliseconds checksum` as the other
// programs do. Ends as the command ended.
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char** argv) {
    int output[2];
    if (argc != 2 || pipe(output) != 0) {
        return 2;
    }
    const double start = now_ms();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(output[1], 1);
        close(output[0]);
        close(output[1]);
        execl("/bin/sh", "sh", "-c", argv[1], (char*)NULL);
        _exit(127);
    }
    close(output[1]);
    uint32_t sum = 0;
    static uint8_t buffer[65536];
    for (ssize_t n; (n = read(output[0], buffer, sizeof buffer)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            sum = mix(sum, buffer[i]);
        }
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%.3f %08x\n", now_ms() - start, (unsigned)sum);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
