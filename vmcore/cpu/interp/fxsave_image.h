// SPDX-License-Identifier: MIT
// The image that FXSAVE makes of the x87, MMX and SSE state (SDM vol 1 §10.5, table 10-2).
#pragma once

#include <array>
#include <cstring>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::fxsave {

// Where things are in the image, in bytes. Beyond the XMM registers FXSAVE writes nothing.
inline constexpr u32 kControl = 0, kStatus = 2, kTags = 4, kOpcode = 6, kInstruction = 8,
                     kInstructionSelector = 12, kOperand = 16, kOperandSelector = 20, kMxcsr = 24,
                     kMxcsrMask = 28, kRegisters = 32, kXmm = 160, kEnd = 288, kSize = 512;
inline constexpr u32 kRegisterStride = 16;

template <std::size_t kBytes>
struct Image {
    std::array<u8, kBytes> bytes{};

    template <class T>
    void put(u32 at, T value) {
        std::memcpy(bytes.data() + at, &value, sizeof(T));
    }
    template <class T>
    [[nodiscard]] T get(u32 at) const {
        T value;
        std::memcpy(&value, bytes.data() + at, sizeof(T));
        return value;
    }
};

[[nodiscard]] Image<kEnd> image_of(const CpuState& state);
// The x87's part. `pointers`: where the last instruction and its operand were, too.
void get_x87(X87State& x87, const Image<kSize>& image, bool pointers);

}  // namespace ennead::vmcore::fxsave
