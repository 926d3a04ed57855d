// SPDX-License-Identifier: MIT
// Where this room's log lines go: a plain function given by the owner.
#pragma once

#include <functional>
#include <string_view>

namespace ennead::synthfs {

enum class LogLevel { error, warn, info, debug, trace };

// One line without its newline. An empty sink is allowed and drops everything.
using LogSink = std::function<void(LogLevel, std::string_view)>;

// Formats as printf(3) and hands the line to `sink`.
[[gnu::format(printf, 3, 4)]] void log_line(const LogSink& sink, LogLevel level, const char* format,
                                            ...);

}  // namespace ennead::synthfs
