// SPDX-License-Identifier: MIT
// What a change to a host tree adds to the host's disk, for the quota.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <vector>

#include "synthfs/host_fd.h"
#include "synthfs/quota.h"

namespace ennead::synthfs {

class HostNode;
struct HostTree;

// What the host counts of a file, in bytes.
[[nodiscard]] std::uint64_t block_bytes(const struct stat& st);

// Lives for as long as one change does: the blocks of what is watched are looked at before and
// after. Does nothing in a tree without a limit. Nodes outlive it.
class BlockTally {
  public:
    explicit BlockTally(HostTree& tree);
    BlockTally(const BlockTally&) = delete;
    BlockTally& operator=(const BlockTally&) = delete;
    ~BlockTally();

    // EDQUOT if less than so much may be added.
    [[nodiscard]] Result<> want(std::uint64_t bytes = 1) const;
    // Before the change. Of a lower layer's file: nothing, since it costs nothing.
    void watch(HostNode& node);
    // After it: a file that was not there.
    void made(HostNode& node);

  private:
    struct Watched {
        HostNode* node;
        FdRef fd;
        std::uint64_t before;
    };
    void settle(const Watched& watched) const;

    Quota* const quota_;  // null: nothing is done
    const Quota::Kind kind_;
    std::vector<Watched> watched_;
};

// The bytes of the host's blocks below a directory that nobody else changes, those of a file with
// several names once. What cannot be read counts nothing.
[[nodiscard]] std::uint64_t count_blocks(int dir);

}  // namespace ennead::synthfs
