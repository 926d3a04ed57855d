// SPDX-License-Identifier: MIT
// Registers that only keep what is written: the DMA page registers 80h…8Fh, of which 80h shows POST
// codes.
#pragma once

#include <array>

#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Up to 16 ports, width 1. Port 80h also is where drivers write to let a microsecond pass; here
// that costs nothing. vCPU thread only.
class ScratchPorts final : public Device {
  public:
    static constexpr unsigned kCount = 16;

    void reset() { bytes_ = {}; }
    u32 read(u64 offset, unsigned) override { return bytes_[offset % kCount]; }
    void write(u64 offset, unsigned, u32 value) override {
        bytes_[offset % kCount] = static_cast<u8>(value);
    }

  private:
    std::array<u8, kCount> bytes_{};
};

}  // namespace ennead::vmcore
