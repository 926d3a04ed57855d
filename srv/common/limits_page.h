// SPDX-License-Identifier: MIT
// A VM's limits and what it has used of them: memory that the server and the VM's process share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "srv/common/fd.h"
#include "synthfs/fault.h"
#include "synthfs/quota.h"

namespace ennead::srv {

// All zero at first. The server sets the limits, at any time, and the process counts; so what it
// has counted is there when it is gone, and for the next one.
struct LimitsPage {
    synthfs::QuotaCounters disk;
    std::atomic<std::uint64_t> io_operations;  // a second; 0: no limit
    std::atomic<std::uint64_t> io_bytes;       // a second; 0: no limit
    std::atomic<std::uint64_t> io_delayed;     // requests that had to wait,
    std::atomic<std::uint64_t> io_delay_us;    // and how long, all together
};

struct SharedLimits {
    std::shared_ptr<LimitsPage> page;
    Fd file;  // to be handed to the process
};

// A new one. The file keeps its size, so that neither side can take the memory from the other.
[[nodiscard]] synthfs::Checked<SharedLimits> make_limits();
[[nodiscard]] synthfs::Checked<std::shared_ptr<LimitsPage>> map_limits(Fd file);

}  // namespace ennead::srv
