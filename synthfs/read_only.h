// SPDX-License-Identifier: MIT
// Another tree, to be looked at only.
#pragma once

#include "synthfs/node.h"

namespace ennead::synthfs {

// Every change answers EROFS, as does opening to write, or to read what reading makes something of.
// `tree` may be anything.
[[nodiscard]] NodePtr make_read_only(NodePtr tree);

}  // namespace ennead::synthfs
