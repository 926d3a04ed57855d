// SPDX-License-Identifier: MIT
// Shared read-only directories with a private writable one over them, shown to a guest as one root
// of its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "synthfs/node.h"
#include "synthfs/offload.h"
#include "synthfs/quota.h"

namespace ennead::synthfs {

struct OverlayOptions {
    // Descriptors kept open for directories and files used last. Each file that is held after its
    // removal takes one more, as does each layer; two belong to the upper layer's workshop.
    std::size_t max_descriptors = 256;
    // A lower directory is renamed by copying what it holds, unless that is more than this: EXDEV
    // then, at which mv(1) copies by itself.
    std::uint64_t rename_copy_files = 20000;
    std::uint64_t rename_copy_bytes = std::uint64_t{256} << 20;
    // Copies reach the disk before they take their place, so that even a crash of the host leaves
    // no empty file. Slow.
    bool sync_copies = false;
    // In lower layers: directories, and a device with all that is on it, that show and are not
    // entered: EACCES.
    std::vector<std::pair<dev_t, ino_t>> hidden = {};
    dev_t hidden_device = 0;  // 0: none
    // Does what may wait for the disk: reads of what the host has not in memory, and fsync. Null:
    // it is done on the spot.
    std::shared_ptr<Offload> offload = nullptr;
    std::shared_ptr<Quota> quota = nullptr;  // what is added to the scratch layer counts there
};

// `lower_fds` are the read-only layers, topmost first, which must not change; `upper_fd` is the
// scratch directory (-1: none, and the tree is read-only). All are owned from here on, also on
// failure.
//
// The scratch directory holds `root`, the upper layer, and `work`, which is emptied at each
// opening. It is used by one overlay at a time: EBUSY. Its file system must keep user extended
// attributes: ENOTSUP.
//
// Owner, mode, type and device number of upper files are kept in `user.ennead.attr`
// (overlay_attr.h); host files are plain, 0600, and the server's own. Lower files show the server's
// user and group as 0.
[[nodiscard]] Result<NodePtr> make_overlay(std::vector<int> lower_fds, int upper_fd,
                                           OverlayOptions options = {});

}  // namespace ennead::synthfs
