// SPDX-License-Identifier: MIT
// What went wrong, and how long operations took. Any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace ennead::stress {

using Clock = std::chrono::steady_clock;

// The errno's name, or `ok`.
[[nodiscard]] std::string outcome_name(int outcome);

class Report {
  public:
    // An operation that takes longer than `limit` is wrong.
    explicit Report(std::chrono::milliseconds limit) : limit_(limit) {}

    // The first few are printed at once.
    void wrong(const std::string& what);
    // Gives on what the operation gave. `calls`: of so many operations it consists.
    template <class Act>
    int timed(const char* operation, const std::string& path, Act act, int calls = 1) {
        const auto begin = Clock::now();
        const int outcome = act();
        took(operation, path, Clock::now() - begin, outcome, calls);
        return outcome;
    }
    [[nodiscard]] std::size_t failures() const;
    void print() const;

  private:
    struct Row {
        std::size_t count = 0;
        Clock::duration total{}, slowest{};
        std::string slowest_path;
    };
    void took(const char* operation, const std::string& path, Clock::duration time, int outcome,
              int calls);

    const std::chrono::milliseconds limit_;
    mutable std::mutex mutex_;
    std::size_t failures_ = 0;
    std::map<std::string, Row> rows_;
    std::map<std::string, std::size_t> outcomes_;
};

}  // namespace ennead::stress
