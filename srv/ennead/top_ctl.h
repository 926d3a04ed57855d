// SPDX-License-Identifier: MIT
// The verbs of the top `ctl` that set limits and defaults, and the top `stats`.
#pragma once

#include <string>
#include <vector>

#include "srv/ennead/vm_table.h"
#include "synthfs/ctl_file.h"

namespace ennead::srv {

// `default key value`, `cap n`, `reap t`. `table` outlives them.
[[nodiscard]] std::vector<synthfs::Verb> limit_verbs(VmTable& table);
// What they have set, as lines that set it again.
[[nodiscard]] std::string limits_text(const VmTable& table);

// Counters, a `key value` line each.
[[nodiscard]] std::string server_stats_text(const VmTable& table);

}  // namespace ennead::srv
