// SPDX-License-Identifier: MIT
// Comparing a decoded instruction with the code in memory.
#pragma once

#include <emmintrin.h>

#include <array>

#include "vmcore/cpu/decode/insn.h"

namespace ennead::vmcore {

// What begins_with() reads, whatever the instruction's length.
inline constexpr u32 kComparedBytes = 16;

// Reading 16 bytes from 16 - n on gives n bytes of ones, then zeros.
inline constexpr auto kPrefixMask = [] {
    std::array<u8, 32> mask{};
    for (unsigned i = 0; i < 16; ++i) {
        mask[i] = 0xff;
    }
    return mask;
}();

// Whether the 16 readable bytes at `bytes` begin with the instruction; Insn::raw is zero beyond its
// length.
[[nodiscard]] inline bool begins_with(const u8* bytes, const Insn& insn) {
    const auto load = [](const u8* from) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    };
    const __m128i head = _mm_and_si128(load(bytes), load(kPrefixMask.data() + 16 - insn.length));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(head, load(insn.raw.data()))) == 0xffff;
}

}  // namespace ennead::vmcore
