// SPDX-License-Identifier: MIT
// Result and the room's errors: what the host or a user did wrong (a guest's faults are GuestFault
// values).
#pragma once

#include <boost/outcome/std_result.hpp>
#include <string>
#include <system_error>

namespace ennead::vmcore {

template <class T = void>
using Result = BOOST_OUTCOME_V2_NAMESPACE::std_result<T>;

[[nodiscard]] inline auto success() {
    return BOOST_OUTCOME_V2_NAMESPACE::success();
}

enum class Error {
    range_overlap = 1,  // two devices claim one address                        EEXIST
    bad_memory_size,    // RAM size not a multiple of a page, or out of range   EINVAL
    unknown_kernel,     // the kernel image is of no format that can be booted  ENOEXEC
    image_too_large,    // an image does not fit into the guest's RAM           ENOMEM
    bad_value,          // a register or setting out of range                   EINVAL
    unmapped_address,   // no RAM behind a physical or linear address           EFAULT
    wrong_state,        // not possible while running, or while stopped         EBUSY
};

const std::error_category& error_category();
[[nodiscard]] std::error_code make_error_code(Error e);

}  // namespace ennead::vmcore

template <>
struct std::is_error_code_enum<ennead::vmcore::Error> : std::true_type {};
