// SPDX-License-Identifier: MIT
// `ennead run`: a VM for one command, or for a terminal.
#pragma once

namespace ennead::srv {

// argv[0] is "run". Gives the command's exit status, or kOwnFailure. The VM is gone when it
// returns.
int run_command(int argc, char** argv);

}  // namespace ennead::srv
