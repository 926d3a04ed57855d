// SPDX-License-Identifier: MIT
// A case as text.
#pragma once

#include <string>

#include "tests/fuzz/case.h"

namespace ennead::vmcore::fuzz {

// The surroundings, the program as hexadecimal and disassembled, the events.
[[nodiscard]] std::string describe(const Case& c);

}  // namespace ennead::vmcore::fuzz
