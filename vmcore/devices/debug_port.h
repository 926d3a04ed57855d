// SPDX-License-Identifier: MIT
// The debug console at port 402h, to which SeaBIOS writes its messages.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// One port, width 1. vCPU thread only.
class DebugPort final : public Device {
  public:
    // What a read gives, by which firmware knows that somebody listens.
    static constexpr u8 kPresent = 0xe9;
    // A longer line is handed over in pieces.
    static constexpr std::size_t kMaxLine = 256;

    // `line` is called with each line, without its end.
    explicit DebugPort(std::function<void(std::string_view)> line) : line_(std::move(line)) {}

    void reset() { flush(); }
    // Hands over a line that was not ended.
    void flush();

    u32 read(u64, unsigned) override { return kPresent; }
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    std::function<void(std::string_view)> line_;
    std::string text_;
};

}  // namespace ennead::vmcore
