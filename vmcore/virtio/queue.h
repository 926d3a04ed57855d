// SPDX-License-Identifier: MIT
// A split virtqueue: QueueConfig while the driver sets it up, Queue once it runs (virtio 1.2 §2.7).
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "vmcore/mem/guest_ram.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

inline constexpr u64 kVirtioFIndirectDesc = u64{1} << 28;
inline constexpr u64 kVirtioFEventIdx = u64{1} << 29;
inline constexpr u64 kVirtioFVersion1 = u64{1} << 32;
// Stands for "no MSI-X vector" (virtio 1.2 §4.1.5.1.2).
inline constexpr u16 kVirtioNoVector = 0xffff;

// What the driver writes before it enables a queue; nothing in it is to be believed.
struct QueueConfig {
    u16 max_size = 0;  // the device's; a power of two
    u16 size = 0;
    u16 msix_vector = kVirtioNoVector;
    bool enabled = false;
    PhysAddr descriptors{0};  // descriptor area: 16 bytes an entry, aligned to 16
    PhysAddr driver{0};       // available ring: 6 + 2 bytes an entry, aligned to 2
    PhysAddr device{0};       // used ring: 6 + 8 bytes an entry, aligned to 4

    // Why no queue can run with these values; null if one can.
    [[nodiscard]] const char* defect(GuestRam& ram) const;
};

// One request: the buffers of a descriptor chain, in the driver's order, all inside guest RAM. The
// guest may change their contents at any time: fetch what is to be checked once, then check the
// copy.
struct Chain {
    u16 head = 0;
    std::vector<std::span<const u8>> readable;
    std::vector<std::span<u8>> writable;
    u64 readable_bytes = 0;
    u64 writable_bytes = 0;

    // Appends the readable bytes to `out`, at most so many; gives what is left of them.
    std::vector<std::span<const u8>> gather(
        std::vector<std::byte>& out,
        std::size_t most = std::numeric_limits<std::size_t>::max()) const;
    // Copies to the writable bytes from `offset` on; gives how many found room.
    std::size_t scatter(std::span<const std::byte> bytes, u64 offset = 0) const;
};

// vCPU thread only; but the rings are shared with a driver that may run on any thread, so indices
// are accessed atomically and every field of the guest's is read once.
class Queue {
  public:
    // The most descriptors in one chain, those of an indirect table included. A direct chain cannot
    // be longer than the queue (§2.7.5); an indirect one is held to the largest queue this bound
    // stands for.
    static constexpr unsigned kMaxChain = 1024;

    struct Hooks {
        std::function<void()> interrupt;  // the driver wants to hear of used buffers
        std::function<void(const char*)>
            broken;  // the driver broke the rules; the queue has stopped
    };

    // `config.defect()` must be null; `features` are those negotiated.
    Queue(const QueueConfig& config, GuestRam& ram, u64 features, Hooks hooks);

    // Takes the next available chain; false if there is none or the queue has stopped. When there
    // is none the driver is asked to notify again.
    [[nodiscard]] bool pop(Chain& chain);
    // Gives a chain back with `written` bytes in its writable part, and tells GuestRam of them.
    // signal() must follow, once for a batch.
    void push(const Chain& chain, u32 written);
    // Tells GuestRam that any of the chain's writable bytes may have changed.
    void scribbled(const Chain& chain);
    // Interrupts the driver if it wants that for what was pushed since the last call.
    void signal();

    // Reports a driver that broke the device's own rules.
    void fail(const char* what);
    // No more chains; pushes are ignored.
    void stop() { stopped_ = true; }
    [[nodiscard]] bool stopped() const { return stopped_; }
    [[nodiscard]] u16 size() const { return size_; }
    // Popped and not yet pushed.
    [[nodiscard]] unsigned in_flight() const { return in_flight_; }

  private:
    struct Descriptor {
        u64 address;
        u32 length;
        u16 flags;
        u16 next;
    };
    static_assert(sizeof(Descriptor) == 16);

    [[nodiscard]] const char* collect(u16 head, Chain& chain);
    [[nodiscard]] const char* add_buffer(const Descriptor& descriptor, unsigned count,
                                         Chain& chain);
    [[nodiscard]] const char* enter_indirect(const Descriptor& descriptor,
                                             std::span<const u8>& table) const;
    [[nodiscard]] u16 waiting();

    GuestRam& ram_;
    const Hooks hooks_;
    const u16 size_;
    const bool event_idx_;
    const bool indirect_;
    u8* const descriptors_;
    u8* const available_;
    u8* const used_;
    u16 next_available_ = 0;
    u16 next_used_ = 0;
    u16 signalled_used_ = 0;  // next_used_ at the last signal()
    unsigned in_flight_ = 0;
    bool stopped_ = false;
};

}  // namespace ennead::vmcore
