// SPDX-License-Identifier: MIT
// The lines of `bp`: `kinds address length hits`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "synthfs/fault.h"
#include "vmcore/cpu/interp/breakpoints.h"

namespace ennead::srv {

using BreakpointList = std::vector<vmcore::Breakpoint>;

// `r`, `rw`, `x` and so on.
[[nodiscard]] std::string kind_text(vmcore::BreakpointKind kind);
[[nodiscard]] std::string print_breakpoints(const BreakpointList& list);
// `0x00100000`, as all that tells of a breakpoint has it.
[[nodiscard]] std::string address_text(vmcore::LinearAddr address);

// Length and hits may be left out: 1 and 0. EINVAL, with the line and the column of the word at
// fault.
[[nodiscard]] synthfs::Checked<BreakpointList> parse_breakpoints(std::string_view text);

// Adds `more` to `list`; one of the same kinds, address and length as another takes its place.
// ENOSPC, and nothing added, if they become too many.
[[nodiscard]] synthfs::Checked<> add_breakpoints(BreakpointList& list, const BreakpointList& more);

}  // namespace ennead::srv
