// SPDX-License-Identifier: MIT
// Gathers the bytes of the debug console into lines.
#include "vmcore/devices/debug_port.h"

namespace ennead::vmcore {

void DebugPort::flush() {
    if (!text_.empty() && line_) {
        line_(text_);
    }
    text_.clear();
}

void DebugPort::write(u64, unsigned, u32 value) {
    const char c = static_cast<char>(value);
    if (c == '\n') {
        flush();
        return;
    }
    // A log is read on terminals: the guest shall not send them control sequences.
    const bool printable = static_cast<u8>(c) >= 0x20 && static_cast<u8>(c) < 0x7f;
    if (c != '\r') {
        text_.push_back(printable || c == '\t' ? c : '?');
    }
    if (text_.size() >= kMaxLine) {
        flush();
    }
}

}  // namespace ennead::vmcore
