// SPDX-License-Identifier: MIT
// Names for what emitted code reaches: thunks, other blocks, and fields beside CpuState.
#pragma once

#include <string>

#include "vmcore/cpu/jit/block_cache.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// Of a jump's or call's target outside of its block.
[[nodiscard]] std::string target_name(const BlockCache& cache, const u8* target);

// Of what lies at a distance from CpuState (R15); `indexed`: a register is added. Empty if it has
// none.
[[nodiscard]] std::string state_name(u64 offset, bool indexed);

[[nodiscard]] const char* entry_name(Link::Entry entry);

}  // namespace ennead::vmcore::jit
