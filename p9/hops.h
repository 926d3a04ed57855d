// SPDX-License-Identifier: MIT
// How many servers have passed a request on: said in the user's name of an attach, which means
// nothing else in 9P2000.L, where users are numbers. Servers that know nothing of it take it for a
// name.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace ennead::p9 {

inline constexpr std::string_view kHopsName = "ennead ";

[[nodiscard]] inline std::string hops_name(unsigned hops) {
    return std::string(kHopsName) + std::to_string(hops);
}

// 0 for any other name.
[[nodiscard]] inline unsigned hops_in(std::string_view uname) {
    unsigned hops = 0;
    if (uname.starts_with(kHopsName)) {
        const std::string_view number = uname.substr(kHopsName.size());
        const auto [end, failure] =
            std::from_chars(number.data(), number.data() + number.size(), hops);
        if (failure != std::errc() || end != number.data() + number.size()) {
            hops = 0;
        }
    }
    return hops;
}

}  // namespace ennead::p9
