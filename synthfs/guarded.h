// SPDX-License-Identifier: MIT
// A tree whose mode bits count: for callers that no kernel has checked.
#pragma once

#include <sys/types.h>

#include <vector>

#include "synthfs/node.h"

namespace ennead::synthfs {

// The groups of one user beside the one that a request names.
struct GuardOptions {
    uid_t uid = 0;
    std::vector<gid_t> groups;
};

// Allows each request's caller what Linux would by owner, group and mode (path_resolution(7),
// default_permissions of FUSE), with the same errno: EACCES for what the bits do not give, EPERM
// for what is the owner's or root's alone. An open file is not checked again. `tree` may be
// anything.
[[nodiscard]] NodePtr make_guarded(NodePtr tree, GuardOptions options = {});

}  // namespace ennead::synthfs
