// SPDX-License-Identifier: MIT
// The one place that says how each arithmetic flag is computed (SDM vol 1 §3.4.3.1 and appendix A).
#pragma once

#include <concepts>
#include <limits>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::flags {

// Operands are u8, u16 or u32. Where the SDM leaves a flag undefined the choice is named at the
// function; it is what current hardware does, as far as parts agree.
template <class T>
inline constexpr unsigned kBits = std::numeric_limits<T>::digits;

template <std::unsigned_integral T>
constexpr u32 top_bit(T value) {
    return static_cast<u32>(value >> (kBits<T> - 1)) & 1;
}

constexpr u32 kCfBit = 0, kPfBit = 2, kAfBit = 4, kZfBit = 6, kSfBit = 7, kOfBit = 11;

// PF looks at the low byte only.
template <std::unsigned_integral T>
constexpr u32 sign_zero_parity(T result) {
    const u32 even = (static_cast<u32>(__builtin_parity(static_cast<u8>(result))) ^ 1) & 1;
    return (even << kPfBit) | (u32{result == 0} << kZfBit) | (top_bit(result) << kSfBit);
}

// AND, OR, XOR, TEST: CF and OF are cleared; AF, undefined, too.
template <std::unsigned_integral T>
constexpr u32 logic(T result) {
    return sign_zero_parity(result);
}

// a + b + carry = result. The carry chain out of every bit is (a & b) | ((a | b) & ~result).
template <std::unsigned_integral T>
constexpr u32 add(T a, T b, T result) {
    const T carries = static_cast<T>((a & b) | ((a | b) & ~result));
    const T overflows = static_cast<T>((a ^ result) & (b ^ result));
    return sign_zero_parity(result) | (top_bit(carries) << kCfBit) |
           ((a ^ b ^ result) & eflags::kAf) | (top_bit(overflows) << kOfBit);
}

// a - b - borrow = result.
template <std::unsigned_integral T>
constexpr u32 sub(T a, T b, T result) {
    const T borrows = static_cast<T>((~a & b) | ((~a | b) & result));
    const T overflows = static_cast<T>((a ^ b) & (a ^ result));
    return sign_zero_parity(result) | (top_bit(borrows) << kCfBit) |
           ((a ^ b ^ result) & eflags::kAf) | (top_bit(overflows) << kOfBit);
}

// INC and DEC leave CF alone: it has to be merged in by the caller (SDM vol 2A, INC).
template <std::unsigned_integral T>
constexpr u32 inc_but_cf(T result) {
    return sign_zero_parity(result) | (u32{(result & 0xf) == 0} << kAfBit) |
           (u32{result == static_cast<T>(T{1} << (kBits<T> - 1))} << kOfBit);
}
template <std::unsigned_integral T>
constexpr u32 dec_but_cf(T result) {
    return sign_zero_parity(result) | (u32{(result & 0xf) == 0xf} << kAfBit) |
           (u32{result == static_cast<T>((T{1} << (kBits<T> - 1)) - 1)} << kOfBit);
}

// Shifts by a masked count other than 0; `carry` is the last bit shifted out. OF is defined for a
// count of 1 only; the formulas go on for greater counts, as hardware does. AF, undefined, is
// cleared. Left: OF says that the top bit differs from the carry.
template <std::unsigned_integral T>
constexpr u32 shift_left(T result, u32 carry) {
    return sign_zero_parity(result) | (carry << kCfBit) | ((top_bit(result) ^ carry) << kOfBit);
}
// Right: OF says that the two top bits of the result differ; for SHR by 1 that is the operand's
// sign, for SAR 0.
template <std::unsigned_integral T>
constexpr u32 top_two_differ(T result) {
    return top_bit(static_cast<T>(result ^ (result << 1)));
}
template <std::unsigned_integral T>
constexpr u32 shift_right(T result, u32 carry) {
    return sign_zero_parity(result) | (carry << kCfBit) | (top_two_differ(result) << kOfBit);
}
template <std::unsigned_integral T>
constexpr u32 shift_arithmetic(T result, u32 carry) {
    return sign_zero_parity(result) | (carry << kCfBit);
}

// Rotates touch only CF and OF.
inline constexpr u32 kRotate = eflags::kCf | eflags::kOf;
template <std::unsigned_integral T>
constexpr u32 rotate_left(T result, u32 carry) {
    return (carry << kCfBit) | ((top_bit(result) ^ carry) << kOfBit);
}
template <std::unsigned_integral T>
constexpr u32 rotate_right(T result, u32 carry) {
    return (carry << kCfBit) | (top_two_differ(result) << kOfBit);
}

// MUL and IMUL: CF = OF = the product does not fit the lower half. SF, ZF, AF, PF, undefined, stay
// as they are.
inline constexpr u32 kMultiply = eflags::kCf | eflags::kOf;
constexpr u32 multiply(bool overflows) {
    return overflows ? kMultiply : 0;
}

// BSF and BSR: ZF says that the source is zero. The others are undefined: PF follows the result,
// the rest is cleared.
constexpr u32 bit_scan(u32 source, u32 result) {
    return (sign_zero_parity(static_cast<u8>(source == 0 ? 0 : result)) & eflags::kPf) |
           (u32{source == 0} << kZfBit);
}

// Puts `bits` in place of those of `mask`.
inline void merge(u32& eflags, u32 mask, u32 bits) {
    eflags = (eflags & ~mask) | bits;
}

}  // namespace ennead::vmcore::flags
