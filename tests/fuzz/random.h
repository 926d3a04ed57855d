// SPDX-License-Identifier: MIT
// Random choices that a seed repeats on every host.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>

#include "vmcore/types.h"

namespace ennead::vmcore::fuzz {

class Random {
  public:
    explicit Random(u64 seed) : state_(seed) {}

    u64 next() {  // splitmix64
        u64 z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    u32 word() { return static_cast<u32>(next() >> 32); }
    u32 below(u32 limit) { return static_cast<u32>(u64{word()} * limit >> 32); }
    u32 between(u32 first, u32 last) { return first + below(last - first + 1); }
    bool chance(u32 percent) { return below(100) < percent; }
    template <class T>
    T pick(std::initializer_list<T> from) {
        return from.begin()[below(static_cast<u32>(from.size()))];
    }

    // A number as programs have them: small, near a power of two, or anything.
    u32 value() {
        switch (below(8)) {
            case 0:
                return below(4);
            case 1:
                return 0u - below(4);
            case 2:
                return (u32{1} << below(32)) - below(3);
            case 3:
                return below(0x100);
            case 4:
                return pick({0x7fffu, 0x8000u, 0xffffu, 0x10000u, 0x7fffffffu, 0x80000000u, 0x7fu,
                             0x80u, 0xffu, 0x100u});
            default:
                return word();
        }
    }

  private:
    u64 state_;
};

}  // namespace ennead::vmcore::fuzz
