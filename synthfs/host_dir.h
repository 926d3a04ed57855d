// SPDX-License-Identifier: MIT
// A folder of the host shown as it is, never above its root, and never through its links.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "synthfs/host_pace.h"
#include "synthfs/node.h"
#include "synthfs/offload.h"
#include "synthfs/quota.h"

namespace ennead::synthfs {

// Calls `ready` once, on a thread that owns the tree and not at once, when a read of `fd` would not
// wait; not any more when what it gives is dropped. `fd` stays open until then.
using WhenReadable = std::function<std::shared_ptr<void>(int fd, std::function<void()> ready)>;

struct HostDirOptions {
    bool read_only = false;
    // Whether the guest may leave set-user-ID and set-group-ID files on the host: EPERM if not. A
    // server run by root makes files in the caller's name, so such a file would be a way to become
    // root on the host.
    bool allow_set_id = false;
    // Descriptors kept open for directories and files used last; open files may take as many again,
    // and each file that is held after its removal takes one.
    std::size_t max_descriptors = 256;
    // Directories, and a device with all that is on it, that show and are not entered: EACCES.
    std::vector<std::pair<dev_t, ino_t>> hidden = {};
    dev_t hidden_device = 0;  // 0: none
    // Does what may wait for the disk: look-ups and reads of what the host has not in memory,
    // writes while it is slow, and fsync. Null: it is done on the spot.
    std::shared_ptr<Offload> offload = nullptr;
    std::shared_ptr<Quota> quota = nullptr;  // what is added counts there
    HostPace::Now clock = &HostPace::Clock::now;
    // For files that another server makes up, in whose reads one may have to wait; without it such
    // reads answer EAGAIN.
    WhenReadable when_readable = {};
};

// `root_fd` (O_PATH | O_DIRECTORY suffices) is owned from here on, also on failure.
//
// Others on the host may change the folder at any time: a node whose file was replaced there
// answers ESTALE. Only regular files and directories are ever opened. Device nodes are shown but
// cannot be made.
[[nodiscard]] Result<NodePtr> make_host_dir(int root_fd, HostDirOptions options = {});

}  // namespace ennead::synthfs
