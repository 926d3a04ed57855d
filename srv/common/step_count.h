// SPDX-License-Identifier: MIT
// The argument of `step [n]`, which the server checks and the VM's process obeys.
#pragma once

#include <cstdint>

#include "synthfs/words.h"

namespace ennead::srv {

// How many instructions: 1 without an argument. EINVAL for 0 and for what is no number.
[[nodiscard]] inline synthfs::Checked<std::uint64_t> parse_steps(const synthfs::Command& command) {
    if (command.arg_count() == 0) {
        return std::uint64_t{1};
    }
    return synthfs::parse_number(command.arg(0), {.min = 1});
}

[[nodiscard]] inline synthfs::Checked<> check_steps(const synthfs::Command& command) {
    const auto count = parse_steps(command);
    return count ? synthfs::Checked<>(synthfs::success()) : count.error();
}

}  // namespace ennead::srv
