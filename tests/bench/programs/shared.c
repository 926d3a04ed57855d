// SPDX-License-Identifier: MIT
// usage: shared create DIR COUNT | shared random FILE COUNT
// What a shell would need a process each for: makes COUNT small files (create, write, close), or
// reads 4 KiB at COUNT random places.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int main(int argc, char** argv) {
    if (argc == 4 && strcmp(argv[1], "create") == 0) {
        return create(argv[2], (unsigned)atoi(argv[3]));
    }
    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        return random_reads(argv[2], (unsigned)atoi(argv[3]));
    }
    fprintf(stderr, "usage: shared create DIR COUNT | shared random FILE COUNT\n");
    return 2;
}
