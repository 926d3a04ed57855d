// SPDX-License-Identifier: MIT
// Another tree, to be looked at only.
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

// Every change answers EROFS, as does opening to write, or to read what reading makes something of.
// `tree` may be anything.
[[nodiscard]] NodePtr make_read_only(NodePtr tree, ReadOnlyOptions options);
// The same with its owners and permissions as they are.
[[nodiscard]] NodePtr make_read_only(NodePtr tree);

}  // namespace ennead::synthfs
