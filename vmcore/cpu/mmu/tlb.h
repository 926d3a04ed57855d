// SPDX-License-Identifier: MIT
// One direct-mapped table of translations: linear page to host pointer, quick to flush.
#pragma once

#include <array>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

// Holds only pages of plain RAM (or ROM, for reading): what is not in the table takes the slow way,
// so a table that was never filled is always right. vCPU thread only.
class Tlb {
  public:
    static constexpr u32 kEntries = 1024;

    Tlb() {
        local_.reserve(kEntries);
        global_.reserve(kEntries);
    }

    // The host address of the byte at `address`, or null.
    [[nodiscard]] u8* find(LinearAddr address) const {
        const Entry& entry = entries_[slot(address)];
        return entry.tag == (raw(address) & ~kPageMask) ? entry.host + (raw(address) & kPageMask)
                                                        : nullptr;
    }

    // `host` is the start of the page. A global page survives flush_local() (SDM vol 3A §4.10.2.4).
    void fill(LinearAddr address, u8* host, bool global) {
        const u32 index = slot(address);
        Entry& entry = entries_[index];
        entry.tag = raw(address) & ~kPageMask;
        entry.host = host;
        // A slot stands in each list at most once; one that stands in both is merely flushed too
        // often.
        const u32 bit = global ? kInGlobalList : kInLocalList;
        if ((entry.lists & bit) == 0) {
            entry.lists |= bit;
            (global ? global_ : local_).push_back(static_cast<u16>(index));
        }
    }

    void drop(LinearAddr address) {
        Entry& entry = entries_[slot(address)];
        if (entry.tag == (raw(address) & ~kPageMask)) {
            entry.tag = kNoTag;
        }
    }

    // Every page of the 4 MiB that hold `address`.
    void drop_4m(LinearAddr address) {
        const u32 region = raw(address) >> 22;
        for (Entry& entry : entries_) {
            if (entry.tag >> 22 == region) {
                entry.tag = kNoTag;
            }
        }
    }

    void flush_local() { flush(local_, kInLocalList); }
    void flush_all() {
        flush_local();
        flush(global_, kInGlobalList);
    }

  private:
    static constexpr u32 kNoTag = 1;  // a tag's low 12 bits are zero, so this never matches
    static constexpr u32 kInLocalList = 1, kInGlobalList = 2;

    struct Entry {
        u32 tag = kNoTag;
        u32 lists = 0;
        u8* host = nullptr;
    };

    static u32 slot(LinearAddr address) { return (raw(address) / kPageSize) % kEntries; }

    void flush(std::vector<u16>& list, u32 bit) {
        for (const u16 index : list) {
            entries_[index].tag = kNoTag;
            entries_[index].lists &= ~bit;
        }
        list.clear();
    }

    std::array<Entry, kEntries> entries_{};
    std::vector<u16> local_, global_;  // the slots filled since the last flush
};

}  // namespace ennead::vmcore
