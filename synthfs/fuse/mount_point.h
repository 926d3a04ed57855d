// SPDX-License-Identifier: MIT
// What must be so before a directory can be mounted on, told in words to whoever asked.
#pragma once

#include <string>

#include "synthfs/fault.h"
#include "synthfs/log.h"

namespace ennead::synthfs::fuse {

// `dir` as an absolute path that a mount table would show, fit to be mounted on: it exists, is a
// directory and no live tree of ours is mounted there. What a killed server left mounted is taken
// away first. All messages are one line that names the remedy.
[[nodiscard]] Checked<std::string> prepare_mount_point(const std::string& dir, const LogSink& log);

// /dev/fuse can be opened, and the helper that mounts for ordinary users is there if it will be
// needed.
[[nodiscard]] Checked<> check_fuse_available();

// Whether other users may be let in: root may always, others if /etc/fuse.conf says
// user_allow_other.
[[nodiscard]] bool may_allow_other();

// The type that mount tables show for our trees.
inline constexpr const char* kSubtype = "ennead";

}  // namespace ennead::synthfs::fuse
