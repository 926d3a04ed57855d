// SPDX-License-Identifier: MIT
// The virtio entropy device (virtio 1.2 §5.4).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "vmcore/virtio/device.h"

namespace ennead::vmcore {

class VirtioRng : public VirtioDevice {
  public:
    // Fills the whole span with random bytes; called on the vCPU thread.
    using Source = std::function<void(std::span<u8>)>;

    // Without a source the host's getrandom() is asked.
    explicit VirtioRng(Source source = {});

    // Most bytes given for one request; the driver sees from the used length that there were no
    // more.
    static constexpr u32 kMaxRequest = 64 * 1024;

    [[nodiscard]] const char* name() const override { return "virtio-rng"; }
    [[nodiscard]] u16 id() const override { return 4; }
    [[nodiscard]] std::span<const u16> queue_sizes() const override { return kQueueSizes; }
    void activated(u64 features, std::span<Queue* const> queues) override;
    void queue_notified(unsigned n) override;
    void reset() override { queue_ = nullptr; }

  private:
    static constexpr u16 kQueueSizes[] = {64};

    Source source_;
    Queue* queue_ = nullptr;
    Chain chain_;
};

// The same bytes for the same seed, in whatever pieces they are asked for: those of the numbers of
// std::mt19937_64, low byte first. For repetition, not for secrets.
[[nodiscard]] VirtioRng::Source seeded_bytes(u64 seed);

}  // namespace ennead::vmcore
