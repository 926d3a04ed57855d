// SPDX-License-Identifier: MIT
// The arguments of `trace`, which the server checks and the VM's process obeys.
#pragma once

#include "synthfs/words.h"
#include "vmcore/cpu/interp/tracer.h"

namespace ennead::srv {

// `trace kind… [filter…]`. Kinds: insn irq exc io mmio 9p. Filters: `lo-hi` or a single address, of
// which several add up, and one `cr3=0x…`. EINVAL, with the column of the word at fault.
[[nodiscard]] synthfs::Checked<vmcore::TraceRule> parse_trace(const synthfs::Command& command);
[[nodiscard]] synthfs::Checked<> check_trace(const synthfs::Command& command);

inline constexpr const char* kTraceUsage = "trace kind [filter]";

}  // namespace ennead::srv
