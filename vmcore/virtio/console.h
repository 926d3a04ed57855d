// SPDX-License-Identifier: MIT
// The virtio console with one port, which a multiport driver opens before it listens (virtio 1.2
// §5.3).
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <span>
#include <utility>

#include "vmcore/virtio/device.h"

namespace ennead::vmcore {

// vCPU thread only.
class VirtioConsole : public VirtioDevice {
  public:
    // What the guest prints; the span lies in guest memory and is valid during the call only.
    using Output = std::function<void(std::span<const u8>)>;

    explicit VirtioConsole(Output output) : output_(std::move(output)) {}

    static constexpr std::size_t kInputLimit = 64 * 1024;
    // A longer transmit buffer can only be meant to keep the vCPU thread busy.
    static constexpr u64 kMaxTransmit = 1024 * 1024;

    // Queues bytes for the guest, in one piece with nothing between them, and gives how many were
    // taken (0 if the queue is full). They wait for a driver if there is none yet, also across
    // resets, and for a multiport driver to open the port.
    std::size_t input(std::span<const u8> bytes);
    [[nodiscard]] std::size_t input_room() const { return kInputLimit - input_.size(); }
    // Drops what the guest has not taken.
    void clear_input() { input_.clear(); }
    // Whether a driver has taken the port over.
    [[nodiscard]] bool driver_ready() const { return receive_ != nullptr && !receive_->stopped(); }
    // Whether input given now is kept by the guest. Linux throws away what comes before its console
    // is set up. A multiport driver then opens the port; of another one it is known only that it
    // listens once it prints.
    [[nodiscard]] bool listening() const {
        return driver_ready() && (multiport_ ? guest_open_ : transmitted_);
    }
    // Takes the port away from a multiport driver, and gives it another: the terminal hangs up, and
    // what was not taken of the input is dropped. Does nothing while the driver has no port; one
    // that is not multiport knows no such thing.
    void hang_up();
    // The size of the terminal, in characters; the driver is told.
    void resize(u16 columns, u16 rows);

    [[nodiscard]] const char* name() const override { return "virtio-console"; }
    [[nodiscard]] u16 id() const override { return 3; }
    [[nodiscard]] u64 features() const override {
        return kFeatureSize | kFeatureMultiport | kFeatureEmergencyWrite;
    }
    [[nodiscard]] std::span<const u16> queue_sizes() const override { return kQueueSizes; }
    [[nodiscard]] std::span<const u8> config() const override { return config_; }
    void config_write(u64 offset, unsigned size, u32 value) override;
    void activated(u64 features, std::span<Queue* const> queues) override;
    void queue_notified(unsigned n) override;
    void reset() override;

  private:
    static constexpr u64 kFeatureSize = 1u << 0;
    static constexpr u64 kFeatureMultiport = 1u << 1;
    static constexpr u64 kFeatureEmergencyWrite = 1u << 2;
    // receiveq and transmitq of port 0, control receiveq and control transmitq. Linux fills a
    // receive queue with a page for each entry.
    static constexpr u16 kQueueSizes[] = {128, 128, 32, 32};

    // §5.3.6.2, the event of a control message.
    enum class Event : u16 {
        device_ready = 0,
        port_add = 1,
        port_remove = 2,
        port_ready = 3,
        console_port = 4,
        resize = 5,
        port_open = 6,
    };
    struct Control {
        u32 port;
        u16 event;
        u16 value;
    };

    void deliver();
    void transmit();
    void tell(Event event);
    void deliver_control();
    void receive_control();
    void control(const Control& message);

    Output output_;
    std::deque<u8> input_;
    // cols, rows, max_nr_ports, emerg_wr; 80 × 24 until told otherwise.
    std::array<u8, 12> config_{80, 0, 24, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    Queue* receive_ = nullptr;
    Queue* transmit_ = nullptr;
    // Null also if the driver has enabled them but not negotiated MULTIPORT.
    Queue* control_receive_ = nullptr;
    Queue* control_transmit_ = nullptr;
    Chain chain_;

    bool multiport_ = false;    // negotiated
    bool transmitted_ = false;  // the driver has sent a byte
    bool port_added_ = false;   // the driver was told of port 0, or knows it
    bool port_ready_ = false;
    bool guest_open_ = false;
    // What the driver is still to be told; each event at most once, so no driver can make it grow.
    std::deque<Event> untold_;
};

}  // namespace ennead::vmcore
