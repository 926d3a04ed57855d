// SPDX-License-Identifier: MIT
// `ennead 9p`: the files of a tree over 9P, with no mount at all.
#pragma once

namespace ennead::srv {

// `argv[0]` is "9p". Returns the exit status.
int nine_command(int argc, char** argv);

}  // namespace ennead::srv
