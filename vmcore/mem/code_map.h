// SPDX-License-Identifier: MIT
// Which bytes of guest RAM an engine has made something from, so that it hears when they change.
#pragma once

#include <algorithm>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

// One bit for each 64 bytes: 64 of them are a page. vCPU thread only.
class CodeMap {
  public:
    static constexpr u32 kGranule = 64;

    explicit CodeMap(u64 ram_bytes) : pages_(ram_bytes / kPageSize) {}

    // Ranges must lie inside RAM; `length` is at least 1.
    void mark(PhysAddr address, u64 length) {
        for_each_page(address, length, [&](u64 page, u64 bits) {
            pages_[page] |= bits;
            return false;
        });
    }
    void clear(PhysAddr page) { pages_[raw(page) / kPageSize] = 0; }

    [[nodiscard]] bool touches(PhysAddr address, u64 length) const {
        return for_each_page(address, length,
                             [&](u64 page, u64 bits) { return (pages_[page] & bits) != 0; });
    }
    [[nodiscard]] bool page_marked(PhysAddr address) const {
        return pages_[raw(address) / kPageSize] != 0;
    }

  private:
    // Calls `visit(page, bits)` until it says true.
    template <class Visit>
    static bool for_each_page(PhysAddr address, u64 length, Visit visit) {
        for (u64 at = raw(address), end = at + length; at < end;) {
            const u64 page_end = (at | kPageMask) + 1;
            const u64 last = std::min(end, page_end) - 1;
            const u64 low = (at & kPageMask) / kGranule, high = (last & kPageMask) / kGranule;
            const u64 bits = (~u64{0} << low) & (~u64{0} >> (63 - high));
            if (visit(at / kPageSize, bits)) {
                return true;
            }
            at = page_end;
        }
        return false;
    }

    std::vector<u64> pages_;
};

}  // namespace ennead::vmcore
