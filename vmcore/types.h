// SPDX-License-Identifier: MIT
// The integers of the machine, and addresses as types of their own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ennead::vmcore {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

// What the CPU puts on its bus: up to 36 bits with PAE, 32 without.
enum class PhysAddr : u64 {};
// What segmentation yields and paging translates; wraps at 4 GiB.
enum class LinearAddr : u32 {};
enum class Port : u16 {};

// clang-format off
constexpr u64 raw(PhysAddr a) { return static_cast<u64>(a); }
constexpr u32 raw(LinearAddr a) { return static_cast<u32>(a); }
constexpr u16 raw(Port p) { return static_cast<u16>(p); }

constexpr PhysAddr operator+(PhysAddr a, u64 n) { return PhysAddr{raw(a) + n}; }
constexpr LinearAddr operator+(LinearAddr a, u32 n) { return LinearAddr{raw(a) + n}; }
constexpr Port operator+(Port p, u16 n) { return Port{static_cast<u16>(raw(p) + n)}; }
// clang-format on

inline constexpr u32 kPageSize = 4096;
inline constexpr u32 kPageMask = kPageSize - 1;

}  // namespace ennead::vmcore
