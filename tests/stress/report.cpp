// SPDX-License-Identifier: MIT
// Counts and prints.
#include "tests/stress/report.h"

#include <cstdio>
#include <cstring>

namespace ennead::stress {
namespace {

constexpr std::size_t kMostPrinted = 20;

double milliseconds(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

std::string outcome_name(int outcome) {
    const char* name = strerrorname_np(outcome);
    return outcome == 0 ? "ok" : name != nullptr ? name : std::to_string(outcome);
}

void Report::wrong(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (++failures_ <= kMostPrinted) {
        std::fprintf(stderr, "stress: %s\n", what.c_str());
    }
}

void Report::took(const char* operation, const std::string& path, Clock::duration time, int outcome,
                  int calls) {
    {
        const std::lock_guard lock(mutex_);
        Row& row = rows_[operation];
        ++row.count;
        row.total += time;
        if (time > row.slowest) {
            row.slowest = time;
            row.slowest_path = path;
        }
        ++outcomes_[outcome_name(outcome)];
    }
    if (time > limit_ * calls) {
        char text[256];
        std::snprintf(text, sizeof text, "%s %.100s took %.0f ms (%s)", operation, path.c_str(),
                      milliseconds(time), outcome_name(outcome).c_str());
        wrong(text);
    }
}

std::size_t Report::failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
}

void Report::print() const {
    const std::lock_guard lock(mutex_);
    for (const auto& [operation, row] : rows_) {
        std::printf("%-16s %8zu  mean %8.3f ms  slowest %8.1f ms %s\n", operation.c_str(),
                    row.count, milliseconds(row.total) / static_cast<double>(row.count),
                    milliseconds(row.slowest), row.slowest_path.c_str());
    }
    for (const auto& [outcome, count] : outcomes_) {
        std::printf("%s %zu  ", outcome.c_str(), count);
    }
    std::printf("\n");
}

}  // namespace ennead::stress
