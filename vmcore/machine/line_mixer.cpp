// SPDX-License-Identifier: MIT
// Finds out where the output's lines begin, and lets others in there.
#include "vmcore/machine/line_mixer.h"

#include <utility>

namespace ennead::vmcore {
namespace {

std::span<const u8> as_bytes(std::string_view text) {
    return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

constexpr u8 kEscape = 0x1b;

}  // namespace

LineMixer::LineMixer(TimerQueue& timers, std::function<void(std::span<const u8>)> output)
    : timers_(timers), output_(std::move(output)), patience_(timers, [this] { flush(); }) {}

void LineMixer::print(std::span<const u8> bytes) {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < bytes.size(); i++) {
        // What moves the cursor or clears the screen ends a line too.
        if (bytes[i] == kEscape && !waiting_.empty() && sequence_ == Sequence::none) {
            output_(bytes.subspan(begin, i - begin));
            begin = i;
            flush();
        }
        follow(bytes[i]);
        if (!waiting_.empty() && !inside_line_ && sequence_ == Sequence::none) {
            output_(bytes.subspan(begin, i + 1 - begin));
            begin = i + 1;
            send_waiting();
        }
    }
    if (begin != bytes.size()) {
        output_(bytes.subspan(begin));
    }
}

void LineMixer::add_line(std::string_view line) {
    const bool first = waiting_.empty();
    waiting_.append(line).append("\r\n");
    if (!inside_line_ && sequence_ == Sequence::none) {
        send_waiting();
    } else if (waiting_.size() > kMaxWaiting) {
        flush();
    } else if (first) {
        patience_.arm_at_ns(timers_.now_ns() + kPatienceNs);
    }
}

void LineMixer::flush() {
    if (waiting_.empty()) {
        return;
    }
    if (inside_line_) {
        output_(as_bytes("\r\n"));
        inside_line_ = false;
    }
    send_waiting();
}

void LineMixer::follow(u8 byte) {
    constexpr u8 kFirstFinal = 0x40, kLastFinal = 0x7e;
    switch (sequence_) {
        case Sequence::escape:
            sequence_ = byte == '[' ? Sequence::parameters : Sequence::none;
            return;
        case Sequence::parameters:
            if (byte >= kFirstFinal && byte <= kLastFinal) {
                sequence_ = Sequence::none;
            }
            return;
        case Sequence::none:
            break;
    }
    if (byte == kEscape) {
        sequence_ = Sequence::escape;
    } else if (byte == '\n') {
        inside_line_ = false;
    } else if (byte != '\r') {
        inside_line_ = true;
    }
}

void LineMixer::send_waiting() {
    patience_.cancel();
    output_(as_bytes(std::exchange(waiting_, {})));
}

}  // namespace ennead::vmcore
