// SPDX-License-Identifier: MIT
// fuzz_cpu [--seconds n] [--seed n] [--count n] [--failures n] [--every n] [--whole]: random
// programs on the interpreter and the JIT in step, every n-th of them on Unicorn as well. With
// --seed and no --seconds that one case runs, and is told about.
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
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
#include "tests/fuzz/witness.h"

namespace ennead::vmcore::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

// Unicorn takes about as long for a case as both engines for ten.
constexpr u64 kWitnessEvery = 16;

// The interpreter without translations takes as long as both engines for two.
constexpr u64 kAloneEvery = 8;

// With whom the interpreter is compared.
enum class Against { jit, unicorn, itself /* without kept translations */ };

const char* name_of(Against against) {
    return against == Against::jit       ? "the JIT"
           : against == Against::unicorn ? "Unicorn"
                                         : "itself without kept translations";
}

struct Options {
    u64 seconds = 0, count = 0;
    u64 seed = 0;
    bool seed_given = false, whole = false;
    unsigned most_failures = 1;
    u64 every = kWitnessEvery;  // 0: never
};

double since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of this process's CPU time, so that a busy host does not look like a program without end; 0: no
// limit.
void limit_time(long seconds) {
    const itimerval limit{.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_usec = 0}};
    setitimer(ITIMER_PROF, &limit, nullptr);
}

// In a process of its own, for emitted code may crash: that shows too.
bool shows_on_fresh_lanes(const Case& c, Against against) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGTRAP}) {
            std::signal(signal, SIG_DFL);
        }
        limit_time(5);
        const bool differs = against == Against::jit ? Duel().run(c).differs && !is_undefined(c)
                             : against == Against::unicorn ? Witness().run(c).differs
                                                           : keeps_translations_too_long(c).differs;
        _exit(differs ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    // Unicorn's crashes are its own.
    return against != Against::unicorn ? status != 0
                                       : WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

// In a process of its own: Unicorn aborts over some programs. Counts nothing if it does.
bool differs_from_unicorn(Witness& witness, const Case& c, WitnessCounts& counts, u64& crashes) {
    struct Told {
        WitnessCounts counts;
        bool differs = false;
    };
    std::array<int, 2> ends{};
    std::fflush(stdout);
    if (pipe(ends.data()) != 0) {
        return false;
    }
    const pid_t child = fork();
    if (child == 0) {
        for (const int signal : {SIGABRT, SIGSEGV, SIGPROF}) {
            std::signal(signal, SIG_DFL);
        }
        (void)!std::freopen("/dev/null", "w", stderr);
        limit_time(10);
        Told told;
        told.differs = witness.run(c).differs;
        told.counts = witness.counts();
        _exit(write(ends[1], &told, sizeof told) == sizeof told ? 0 : 1);
    }
    close(ends[1]);
    Told told;
    const bool whole = child > 0 && read(ends[0], &told, sizeof told) == sizeof told;
    close(ends[0]);
    waitpid(child, nullptr, 0);
    if (!whole) {
        ++crashes;
        return false;
    }
    counts.instructions += told.counts.instructions;
    counts.faults += told.counts.faults;
    counts.left_out += told.counts.left_out;
    counts.unanswered += told.counts.unanswered;
    return told.differs;
}

volatile u64 running_seed = 0;

extern "C" void crashed(int signal) {
    char text[100];
    const int length = std::snprintf(
        text, sizeof text, "=== seed %" PRIu64 " ends with signal %d\n", running_seed, signal);
    (void)!write(1, text, static_cast<std::size_t>(length));
    _exit(1);
}

void tell_lines(const Verdict& verdict) {
    for (const std::string& line : verdict.what) {
        std::printf("  %s\n", line.c_str());
    }
}

void tell(const Case& c, Against against) {
    std::printf("%s", describe(c).c_str());
    std::fflush(stdout);
    if (against == Against::unicorn) {
        const Verdict verdict = Witness().run(c, true);
        std::printf("%s (interpreter, Unicorn):\n", verdict.differs ? "differs" : "same");
        tell_lines(verdict);
        return;
    }
    if (against == Against::itself) {
        const Verdict verdict = keeps_translations_too_long(c, true);
        std::printf("%s (interpreter, the same without kept translations):\n",
                    verdict.differs ? "differs" : "same");
        tell_lines(verdict);
        return;
    }
    Duel duel;
    const Verdict verdict = duel.run(c, true);
    std::printf("%s in slice %u (interpreter, JIT):\n", verdict.differs ? "differs" : "same",
                verdict.slice);
    tell_lines(verdict);
    std::printf("--- interpreter\n%s--- JIT\n%s", describe(duel.interpreter().state()).c_str(),
                describe(duel.jit(c.exact).state()).c_str());
}

void describe_smallest(const Case& c, Against against, const Options& options) {
    const auto shows = [against](const Case& each) { return shows_on_fresh_lanes(each, against); };
    const Case smallest = options.whole ? c : shrink(c, shows);
    std::fflush(stdout);
    tell(smallest, against);
    std::fflush(stdout);
}

// True if it is a difference worth telling.
bool examine(const Case& c, Against against, const Options& options) {
    if (against == Against::jit && is_undefined(c)) {
        return false;
    }
    limit_time(0);
    std::printf("=== seed %" PRIu64 " differs from %s\n", c.seed, name_of(against));
    if (!shows_on_fresh_lanes(c, against)) {
        std::printf("only after the cases before it: run with --seed %" PRIu64
                    " --seconds n from further back\n",
                    c.seed);
        return true;
    }
    describe_smallest(c, against, options);
    return true;
}

int run_one(const Options& options) {
    const Case c = generate(options.seed);
    bool any = false;
    for (const Against against : {Against::jit, Against::itself, Against::unicorn}) {
        if (against == Against::unicorn && options.every == 0) {
            continue;
        }
        std::printf("--- against %s: ", name_of(against));
        const bool shows = shows_on_fresh_lanes(c, against);
        std::printf(
            "%s%s\n", shows ? "differs" : "no difference",
            against == Against::jit && is_undefined(c) ? " (undefined flags are seen)" : "");
        if (options.whole || (!shows && against == Against::jit)) {
            tell(c, against);
        } else if (shows) {
            describe_smallest(c, against, options);
        }
        any |= shows;
    }
    return any ? 1 : 0;
}

int run(const Options& options) {
    if (options.seed_given && options.seconds == 0 && options.count == 0) {
        return run_one(options);
    }
    const auto start = Clock::now();
    Duel duel;
    Witness witness;
    WitnessCounts told;
    u64 crashes = 0, cases = 0, instructions = 0, undefined = 0;
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
        if (verdict.differs) {
            if (examine(c, Against::jit, options)) {
                ++failures;
            } else {
                ++undefined;
            }
        }
        if (c.paging != PagingKind::off && c.seed % kAloneEvery == 0 &&
            keeps_translations_too_long(c).differs && examine(c, Against::itself, options)) {
            ++failures;
        }
        if (options.every != 0 && c.seed % options.every == 0 &&
            differs_from_unicorn(witness, c, told, crashes) &&
            examine(c, Against::unicorn, options)) {
            ++failures;
        }
        if (failures >= options.most_failures) {
            break;
        }
    }
    const double seconds = since(start);
    std::printf("%" PRIu64 " cases, %.0f a second, %.1f million instructions, %" PRIu64
                " set aside for undefined flags, %u differ\n",
                cases, static_cast<double>(cases) / seconds,
                static_cast<double>(instructions) / 1e6, undefined, failures);
    std::printf("with Unicorn: %.2f million instructions and %" PRIu64 " faults compared, %" PRIu64
                " left out, %" PRIu64 " runs unanswered, %" PRIu64 " cases crashed it\n",
                static_cast<double>(told.instructions) / 1e6, told.faults, told.left_out,
                told.unanswered, crashes);
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
        } else if (word == "--every") {
            options.every = number(++n);
        } else if (word == "--failures") {
            options.most_failures = static_cast<unsigned>(number(++n));
        } else if (word == "--whole") {
            options.whole = true;
        } else {
            std::fprintf(
                stderr,
                "usage: fuzz_cpu [--seconds n] [--count n] [--seed n] [--failures n] [--every n] "
                "[--whole]\n");
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
