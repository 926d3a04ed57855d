// SPDX-License-Identifier: MIT
// Where this room's log lines go: a function given by the owner, never a global.
#pragma once

#include <functional>
#include <string_view>

namespace ennead::p9 {

enum class LogLevel { error, warn, info, debug, trace };

// Called on the connection's thread; may be empty, and then nothing is logged.
using Log = std::function<void(LogLevel, std::string_view)>;

// One line, cut at 1 KiB. printf's format, checked by the compiler.
[[gnu::format(printf, 3, 4)]] void log_line(const Log& log, LogLevel level, const char* format,
                                            ...);

}  // namespace ennead::p9
