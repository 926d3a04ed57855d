// SPDX-License-Identifier: MIT
// Formats log lines and hands them to the sink.
#include "vmcore/log.h"

#include <algorithm>
#include <cstdio>

namespace ennead::vmcore {

void Log::write(LogLevel level, const char* format, std::va_list args) const {
    if (!sink_) {
        return;
    }
    char line[512];
    const int n = std::vsnprintf(line, sizeof line, format, args);
    if (n >= 0) {
        sink_(level, std::string_view(line, std::min<std::size_t>(n, sizeof line - 1)));
    }
}

// clang-format off
void Log::error(const char* format, ...) const { std::va_list a; va_start(a, format); write(LogLevel::error, format, a); va_end(a); }
void Log::warn(const char* format, ...) const { std::va_list a; va_start(a, format); write(LogLevel::warn, format, a); va_end(a); }
void Log::info(const char* format, ...) const { std::va_list a; va_start(a, format); write(LogLevel::info, format, a); va_end(a); }
void Log::debug(const char* format, ...) const { std::va_list a; va_start(a, format); write(LogLevel::debug, format, a); va_end(a); }
// clang-format on

}  // namespace ennead::vmcore
