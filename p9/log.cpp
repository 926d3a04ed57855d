// SPDX-License-Identifier: MIT
// Formats this room's log lines.
#include "p9/log.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace ennead::p9 {

void log_line(const Log& log, LogLevel level, const char* format, ...) {
    if (!log) {
        return;
    }
    std::array<char, 1024> line;
    std::va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    if (length > 0) {
        log(level, {line.data(), std::min<std::size_t>(length, line.size() - 1)});
    }
}

}  // namespace ennead::p9
