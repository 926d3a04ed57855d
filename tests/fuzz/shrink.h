// SPDX-License-Identifier: MIT
// The smallest case like the one given that still shows a difference.
#pragma once

#include <functional>

#include "tests/fuzz/case.h"

namespace ennead::vmcore::fuzz {

// `shows`: whether a case shows what is looked for.
[[nodiscard]] Case shrink(Case c, const std::function<bool(const Case&)>& shows);

}  // namespace ennead::vmcore::fuzz
