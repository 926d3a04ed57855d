// SPDX-License-Identifier: MIT
// `ennead attach`: a terminal on a VM's console, by nothing but its files.
#pragma once

#include <string>

namespace ennead::srv {

// argv[0] is "attach". Ends when the VM is off or the user types Ctrl-]. With standard input that
// is no terminal its bytes are fed to the console and the end of the VM is awaited. Returns the
// exit status.
int attach_command(int argc, char** argv);
// The same for the VM whose directory is `vm`.
int attach_console(const std::string& vm);

}  // namespace ennead::srv
