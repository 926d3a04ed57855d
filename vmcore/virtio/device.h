// SPDX-License-Identifier: MIT
// What a virtio device must answer, and what its transport does for it.
#pragma once

#include <span>

#include "vmcore/types.h"
#include "vmcore/virtio/queue.h"

namespace ennead::vmcore {

// The transport as a device sees it. vCPU thread only.
class VirtioTransport {
  public:
    virtual ~VirtioTransport() = default;
    // The device changed its config space: the driver is told.
    virtual void config_changed() = 0;
    // The driver broke the rules: the device stops until it is reset.
    virtual void broken(const char* what) = 0;
};

// A device's life: reset() → features and queues are negotiated by the transport → activated() →
// queue_notified()… → reset(). vCPU thread only.
//
// A device that finds its driver at fault says so with Queue::fail(); the transport then stops all
// queues.
class VirtioDevice {
  public:
    virtual ~VirtioDevice() = default;

    // For log lines and ranges: "virtio-rng".
    [[nodiscard]] virtual const char* name() const = 0;
    // virtio 1.2 §5, device ID.
    [[nodiscard]] virtual u16 id() const = 0;
    // Device-specific feature bits offered; the transport adds its own.
    [[nodiscard]] virtual u64 features() const { return 0; }
    // The largest size of each queue, a power of two up to 1024; as many as the device has queues.
    [[nodiscard]] virtual std::span<const u16> queue_sizes() const = 0;
    // The device-specific configuration as it is now; its length never changes.
    [[nodiscard]] virtual std::span<const u8> config() const { return {}; }
    // The driver writes to the configuration; `size` is 1, 2 or 4 and lies inside.
    virtual void config_write(u64 /*offset*/, unsigned /*size*/, u32 /*value*/) {}

    // The driver is ready. A queue that it left disabled is null. The queues live until reset().
    virtual void activated(u64 features, std::span<Queue* const> queues) = 0;
    // Queue `n` (one that was not null) may have new buffers. Also called once for each right after
    // activated().
    virtual void queue_notified(unsigned n) = 0;
    // Forget the queues and everything that belongs to the driver.
    virtual void reset() = 0;

    // Called once by the transport, which outlives every later call.
    void attach(VirtioTransport* transport) { transport_ = transport; }

  protected:
    [[nodiscard]] VirtioTransport* transport() const { return transport_; }

  private:
    VirtioTransport* transport_ = nullptr;
};

}  // namespace ennead::vmcore
