// SPDX-License-Identifier: MIT
// What every operation of the tree returns: a value, or an errno in std::generic_category.
#pragma once

#include <boost/outcome/std_result.hpp>
#include <cerrno>
#include <system_error>

namespace ennead::synthfs {

// The tree's public errors are errno values (vm(4), ERRORS), so this room needs no enum of its own.
template <class T = void>
using Result = BOOST_OUTCOME_V2_NAMESPACE::std_result<T>;

// `errnum` is a positive errno value, 1…511: FUSE wedges the caller on anything larger.
[[nodiscard]] inline std::error_code error(int errnum) {
    return {errnum, std::generic_category()};
}

[[nodiscard]] inline auto success() {
    return BOOST_OUTCOME_V2_NAMESPACE::success();
}

// The errno that stands for `code`, whatever category it came from; EIO if nothing fits.
[[nodiscard]] inline int to_errno(const std::error_code& code) {
    if (code.category() == std::generic_category() || code.category() == std::system_category()) {
        return code.value() > 0 && code.value() < 512 ? code.value() : EIO;
    }
    const auto condition = code.default_error_condition();
    return condition.category() == std::generic_category() && condition.value() > 0 ? condition.value()
                                                                                   : EIO;
}

}  // namespace ennead::synthfs
