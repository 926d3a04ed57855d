// SPDX-License-Identifier: MIT
// Records of a trace as the lines of `trace`.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "vmcore/cpu/interp/tracer.h"

namespace ennead::vmcore {

// `microseconds instructions kind …`, as vm(4) has it, with its newline. `message` puts a 9P frame
// into words.
[[nodiscard]] std::string trace_text(
    const TraceRecord& record,
    const std::function<std::string(std::span<const std::byte>)>& message);

}  // namespace ennead::vmcore
