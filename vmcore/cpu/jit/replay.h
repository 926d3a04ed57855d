// SPDX-License-Identifier: MIT
// Makes a block once more, to learn which guest instruction each piece of its code belongs to.
#pragma once

#include <vector>

#include "vmcore/cpu/jit/block_cache.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/plan.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// The bytes that a block was made from.
struct BlockSource {
    BlockCache::CodePage page;
    BlockCache::CodePage next;  // of a block that straddles
};

// What is remembered of a block does not tell that, and need not: the same input gives the same
// code.
struct Replay {
    BlockPlan plan;
    std::vector<u8> code;  // as it was before any link led to its target
    std::vector<EmittedPiece> pieces;
    std::vector<EmittedLink> links;
    std::vector<u32> pointers;  // offsets of the addresses of Interpreted

    // How the code in place differs, links and pointers left out of account.
    bool comparable = false;  // it is as long as the block's own
    u32 differences = 0;      // bytes
    u32 linked = 0;           // links that lead to their targets
};

// The block is one of the cache's. vCPU thread only.
void replay_block(const BlockCache& cache, const Block& block, const BlockSource& source,
                  Replay& replay);

}  // namespace ennead::vmcore::jit
