// SPDX-License-Identifier: MIT
// Another tree, whose root user shows as somebody else.
#pragma once

#include <sys/types.h>

#include "synthfs/node.h"

namespace ennead::synthfs {

struct ShownAs {
    // The directory at the top shows these permissions and belongs to the user and group, whatever
    // is done to it (EPERM); what is root's below shows as theirs, and what is to be theirs becomes
    // root's. The kernel checks it (default_permissions). Where nobody answers for the tree
    // (ETIMEDOUT), that directory still shows, as it was last.
    mode_t mode = 0700;
    uid_t uid = 0;
    gid_t gid = 0;
};

// All else passes. `tree` may be anything.
[[nodiscard]] NodePtr make_shown_as(NodePtr tree, ShownAs owner);

}  // namespace ennead::synthfs
