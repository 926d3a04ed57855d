// SPDX-License-Identifier: MIT
// Times as settings have them.
#pragma once

#include <chrono>
#include <string>

#include "synthfs/result.h"
#include "synthfs/words.h"

namespace ennead::srv {

// The shortest form that parse_time() reads back.
[[nodiscard]] inline std::string format_time(std::chrono::microseconds time) {
    constexpr std::int64_t kMs = 1000, kSecond = 1'000'000;
    const std::int64_t us = time.count();
    if (us % kSecond == 0) {
        return std::to_string(us / kSecond) + 's';
    }
    return us % kMs == 0 ? std::to_string(us / kMs) + "ms" : std::to_string(us) + "us";
}

// What something is to be done after: EINVAL, with the word's column, for more than a year, which a
// timer could not tell from never.
[[nodiscard]] inline synthfs::Checked<std::chrono::microseconds> parse_delay(
    const synthfs::Word& word) {
    constexpr std::chrono::hours kLongest{24 * 365};
    auto time = synthfs::parse_time(word);
    if (time && time.value() > kLongest) {
        auto fault = synthfs::make_fault(EINVAL, "%s is more than a year", word.text.c_str());
        fault.column = word.column;
        return fault;
    }
    return time;
}

}  // namespace ennead::srv
