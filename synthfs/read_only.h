// SPDX-License-Identifier: MIT
// Another tree, to be looked at only, and by one user.
#pragma once

#include <sys/types.h>

#include "synthfs/node.h"

namespace ennead::synthfs {

struct ReadOnlyOptions {
    // The directory at the top shows these permissions and belongs to the user and group; whatever
    // is root's below shows as theirs. The kernel checks it (default_permissions).
    mode_t mode = 0700;
    uid_t uid = 0;
    gid_t gid = 0;
};

// Every change answers EROFS, as does opening to write. `tree` is a directory.
[[nodiscard]] NodePtr make_read_only(NodePtr tree, ReadOnlyOptions options);

}  // namespace ennead::synthfs
