// SPDX-License-Identifier: MIT
// The files under /vm/N.
#pragma once

#include <memory>

#include "srv/ennead/vm.h"
#include "synthfs/synth_node.h"

namespace ennead::srv {

class VmTable;

// The VM's directory; retire() it when the VM is destroyed. `table` outlives it.
[[nodiscard]] synthfs::SynthNodePtr make_vm_dir(VmTable& table, const std::shared_ptr<Vm>& vm);

// `N/ctl` (vm_ctl.cpp).
[[nodiscard]] synthfs::SynthNodePtr make_vm_ctl(VmTable& table, const std::shared_ptr<Vm>& vm);

}  // namespace ennead::srv
