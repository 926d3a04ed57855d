// SPDX-License-Identifier: MIT
// Opens the host directories that a VM is to be given, without ever asking this server's own tree.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "srv/common/fd.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// What belongs to the server itself: no VM is given it, nor enters it from above.
struct HiddenPlaces {
    dev_t tree_device = 0;                             // of the mounted tree; 0: nothing is mounted
    std::vector<std::pair<dev_t, ino_t>> directories;  // the state directory
};

// The device of what is mounted at `path`, found without asking it.
[[nodiscard]] synthfs::Checked<dev_t> device_of_mount(const std::string& path);

// An O_PATH descriptor of the directory at an absolute path; `what` says in a fault what it was
// for. Links are followed, one component after the other: a lookup in the server's own tree would
// wait for the very thread that makes it. ELOOP: the path leads there, or into a hidden directory,
// so that a guest's tree would contain itself. ENOENT, ENOTDIR, EACCES and so on as open(2).
[[nodiscard]] synthfs::Checked<Fd> open_source(const std::string& path, const char* what,
                                               const HiddenPlaces& hidden);

// The file at an absolute path, found in the same way, whatever it is, and opened with `flags` of
// open(2).
[[nodiscard]] synthfs::Checked<Fd> open_host_file(const std::string& path, int flags,
                                                  const char* what, const HiddenPlaces& hidden);

}  // namespace ennead::srv
