// SPDX-License-Identifier: MIT
// Making faults.
#include "synthfs/fault.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace ennead::synthfs {

Fault make_fault(int errnum, const char* format, ...) {
    std::array<char, 512> text{};
    va_list args;
    va_start(args, format);
    std::vsnprintf(text.data(), text.size(), format, args);
    va_end(args);
    return {errnum, text.data(), {}, {}};
}

Fault fault_of(const std::error_code& code) {
    const int errnum = to_errno(code);
    // Not strerror(): it may share a buffer with other threads of the program.
    const char* text = ::strerrordesc_np(errnum);
    return {errnum, text != nullptr ? text : "unknown error", {}, {}};
}

}  // namespace ennead::synthfs
