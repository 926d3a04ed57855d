// SPDX-License-Identifier: MIT
// A case from a seed.
#pragma once

#include "tests/fuzz/case.h"

namespace ennead::vmcore::fuzz {

[[nodiscard]] Case generate(u64 seed);

}  // namespace ennead::vmcore::fuzz
