// SPDX-License-Identifier: MIT
// Address ranges to devices, for ports and for memory-mapped I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmcore/mem/device.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// One address space of devices. Accesses wider than a range's width are split into accesses of that
// width, low address first, as the PC's bridges do for 8-bit devices; unclaimed bytes read all ones
// and swallow writes. vCPU thread only.
class Bus {
  public:
    struct Range {
        u64 base = 0;
        u64 length = 0;
        unsigned width = 1;  // widest access the device takes: 1, 2 or 4 bytes
        Device* device = nullptr;
        std::string name;
    };

    // `device` must outlive the range. range_overlap if a byte of it is already claimed; the text
    // of what clashes is left in `clash` (if given).
    Result<> add(u64 base, u64 length, unsigned width, Device& device, std::string name,
                 std::string* clash = nullptr);
    // Takes out the range that starts at `base`; does nothing if there is none (a PCI BAR that
    // moves).
    void remove(u64 base);

    // `size` is 1, 2, 4 or 8; the access may cross ranges.
    u64 read(u64 address, unsigned size);
    void write(u64 address, unsigned size, u64 value);

    [[nodiscard]] bool claims(u64 address) const { return find(address) != nullptr; }
    // In address order.
    [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }

  private:
    [[nodiscard]] const Range* find(u64 address) const;
    std::vector<Range> ranges_;  // sorted by base
};

}  // namespace ennead::vmcore
