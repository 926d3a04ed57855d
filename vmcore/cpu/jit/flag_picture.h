// SPDX-License-Identifier: MIT
// The arithmetic flags as emitted code keeps them (JitContext::flags), and EFLAGS.
#pragma once

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// What of them LAHF gives; SETO gives the rest.
inline constexpr u32 kPictureByLahf =
    eflags::kSf | eflags::kZf | eflags::kAf | eflags::kPf | eflags::kCf;

inline u32 from_picture(u32 picture) {
    return (picture >> 8 & kPictureByLahf) | ((picture & 1) != 0 ? eflags::kOf : 0);
}
inline u32 to_picture(u32 flags) {
    return (flags & kPictureByLahf) << 8 | ((flags & eflags::kOf) != 0 ? 1 : 0);
}

}  // namespace ennead::vmcore::jit
