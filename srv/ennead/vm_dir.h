// SPDX-License-Identifier: MIT
// The files under /vm/N.
#pragma once

#include <memory>
#include <vector>

#include "srv/ennead/vm.h"
#include "synthfs/synth_node.h"
#include "synthfs/tree.h"

namespace ennead::srv {

class VmTable;

// The rows of the VM's directory. Every directory made from them shows the very same files;
// retire() it when the VM is destroyed. `table` outlives them.
[[nodiscard]] std::vector<synthfs::Entry> make_vm_files(VmTable& table,
                                                        const std::shared_ptr<Vm>& vm);

// `N/ctl` (vm_ctl.cpp).
[[nodiscard]] synthfs::SynthNodePtr make_vm_ctl(VmTable& table, const std::shared_ptr<Vm>& vm);
// The same for the VM's own guest: what ends the VM or sets it back; every other verb is EPERM.
[[nodiscard]] synthfs::SynthNodePtr make_own_ctl(VmTable& table, const std::shared_ptr<Vm>& vm);

}  // namespace ennead::srv
