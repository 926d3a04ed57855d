// SPDX-License-Identifier: MIT
// The tree that a VM's guest may be given: its own directory and those of the VMs below it.
#pragma once

#include <memory>
#include <vector>

#include "srv/ennead/vm.h"
#include "synthfs/tree.h"

namespace ennead::srv {

class VmTable;

// `new`, `status`, `events`, `error`, `version`, `help`, `self`, and VMs made by name, all of them
// below `vm`; and its own directory, made of `files` (make_vm_files), in which it may look at
// everything, talk to its own ports, and write the verbs to `ctl` that end it or set it back. The
// VMs below are added by `table`, which outlives this.
[[nodiscard]] std::shared_ptr<synthfs::Directory> make_guest_tree(
    VmTable& table, const std::shared_ptr<Vm>& vm, const std::vector<synthfs::Entry>& files);

}  // namespace ennead::srv
