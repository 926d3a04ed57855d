// SPDX-License-Identifier: MIT
// The host bridge at 00:00.0: Intel 82441FX, of which a guest sees the shadow RAM switches.
#pragma once

#include <array>
#include <functional>

#include "vmcore/devices/config_space.h"
#include "vmcore/devices/pci_function.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// vCPU thread only.
class I440fx final : public PciFunction {
  public:
    // One programmable piece of 0xc0000…0xfffff: where the CPU's reads and writes go, DRAM (true)
    // or the ROM on the PCI bus (false).
    struct Segment {
        u32 base = 0;
        u32 length = 0;
        bool read_dram = false;
        bool write_dram = false;
        bool operator==(const Segment&) const = default;
    };
    using Segments = std::array<Segment, 13>;
    using SegmentsChanged = std::function<void(const Segments&)>;

    explicit I440fx(SegmentsChanged changed = {});

    u32 config_read(unsigned offset, unsigned size) override { return config_.read(offset, size); }
    void config_write(unsigned offset, unsigned size, u32 value) override;
    void reset() override;

    [[nodiscard]] const Segments& segments() const { return segments_; }
    // Does what firmware would at its end: reads come from DRAM, writes are ignored.
    void shadow_as_firmware();

  private:
    void update_segments();

    SegmentsChanged changed_;
    ConfigSpace config_;
    Segments segments_{};
};

}  // namespace ennead::vmcore
