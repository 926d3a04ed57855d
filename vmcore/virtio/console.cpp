// SPDX-License-Identifier: MIT
// Moves bytes between the console's queues and the outside, and tells a multiport driver of port 0.
#include "vmcore/virtio/console.h"

#include <algorithm>
#include <cstring>

namespace ennead::vmcore {
namespace {

// §5.3.2.
enum QueueIndex : unsigned {
    kReceiveQueue = 0,
    kTransmitQueue = 1,
    kControlReceiveQueue = 2,
    kControlTransmitQueue = 3,
};

constexpr u64 kConfigEmergencyWrite = 8;
constexpr u32 kPort = 0;  // the only one

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
    if (port_ready_) {
        tell(Event::resize);
    }
}

void VirtioConsole::hang_up() {
    if (!port_ready_) {
        return;
    }
    clear_input();
    port_ready_ = guest_open_ = false;
    untold_.clear();
    tell(Event::port_remove);
    tell(Event::port_add);
}

void VirtioConsole::config_write(u64 offset, unsigned /*size*/, u32 value) {
    // §5.3.4: the low byte of emerg_wr is printed at once, driver or no driver.
    if (offset == kConfigEmergencyWrite) {
        const u8 byte = static_cast<u8>(value);
        output_(std::span(&byte, 1));
    }
}

void VirtioConsole::activated(u64 features, std::span<Queue* const> queues) {
    receive_ = queues[kReceiveQueue];
    transmit_ = queues[kTransmitQueue];
    multiport_ = (features & kFeatureMultiport) != 0;
    if (multiport_) {
        control_receive_ = queues[kControlReceiveQueue];
        control_transmit_ = queues[kControlTransmitQueue];
    }
}

void VirtioConsole::reset() {
    receive_ = transmit_ = control_receive_ = control_transmit_ = nullptr;
    multiport_ = transmitted_ = port_added_ = port_ready_ = guest_open_ = false;
    untold_.clear();
}

void VirtioConsole::queue_notified(unsigned n) {
    switch (n) {
        case kReceiveQueue:
            deliver();
            break;
        case kTransmitQueue:
            transmit();
            break;
        case kControlReceiveQueue:
            deliver_control();
            break;
        default:
            receive_control();
            break;
    }
}

void VirtioConsole::deliver() {
    if (receive_ == nullptr || (multiport_ && !guest_open_)) {
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
        receive_->push(chain_, written);
    }
    receive_->signal();
}

void VirtioConsole::transmit() {
    while (transmit_->pop(chain_)) {
        if (!chain_.writable.empty() || chain_.readable_bytes > kMaxTransmit) {
            transmit_->fail("transmit buffer is writable or too long");
            return;
        }
        transmitted_ = true;
        for (const auto& part : chain_.readable) {
            output_(part);
        }
        transmit_->push(chain_, 0);
    }
    transmit_->signal();
}

// --- Control messages, §5.3.6.2 ---

void VirtioConsole::tell(Event event) {
    if (std::find(untold_.begin(), untold_.end(), event) == untold_.end()) {
        untold_.push_back(event);
    }
    deliver_control();
}

void VirtioConsole::deliver_control() {
    if (control_receive_ == nullptr) {
        return;
    }
    while (!untold_.empty() && control_receive_->pop(chain_)) {
        const Event event = untold_.front();
        const Control header{.port = kPort, .event = static_cast<u16>(event), .value = 1};
        std::array<std::byte, sizeof header + 4> message;
        std::memcpy(message.data(), &header, sizeof header);
        std::size_t length = sizeof header;
        if (event == Event::resize) {
            // cols and rows as the configuration has them: what is told is never out of date.
            std::memcpy(message.data() + length, config_.data(), 4);
            length += 4;
        }
        if (!chain_.readable.empty() || chain_.writable_bytes < length) {
            control_receive_->fail("control receive buffer is readable or too short");
            return;
        }
        chain_.scatter(std::span(message).first(length));
        control_receive_->push(chain_, static_cast<u32>(length));
        untold_.pop_front();
    }
    control_receive_->signal();
}

void VirtioConsole::receive_control() {
    if (control_transmit_ == nullptr) {
        return;
    }
    while (control_transmit_->pop(chain_)) {
        Control message;
        if (!chain_.writable.empty() || chain_.readable_bytes < sizeof message) {
            control_transmit_->fail("control message is writable or too short");
            return;
        }
        auto* const to = reinterpret_cast<u8*>(&message);
        std::size_t have = 0;
        for (const auto& part : chain_.readable) {
            const std::size_t n = std::min(part.size(), sizeof message - have);
            std::memcpy(to + have, part.data(), n);
            have += n;
        }
        // The answers use chain_ again.
        control_transmit_->push(chain_, 0);
        control(message);
    }
    control_transmit_->signal();
}

void VirtioConsole::control(const Control& message) {
    const Event event{message.event};
    const bool yes = message.value == 1;
    // DEVICE_READY is about no port; its id is unused.
    if (event == Event::device_ready) {
        // §5.3.6.2.1: a port that exists must not be added.
        if (yes && !port_added_) {
            port_added_ = true;
            tell(Event::port_add);
        }
        return;
    }
    if (message.port != kPort) {
        control_transmit_->fail("control message for a port that does not exist");
        return;
    }
    switch (event) {
        case Event::port_ready:
            // Linux that wakes from hibernation says this again without DEVICE_READY.
            port_added_ = port_ready_ = yes;
            if (yes) {
                tell(Event::console_port);
                tell(Event::resize);
                tell(Event::port_open);
            }
            break;
        case Event::port_open:
            guest_open_ = yes;
            deliver();
            break;
        default:
            control_transmit_->fail("control message with an event that no driver sends");
            break;
    }
}

}  // namespace ennead::vmcore
