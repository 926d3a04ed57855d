// SPDX-License-Identifier: MIT
// Bytes to Insn: prefixes, opcode, ModRM, SIB, displacement, immediates.
#pragma once

#include <span>

#include "vmcore/cpu/decode/insn.h"

namespace ennead::vmcore {

// CS.D: the default operand and address size.
enum class CodeSize : u8 { bits16 = 2, bits32 = 4 };

enum class DecodeStatus {
    ok,
    need_more,  // the bytes are a proper beginning: fetch at least one more
    too_long,   // more than 15 bytes: #GP(0)
};

inline constexpr unsigned kMaxInsnLength = 15;

// Decodes the instruction that `bytes` start with; bytes beyond it are not looked at, so the answer
// for a longer span is the same. Encodings that are no instruction of this CPU give Op::ud with the
// length they would have. `insn` is complete only if the answer is ok.
[[nodiscard]] DecodeStatus decode(std::span<const u8> bytes, CodeSize size, Insn& insn);

}  // namespace ennead::vmcore
