// SPDX-License-Identifier: MIT
// A file system in memory: empty at first, and gone with its last user.
#pragma once

#include <cstdint>

#include "synthfs/node.h"

namespace ennead::synthfs {

struct RamTreeOptions {
    // Bytes of contents, names, targets and attributes, with kRamNodeCost for each file: ENOSPC
    // above it.
    std::uint64_t limit = std::uint64_t{64} << 20;
    bool read_only = false;  // it stays empty, then
};

// What a file counts besides its contents.
inline constexpr std::uint64_t kRamNodeCost = 1024;

// Any kind of file, with owner, mode, times, links, record locks and extended attributes of `user.`
// and, for regular files, `security.capability`. Contents take memory by pages of 4 KiB where they
// were written. Node::revoke frees all of it.
[[nodiscard]] NodePtr make_ram_tree(RamTreeOptions options = {});

}  // namespace ennead::synthfs
