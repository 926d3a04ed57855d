// SPDX-License-Identifier: MIT
// The register file by name: what `regs` shows and takes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/result.h"

namespace ennead::vmcore {

// One `name 0x…` line each, in a fixed order: eax…edi eip eflags, es…gs ldtr tr (selector, .base
// .limit .attr), gdtr idtr (.base .limit), cr0 cr2 cr3 cr4, dr0…dr3 dr6 dr7, tsc, then `cpl n` and
// `mode word`.
[[nodiscard]] std::string registers_text(const Cpu& cpu);

// All of them or none. bad_value: no such register (cpl and mode follow from others and are not
// set), or a value that the register cannot hold. `fault_index`, if given, is set to the assignment
// at fault. A halted CPU whose EIP or CS base becomes another one goes on there, as with debuggers;
// what is written back as it was leaves it halted.
Result<> set_registers(Cpu& cpu, const std::vector<std::pair<std::string, u64>>& assignments,
                       std::size_t* fault_index = nullptr);

}  // namespace ennead::vmcore
