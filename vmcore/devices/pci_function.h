// SPDX-License-Identifier: MIT
// What the PCI host bridge asks of a function on bus 0.
#pragma once

#include "vmcore/types.h"

namespace ennead::vmcore {

// vCPU thread only. The function claims and moves its own BAR ranges on the buses when its config
// space is written.
class PciFunction {
  public:
    virtual ~PciFunction() = default;
    // `offset` 0…255, `size` 1, 2 or 4, naturally aligned.
    virtual u32 config_read(unsigned offset, unsigned size) = 0;
    virtual void config_write(unsigned offset, unsigned size, u32 value) = 0;
    virtual void reset() = 0;
};

}  // namespace ennead::vmcore
