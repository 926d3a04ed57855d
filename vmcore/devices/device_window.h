// SPDX-License-Identifier: MIT
// Lends one register range of a chip to a bus, for chips that sit at several places.
#pragma once

#include "vmcore/mem/device.h"

namespace ennead::vmcore {

// The `size` low bytes of a value, as Device::read must give them.
constexpr u32 low_bytes(u32 value, unsigned size) {
    return size >= 4 ? value : value & ((1u << (8 * size)) - 1);
}

// Forwards to two member functions of `Owner`, which must outlive the window.
template <class Owner>
class DeviceWindow final : public Device {
  public:
    using Read = u32 (Owner::*)(u64 offset, unsigned size);
    using Write = void (Owner::*)(u64 offset, unsigned size, u32 value);

    DeviceWindow(Owner& owner, Read on_read, Write on_write)
        : owner_(owner), read_(on_read), write_(on_write) {}

    u32 read(u64 offset, unsigned size) override { return (owner_.*read_)(offset, size); }
    void write(u64 offset, unsigned size, u32 value) override {
        (owner_.*write_)(offset, size, value);
    }

  private:
    Owner& owner_;
    Read read_;
    Write write_;
};

}  // namespace ennead::vmcore
