// SPDX-License-Identifier: MIT
// One flat table of translations: an entry for every linear page, quick to look up from emitted
// code and quick to flush.
#pragma once

#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

// Holds only pages of plain RAM (or ROM, for reading): what is not in the table takes the slow way,
// so a table that was never filled is always right. vCPU thread only.
//
// An entry is 0 (not known), or the distance from a linear address in the page to its byte in host
// memory. A table may carry a tag in the low bits of its entries (the distance is a multiple of the
// page size), so that even the low half of a valid entry is never 0.
class FlatTable {
  public:
    static constexpr u32 kEntries = 1u << 20;

    // `entries`: kEntries zeros, which the caller keeps.
    FlatTable(u64* entries, u64 tag) : entries_(entries), tag_(tag) {}

    // The host address of the byte at `address`, or null.
    [[nodiscard]] u8* find(LinearAddr address) const {
        const u64 entry = entries_[raw(address) / kPageSize];
        return entry == 0 ? nullptr : reinterpret_cast<u8*>(entry - tag_ + raw(address));
    }
    // The entry that says that the page of `address` is at `host`.
    [[nodiscard]] u64 entry_for(LinearAddr address, const u8* host) const {
        return reinterpret_cast<u64>(host) - (raw(address) & ~kPageMask) + tag_;
    }

    // `host` is the start of the page. A global page survives flush_local() (SDM vol 3A §4.10.2.4).
    void fill(LinearAddr address, const u8* host, bool global) {
        const u32 page = raw(address) / kPageSize;
        if (entries_[page] == 0) {
            std::vector<u32>& list = global ? global_ : local_;
            // Pages that were dropped one by one are still listed.
            if (list.size() >= kListLimit) {
                flush(list);
            }
            list.push_back(page);
        }
        entries_[page] = entry_for(address, host);
    }

    void drop(LinearAddr address) { entries_[raw(address) / kPageSize] = 0; }

    // Every page of the 4 MiB that hold `address`.
    void drop_4m(LinearAddr address) {
        u64* const first = entries_ + (raw(address) >> 22 << 10);
        for (u32 n = 0; n < 1024; ++n) {
            if (first[n] != 0) {  // what was never touched stays a zero page of the host
                first[n] = 0;
            }
        }
    }

    // Every linear page that is translated to the page at `host`.
    void drop_host(const u8* host) {
        for (const std::vector<u32>* list : {&local_, &global_}) {
            for (const u32 page : *list) {
                if (entries_[page] == entry_for(LinearAddr{page * kPageSize}, host)) {
                    entries_[page] = 0;
                }
            }
        }
    }

    void flush_local() { flush(local_); }
    void flush_all() {
        flush(local_);
        flush(global_);
    }

  private:
    static constexpr std::size_t kListLimit = 1u << 16;

    void flush(std::vector<u32>& list) {
        for (const u32 page : list) {
            entries_[page] = 0;
        }
        list.clear();
    }

    u64* entries_;
    u64 tag_;
    std::vector<u32> local_, global_;  // the pages filled since the last flush
};

}  // namespace ennead::vmcore
