// SPDX-License-Identifier: MIT
// The 256 configuration bytes of a chipset function: values, and which bits a guest may change.
#pragma once

#include <array>
#include <cstring>

#include "vmcore/types.h"

namespace ennead::vmcore {

class ConfigSpace {
  public:
    // `writable` has a 1 for each bit that the guest may change.
    void set8(unsigned at, u8 value, u8 writable = 0) {
        bytes_[at] = value;
        writable_[at] = writable;
    }
    void set16(unsigned at, u16 value, u16 writable = 0) { set(at, 2, value, writable); }
    void set32(unsigned at, u32 value, u32 writable = 0) { set(at, 4, value, writable); }

    [[nodiscard]] u8 operator[](unsigned at) const { return bytes_[at]; }
    [[nodiscard]] u32 read(unsigned at, unsigned size) const {
        u32 value = 0;
        if (at < bytes_.size() && size <= bytes_.size() - at) {
            std::memcpy(&value, &bytes_[at], size);
        }
        return value;
    }
    void write(unsigned at, unsigned size, u32 value) {
        for (unsigned i = 0; i < size && at + i < bytes_.size(); i++) {
            const u8 may = writable_[at + i];
            const u8 v = static_cast<u8>(value >> (8 * i));
            bytes_[at + i] = static_cast<u8>((bytes_[at + i] & ~may) | (v & may));
        }
    }

  private:
    void set(unsigned at, unsigned size, u32 value, u32 writable) {
        for (unsigned i = 0; i < size; i++) {
            set8(at + i, static_cast<u8>(value >> (8 * i)), static_cast<u8>(writable >> (8 * i)));
        }
    }
    std::array<u8, 256> bytes_{};
    std::array<u8, 256> writable_{};
};

}  // namespace ennead::vmcore
