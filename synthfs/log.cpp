// SPDX-License-Identifier: MIT
// Formatting of log lines.
#include "synthfs/log.h"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace ennead::synthfs {

void log_line(const LogSink& sink, LogLevel level, const char* format, ...) {
    if (!sink) {
        return;
    }
    std::array<char, 1024> line{};
    va_list args;
    va_start(args, format);
    std::vsnprintf(line.data(), line.size(), format, args);
    va_end(args);
    sink(level, line.data());
}

}  // namespace ennead::synthfs
