// SPDX-License-Identifier: MIT
// Printf-checked helpers over the log function that the machine was given.
#pragma once

#include <cstdarg>
#include <functional>
#include <string_view>
#include <utility>

namespace ennead::vmcore {

enum class LogLevel { error, warn, info, debug, trace };

// Called from the vCPU thread and the I/O thread; must be safe for both.
using LogSink = std::function<void(LogLevel, std::string_view)>;

// A copyable front to a sink. Lines read `dev=pit8254 what=… port=0x43`; what a guest can repeat at
// will must be limited by the caller (LogLimit).
class Log {
  public:
    Log() = default;
    explicit Log(LogSink sink) : sink_(std::move(sink)) {}

    void error(const char* format, ...) const __attribute__((format(printf, 2, 3)));
    void warn(const char* format, ...) const __attribute__((format(printf, 2, 3)));
    void info(const char* format, ...) const __attribute__((format(printf, 2, 3)));
    void debug(const char* format, ...) const __attribute__((format(printf, 2, 3)));

  private:
    void write(LogLevel level, const char* format, std::va_list args) const;
    LogSink sink_;
};

// Lets the first `limit` lines of one kind pass; the guest decides how many would follow.
class LogLimit {
  public:
    explicit LogLimit(unsigned limit) : left_(limit) {}
    [[nodiscard]] bool allow() { return left_ != 0 && left_-- != 0; }

  private:
    unsigned left_;
};

}  // namespace ennead::vmcore
