// SPDX-License-Identifier: MIT
// The live files that show a machine's insides: registers, memory, and what is at which address.
#pragma once

#include "srv/ennead-vm/on_vcpu.h"
#include "synthfs/synth_node.h"

namespace ennead::srv {

// `vcpu` must outlive the files. All can be read in any state; those that can be written take it
// while the machine is paused, else EBUSY.

// `regs` and `fpregs`: lines `name value`. A write is all or nothing.
[[nodiscard]] synthfs::SynthNodePtr make_regs(const OnVcpu& vcpu, synthfs::ErrorSink errors);
[[nodiscard]] synthfs::SynthNodePtr make_fpregs(const OnVcpu& vcpu, synthfs::ErrorSink errors);

// `mem`: physical memory, as large as it is.
[[nodiscard]] synthfs::SynthNodePtr make_mem(const OnVcpu& vcpu, synthfs::ErrorSink errors);
// `vmem`: the offset is a linear address, as CR0, CR3 and CR4 stand, with a supervisor's rights and
// whatever the page's; no accessed or dirty bits are set. EFAULT where there is no RAM or ROM, or
// for a write no RAM; a read that reaches such a place further on is short, a write changes
// nothing.
[[nodiscard]] synthfs::SynthNodePtr make_vmem(const OnVcpu& vcpu, synthfs::ErrorSink errors);

// `map`: `first last kind name`, physical. `io`: `first last name`, ports.
[[nodiscard]] synthfs::SynthNodePtr make_map(const OnVcpu& vcpu, synthfs::ErrorSink errors);
[[nodiscard]] synthfs::SynthNodePtr make_io(const OnVcpu& vcpu, synthfs::ErrorSink errors);

}  // namespace ennead::srv
