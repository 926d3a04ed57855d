// SPDX-License-Identifier: MIT
// `ennead exec`: a command in the shell at a running VM's console.
#pragma once

namespace ennead::srv {

// argv[0] is "exec". Gives the command's exit status, or kOwnFailure.
int exec_command(int argc, char** argv);

}  // namespace ennead::srv
