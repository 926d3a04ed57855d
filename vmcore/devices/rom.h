// SPDX-License-Identifier: MIT
// Read-only memory on a bus: firmware.
#pragma once

#include <cstring>
#include <span>

#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Width 4. `contents` must outlive it, and the range be no longer than they are. vCPU thread only.
class Rom final : public Device {
  public:
    explicit Rom(std::span<const u8> contents) : contents_(contents) {}

    u32 read(u64 offset, unsigned size) override {
        u32 value = 0;
        std::memcpy(&value, contents_.data() + offset, size);
        return value;
    }
    void write(u64, unsigned, u32) override {}

  private:
    std::span<const u8> contents_;
};

}  // namespace ennead::vmcore
