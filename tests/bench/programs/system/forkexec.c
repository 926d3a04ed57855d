// SPDX-License-Identifier: MIT
// 300 times fork, exec of a static program (this one, told to do 0 percent) and wait.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bench.h"

uint32_t run(unsigned percent) {
    if (percent == 0) {
        _exit(7);  // the child
    }
    uint32_t sum = 0;
    for (unsigned i = scaled(300, percent); i > 0; i--) {
        const pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "forkexec", "0", (char*)NULL);
            _exit(127);
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            abort();
        }
        sum = mix(sum, (uint32_t)WEXITSTATUS(status));
    }
    return sum;
}
