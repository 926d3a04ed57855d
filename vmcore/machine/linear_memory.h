// SPDX-License-Identifier: MIT
// Memory by linear address, for who looks at a machine from outside.
#pragma once

#include <span>

#include "vmcore/cpu/mmu/mmu.h"
#include "vmcore/result.h"

namespace ennead::vmcore {

// Translated as CR0, CR3 and CR4 stand, whatever a page's rights; no accessed or dirty bit is set
// and no device is touched. `address` may be beyond 4 GiB, where nothing is. vCPU thread only.

// How many bytes were read: those before the first that is not RAM or ROM. unmapped_address if
// there is none.
[[nodiscard]] Result<std::size_t> read_linear(Mmu& mmu, u64 address, std::span<u8> into);
// All of them, or unmapped_address: one is not RAM, or is RAM that writes do not reach.
Result<> write_linear(Mmu& mmu, u64 address, std::span<const u8> bytes);

}  // namespace ennead::vmcore
