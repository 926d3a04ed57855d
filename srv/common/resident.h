// SPDX-License-Identifier: MIT
// How much memory of the host this process has.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace ennead::srv {

// Resident bytes, shared ones included (proc(5), /proc/pid/statm); 0 if /proc does not say.
[[nodiscard]] inline std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace ennead::srv
