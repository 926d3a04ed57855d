// SPDX-License-Identifier: MIT
// `ennead ps`: the VMs of a tree, as a table or as JSON.
#pragma once

#include <string>
#include <string_view>

namespace ennead::srv {

// argv[0] is "ps". Returns the exit status.
int ps_command(int argc, char** argv);

// The text of the tree's `status` as a table with a heading.
[[nodiscard]] std::string vm_table_text(std::string_view status);
// The same as one JSON array of objects: number, name, state, reason (null before the first end),
// mem in bytes, uptime in seconds. Bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string vm_table_json(std::string_view status);

}  // namespace ennead::srv
