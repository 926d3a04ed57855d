// SPDX-License-Identifier: MIT
// Two writers on one terminal: what a guest prints, and whole lines from elsewhere that must not
// tear it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "vmcore/devices/clock.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Puts lines between those of a terminal's output. A line waits until that output is at the start
// of a line, but no longer than kPatienceNs of machine time: a prompt ends no line. Then the
// output's line is ended for it. vCPU thread only.
class LineMixer {
  public:
    // SeaBIOS keeps the last character of a line back until its clock ticks the next time, 55 ms.
    static constexpr u64 kPatienceNs = 500'000'000;
    // With more than this waiting nothing waits longer.
    static constexpr std::size_t kMaxWaiting = 64 * 1024;

    // `output` is given everything, in order.
    LineMixer(TimerQueue& timers, std::function<void(std::span<const u8>)> output);

    // What the guest prints: goes out at once, byte by byte as it is.
    void print(std::span<const u8> bytes);
    // A line, without its end.
    void add_line(std::string_view line);
    // Nothing more comes: what waits goes out now.
    void flush();

  private:
    // Where in a control sequence of the terminal (ECMA-48 §5.4) the output is: it moves no text.
    enum class Sequence : u8 { none, escape, parameters };

    void follow(u8 byte);
    void send_waiting();

    TimerQueue& timers_;
    const std::function<void(std::span<const u8>)> output_;
    Timer patience_;
    Sequence sequence_ = Sequence::none;
    bool inside_line_ = false;
    std::string waiting_;  // whole lines, with their ends
};

}  // namespace ennead::vmcore
