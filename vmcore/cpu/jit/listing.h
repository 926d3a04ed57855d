// SPDX-License-Identifier: MIT
// A block as text: its guest code, and below each instruction the host code made from it. The one
// place that sees Zydis.
#pragma once

#include <string>

#include "vmcore/cpu/jit/block_cache.h"
#include "vmcore/cpu/jit/replay.h"

namespace ennead::vmcore::jit {

// Lines of at most about 120 columns. vCPU thread only.
[[nodiscard]] std::string block_listing(const BlockCache& cache, const Block& block,
                                        const BlockSource& source);

}  // namespace ennead::vmcore::jit
