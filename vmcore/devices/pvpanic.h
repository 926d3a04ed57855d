// SPDX-License-Identifier: MIT
// The port through which a guest's kernel says that it panicked (pvpanic device specification, as
// QEMU publishes it in docs/specs/pvpanic).
#pragma once

#include <functional>
#include <utility>

#include "vmcore/log.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// One port, width 1; a read gives the events that may be written. vCPU thread only.
class PvPanic final : public Device {
  public:
    static constexpr u16 kPort = 0x505;
    // "The guest has panicked and the host should handle it."
    static constexpr u8 kPanicked = 1u << 0;
    // "The guest has panicked, and will handle it itself" by a crash kernel that it has loaded.
    static constexpr u8 kCrashLoaded = 1u << 1;

    explicit PvPanic(std::function<void()> panicked, Log log = {})
        : panicked_(std::move(panicked)), log_(std::move(log)) {}

    u32 read(u64, unsigned) override { return kPanicked | kCrashLoaded; }
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    std::function<void()> panicked_;
    Log log_;
    LogLimit event_log_{4};
};

}  // namespace ennead::vmcore
