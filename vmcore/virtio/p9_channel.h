// SPDX-License-Identifier: MIT
// The virtio 9P transport: hands request bytes out and takes replies back, knowing nothing of 9P.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmcore/virtio/device.h"

namespace ennead::vmcore {

// One request of the guest's.
struct P9Request {
    u64 id = 0;  // never used again, not even after a reset
    // Its beginning, copied out of the guest's memory once: all of it, up to kMaxCopied bytes.
    std::vector<std::byte> bytes;
    // What follows, where the guest put it; to be used until submit() returns. The guest may change
    // it meanwhile.
    std::vector<std::span<const u8>> rest;
    std::size_t reply_capacity = 0;  // bytes of room for the reply; at least 1
    // That room, in guest memory. It may be written until submit() returns: complete_in_place()
    // then tells that the reply is there, scribbled() that there is something else. Later it may
    // not.
    std::span<const std::span<u8>> reply_places;
};

// vCPU thread only. The server runs elsewhere: submit() posts the request to it, and its answer is
// posted back and ends in complete().
class P9Channel : public VirtioDevice {
  public:
    // More than the fields of any message take with names of the usual length.
    static constexpr std::size_t kMaxCopied = 8192;

    struct Hooks {
        // A request; must not wait. complete() may be called from inside.
        std::function<void(P9Request)> submit;
        // The driver let go of the device: whatever it had open is gone, answers to earlier
        // requests are no longer wanted.
        std::function<void()> reset;
    };

    // `mount_tag` is what the guest mounts by: 1…4094 bytes. `max_request` bounds a request's bytes
    // (the largest msize offered, and some slack).
    P9Channel(std::string mount_tag, std::size_t max_request, Hooks hooks);

    // Answers a request, in any order. An id from before a reset is dropped silently. A reply must
    // fit into the request's reply_capacity; if it does not, the device stops as if the driver were
    // at fault.
    void complete(u64 id, std::span<const std::byte> reply);
    // The same for a reply whose `size` bytes are in the request's reply_places.
    void complete_in_place(u64 id, std::size_t size);
    // The request's reply_places were written, and the reply comes another way.
    void scribbled(u64 id);
    // The server found a request that is not 9P: the device stops until the driver resets it.
    void disconnect(const char* why);
    // Hears of the frames that go in and out, on the vCPU thread.
    struct Tap {
        std::function<bool()> on;  // whether anybody listens now
        std::function<void(std::span<const std::byte> frame)> frame;
    };
    void set_tap(Tap tap) { tap_ = std::move(tap); }
    // Requests submitted and not yet completed.
    [[nodiscard]] std::size_t pending() const { return pending_.size(); }

    [[nodiscard]] const char* name() const override { return "virtio-9p"; }
    [[nodiscard]] u16 id() const override { return 9; }
    [[nodiscard]] u64 features() const override { return kFeatureMountTag; }
    [[nodiscard]] std::span<const u16> queue_sizes() const override { return kQueueSizes; }
    [[nodiscard]] std::span<const u8> config() const override { return config_; }
    void activated(u64 features, std::span<Queue* const> queues) override;
    void queue_notified(unsigned n) override;
    void reset() override;

  private:
    [[nodiscard]] std::optional<Chain> take(u64 id, std::size_t reply_size);
    [[nodiscard]] bool tapped() const { return tap_.on && tap_.on(); }
    template <class Byte>
    void tell_tap(std::span<const std::span<Byte>> parts, std::size_t size);

    static constexpr u64 kFeatureMountTag = 1u << 0;
    // Linux keeps 128 scatter-gather entries for a request and more than one request in the ring.
    static constexpr u16 kQueueSizes[] = {256};

    std::vector<u8> config_;  // u16 length of the tag, the tag
    const std::size_t max_request_;
    const Hooks hooks_;
    Tap tap_;
    Queue* queue_ = nullptr;
    std::map<u64, Chain> pending_;
    u64 next_id_ = 1;
};

}  // namespace ennead::vmcore
