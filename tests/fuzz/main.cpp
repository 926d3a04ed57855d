// SPDX-License-Identifier: MIT
// fuzz_cpu [--seconds n] [--seed n] [--count n] [--keep-going]: random programs on the interpreter and
// the JIT in step. With --seed and no --seconds that one case runs, and is told about.
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/fuzz/compare.h"
#include "tests/fuzz/duel.h"
#include "tests/fuzz/generate.h"
#include "tests/fuzz/report.h"
#include "tests/fuzz/shrink.h"

namespace ennead::vmcore::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    u64 seconds = 0, count = 0;
    u64 seed = 0;
    bool seed_given = false, whole = false;
    unsigned most_failures = 1;
};

double since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of this process's CPU time, so that a busy host does not look like a program without end; 0: no limit.
void limit_time(long seconds) {
    const itimerval limit{.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_usec = 0}};
    setitimer(ITIMER_PROF, &limit, nullptr);
}

// In a process of its own, for emitted code may crash: that shows too.
bool shows_on_fresh_lanes(const Case& c) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGTRAP}) {
            std::signal(signal, SIG_DFL);
        }
        limit_time(5);
        Duel duel;
        _exit(duel.run(c).differs && !is_undefined(c) ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status != 0;
}

volatile u64 running_seed = 0;

extern "C" void crashed(int signal) {
    char text[100];
    const int length = std::snprintf(text, sizeof text, "=== seed %" PRIu64 " ends with signal %d\n",
                                     running_seed, signal);
    (void)!write(1, text, static_cast<std::size_t>(length));
    _exit(1);
}

void tell(const Case& c) {
    std::printf("%s", describe(c).c_str());
    std::fflush(stdout);
    Duel duel;
    const Verdict verdict = duel.run(c, true);
    std::printf("%s in slice %u (interpreter, JIT):\n", verdict.differs ? "differs" : "same",
                verdict.slice);
    for (const std::string& line : verdict.what) {
        std::printf("  %s\n", line.c_str());
    }
    std::printf("--- interpreter\n%s--- JIT\n%s", describe(duel.interpreter().state()).c_str(),
                describe(duel.jit(c.exact).state()).c_str());
}

void describe_smallest(const Case& c, const Options& options) {
    const Case smallest = options.whole ? c : shrink(c, shows_on_fresh_lanes);
    std::fflush(stdout);
    tell(smallest);
    std::fflush(stdout);
}

// True if it is a difference worth telling.
bool examine(const Case& c, const Options& options) {
    if (is_undefined(c)) {
        return false;
    }
    limit_time(0);
    std::printf("=== seed %" PRIu64 " differs\n", c.seed);
    if (!shows_on_fresh_lanes(c)) {
        std::printf("only after the cases before it: run with --seed %" PRIu64
                    " --seconds n from further back\n",
                    c.seed);
        return true;
    }
    describe_smallest(c, options);
    return true;
}

int run(const Options& options) {
    if (options.seed_given && options.seconds == 0 && options.count == 0) {
        const Case c = generate(options.seed);
        const bool shows = shows_on_fresh_lanes(c);
        std::printf("%s%s\n", shows ? "differs" : "no difference",
                    is_undefined(c) ? " (undefined flags are seen)" : "");
        if (options.whole || !shows) {
            tell(c);
        } else {
            describe_smallest(c, options);
        }
        return shows ? 1 : 0;
    }
    const auto start = Clock::now();
    Duel duel;
    u64 cases = 0, instructions = 0, undefined = 0;
    unsigned failures = 0;
    u64 seed = options.seed;
    for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGPROF}) {
        std::signal(signal, crashed);
    }
    std::printf("first seed %" PRIu64 "\n", seed);
    std::fflush(stdout);
    while ((options.seconds == 0 || since(start) < static_cast<double>(options.seconds)) &&
           (options.count == 0 || cases < options.count)) {
        running_seed = seed;
        limit_time(20);
        const Case c = generate(seed++);
        const Verdict verdict = duel.run(c);
        ++cases;
        instructions += verdict.instructions;
        if (!verdict.differs) {
            continue;
        }
        if (!examine(c, options)) {
            ++undefined;
        } else if (++failures >= options.most_failures) {
            break;
        }
    }
    const double seconds = since(start);
    std::printf("%" PRIu64 " cases, %.0f a second, %.1f million instructions, %" PRIu64
                " set aside for undefined flags, %u differ\n",
                cases, static_cast<double>(cases) / seconds,
                static_cast<double>(instructions) / 1e6, undefined, failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ennead::vmcore::fuzz

int main(int argc, char** argv) {
    ennead::vmcore::fuzz::Options options;
    const auto number = [&](int n) {
        if (n >= argc) {
            std::fprintf(stderr, "a number is missing\n");
            std::exit(2);
        }
        return std::strtoull(argv[n], nullptr, 0);
    };
    for (int n = 1; n < argc; ++n) {
        const std::string word = argv[n];
        if (word == "--seconds") {
            options.seconds = number(++n);
        } else if (word == "--count") {
            options.count = number(++n);
        } else if (word == "--seed") {
            options.seed = number(++n);
            options.seed_given = true;
        } else if (word == "--failures") {
            options.most_failures = static_cast<unsigned>(number(++n));
        } else if (word == "--whole") {
            options.whole = true;
        } else {
            std::fprintf(stderr,
                         "usage: fuzz_cpu [--seconds n] [--count n] [--seed n] [--failures n] [--whole]\n");
            return 2;
        }
    }
    if (!options.seed_given) {
        options.seed = static_cast<ennead::vmcore::u64>(
                           std::chrono::system_clock::now().time_since_epoch().count()) >>
                       8;
    }
    return ennead::vmcore::fuzz::run(options);
}
