// SPDX-License-Identifier: MIT
// Copying a file's contents and attributes from one layer to another.
#pragma once

#include <cstdint>

#include "synthfs/host_fd.h"

namespace ennead::synthfs {

// Copies the first `length` bytes of `from` (all, if it is shorter) into the empty file `to`; holes
// stay holes.
[[nodiscard]] Result<> copy_data(int from, int to, std::uint64_t length);

// Copies the lower file's user attributes to where the upper layer keeps the guest's.
[[nodiscard]] Result<> copy_user_xattrs(int from, int to);

}  // namespace ennead::synthfs
