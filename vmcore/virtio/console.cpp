// SPDX-License-Identifier: MIT
// Moves bytes between the console's queues and the outside.
#include "vmcore/virtio/console.h"

#include <algorithm>

namespace ennead::vmcore {
namespace {

constexpr unsigned kReceiveQueue = 0;
constexpr u64 kConfigEmergencyWrite = 8;

}  // namespace

std::size_t VirtioConsole::input(std::span<const u8> bytes) {
    const std::size_t n = std::min(bytes.size(), input_room());
    input_.insert(input_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    deliver();
    return n;
}

void VirtioConsole::resize(u16 columns, u16 rows) {
    const std::array<u8, 4> size{static_cast<u8>(columns), static_cast<u8>(columns >> 8),
                                 static_cast<u8>(rows), static_cast<u8>(rows >> 8)};
    if (std::equal(size.begin(), size.end(), config_.begin())) {
        return;
    }
    std::copy(size.begin(), size.end(), config_.begin());
    if (transport() != nullptr) {
        transport()->config_changed();
    }
}

void VirtioConsole::config_write(u64 offset, unsigned /*size*/, u32 value) {
    // §5.3.4: the low byte of emerg_wr is printed at once, driver or no driver.
    if (offset == kConfigEmergencyWrite) {
        const u8 byte = static_cast<u8>(value);
        output_(std::span(&byte, 1));
    }
}

void VirtioConsole::activated(u64 /*features*/, std::span<Queue* const> queues) {
    receive_ = queues[0];
    transmit_ = queues[1];
}

void VirtioConsole::queue_notified(unsigned n) {
    if (n == kReceiveQueue) {
        deliver();
    } else {
        transmit();
    }
}

void VirtioConsole::deliver() {
    if (receive_ == nullptr) {
        return;
    }
    // A buffer is taken only when there is something to put into it.
    while (!input_.empty() && receive_->pop(chain_)) {
        if (!chain_.readable.empty()) {
            receive_->fail("readable buffer in the receive queue");
            return;
        }
        u32 written = 0;
        for (const auto& part : chain_.writable) {
            const std::size_t n = std::min(part.size(), input_.size());
            const auto end = input_.begin() + static_cast<std::ptrdiff_t>(n);
            std::copy(input_.begin(), end, part.begin());
            input_.erase(input_.begin(), end);
            written += static_cast<u32>(n);
        }
        receive_->push(chain_.head, written);
    }
    receive_->signal();
}

void VirtioConsole::transmit() {
    while (transmit_->pop(chain_)) {
        if (!chain_.writable.empty() || chain_.readable_bytes > kMaxTransmit) {
            transmit_->fail("transmit buffer is writable or too long");
            return;
        }
        for (const auto& part : chain_.readable) {
            output_(part);
        }
        transmit_->push(chain_.head, 0);
    }
    transmit_->signal();
}

}  // namespace ennead::vmcore
