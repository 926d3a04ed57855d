// SPDX-License-Identifier: MIT
// usage: shared create DIR COUNT | shared random FILE COUNT | shared stream FILE
// What a shell would need a process each for: makes COUNT small files (create, write, close), or
// reads 4 KiB at COUNT random places. `stream` reads a file from end to end and prints `milliseconds
// checksum` of that alone: no process starts meanwhile.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static int fail(const char* what) {
    fprintf(stderr, "shared: %s: %s\n", what, strerror(errno));
    return 1;
}

static int create(const char* directory, unsigned count) {
    static const char text[100];
    for (unsigned i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/file-%u", directory, i);
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0 || write(fd, text, sizeof text) != (ssize_t)sizeof text || close(fd) != 0) {
            return fail(name);
        }
    }
    return 0;
}

static int random_reads(const char* name, unsigned count) {
    static unsigned char page[4096];
    const int fd = open(name, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof page) {
        return fail(name);
    }
    uint32_t state = 1, sum = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t pages = (uint32_t)(st.st_size / (off_t)sizeof page);
        const off_t at = (off_t)(next_random(&state) % pages) * (off_t)sizeof page;
        if (pread(fd, page, sizeof page, at) != (ssize_t)sizeof page) {
            return fail(name);
        }
        sum = mix(sum, page[7]);
    }
    printf("%08x\n", (unsigned)sum);
    return 0;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int stream(const char* name) {
    static unsigned char block[1 << 20];
    const int fd = open(name, O_RDONLY);
    if (fd < 0) {
        return fail(name);
    }
    uint32_t sum = 0;
    ssize_t got;
    const double start = now_ms();
    while ((got = read(fd, block, sizeof block)) > 0) {
        sum = mix(sum, block[got - 1]);
    }
    if (got < 0) {
        return fail(name);
    }
    printf("%.3f %08x\n", now_ms() - start, (unsigned)sum);
    return 0;
}

int main(int argc, char** argv) {
    if (argc == 4 && strcmp(argv[1], "create") == 0) {
        return create(argv[2], (unsigned)atoi(argv[3]));
    }
    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        return random_reads(argv[2], (unsigned)atoi(argv[3]));
    }
    if (argc == 3 && strcmp(argv[1], "stream") == 0) {
        return stream(argv[2]);
    }
    fprintf(stderr, "usage: shared create DIR COUNT | shared random FILE COUNT | shared stream FILE\n");
    return 2;
}
