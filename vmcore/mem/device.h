// SPDX-License-Identifier: MIT
// What a device shows to a bus: registers at offsets.
#pragma once

#include "vmcore/types.h"

namespace ennead::vmcore {

// Called on the vCPU thread only. A register access cannot fail: what the device does not know
// reads all ones and ignores writes, as on a PC.
class Device {
  public:
    virtual ~Device() = default;
    // `size` is 1, 2 or 4 bytes, never more than the width the range was added with; `offset` is
    // counted from the start of the range and the access lies inside it. Values are little-endian
    // and zero-extended.
    virtual u32 read(u64 offset, unsigned size) = 0;
    virtual void write(u64 offset, unsigned size, u32 value) = 0;
};

}  // namespace ennead::vmcore
