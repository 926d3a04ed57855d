// SPDX-License-Identifier: MIT
// The pages of RAM that cases have a use for, as they are when a case begins. All others are zeros.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/fuzz/case.h"

namespace ennead::vmcore::fuzz {

class Image {
  public:
    Image() : bytes_(place::kLowEnd + place::kRam - place::kHigh) {}

    // Calls `visit(physical)` for each of its pages.
    template <class Visit>
    static void for_each_page(Visit visit) {
        for (u32 page = 0; page < place::kLowEnd; page += kPageSize) {
            visit(page);
        }
        for (u32 page = place::kHigh; page < place::kRam; page += kPageSize) {
            visit(page);
        }
    }
    [[nodiscard]] static bool has(u32 physical) {
        return physical < place::kLowEnd || (physical >= place::kHigh && physical < place::kRam);
    }

    // Good up to the page's end.
    [[nodiscard]] u8* at(u32 physical) { return bytes_.data() + index(physical); }
    [[nodiscard]] const u8* at(u32 physical) const { return bytes_.data() + index(physical); }
    template <class T>
    void put(u32 physical, T value) {
        std::memcpy(at(physical), &value, sizeof(T));
    }
    [[nodiscard]] bool same_page(u32 page, const u8* other) const {
        return std::memcmp(at(page), other, kPageSize) == 0;
    }

  private:
    static u32 index(u32 physical) {
        return physical < place::kLowEnd ? physical : physical - place::kHigh + place::kLowEnd;
    }

    std::vector<u8> bytes_;
};

}  // namespace ennead::vmcore::fuzz
