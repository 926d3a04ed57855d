// SPDX-License-Identifier: MIT
// The options that `exec` and `run` have in common.
#pragma once

#include <optional>
#include <string>

#include "srv/ennead/cli_console.h"

namespace ennead::srv {

// Reads -d DIR, -n, -t SECONDS and -h up to the first word that is no option, where optind then
// stands. Gives an exit status if that is the end of it: after -h, or a line that says what is
// wrong.
std::optional<int> parse_command_options(int argc, char** argv, const char* usage, std::string& dir,
                                         ConsoleCommand& what);

}  // namespace ennead::srv
