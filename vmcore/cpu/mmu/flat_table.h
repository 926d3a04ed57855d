// SPDX-License-Identifier: MIT
// The flat tables of translations: an entry for every linear page, quick to look up from emitted
// code and quick to flush.
#pragma once

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

// An array that costs the host nothing until it is touched.
struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Zeros = std::unique_ptr<T, Free>;
template <class T>
Zeros<T> zeros(u64 count) {
    auto* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return Zeros<T>(memory);
}

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

  private:
    friend class FlatTables;  // which knows what is filled
    u64* entries_;
    u64 tag_;
};

// All tables of a CPU, with a byte for each linear page that says which of them know it: so a page
// is dropped, and pages are flushed, without a look at tables that have nothing of them.
class FlatTables {
  public:
    static constexpr unsigned kCount = 6;

    explicit FlatTables(const std::array<FlatTable, kCount>& tables)
        : tables_(tables), filled_(zeros<u8>(FlatTable::kEntries)) {}

    [[nodiscard]] const FlatTable& operator[](unsigned index) const { return tables_[index]; }

    // The page of `address` is at `host`, for the tables whose bits are set. A global page survives
    // flush_local() (SDM vol 3A §4.10.2.4).
    void fill(LinearAddr address, const u8* host, unsigned tables, bool global) {
        const u32 page = raw(address) / kPageSize;
        const u8 listed = global ? kGlobal : kLocal;
        u8& filled = filled_.get()[page];
        if ((filled & listed) == 0) {
            (global ? global_ : local_).push_back(page);
        }
        filled |= static_cast<u8>(tables | listed);
        for (unsigned left = tables; left != 0; left &= left - 1) {
            const FlatTable& table = tables_[static_cast<unsigned>(std::countr_zero(left))];
            table.entries_[page] = table.entry_for(address, host);
        }
    }

    // Whether a table knows any of the eight pages, aligned, that `address` is in.
    [[nodiscard]] bool knows_any(LinearAddr address, unsigned table) const {
        u64 eight = 0;
        std::memcpy(&eight, filled_.get() + (raw(address) / kPageSize & ~7u), sizeof eight);
        return (eight & (u64{0x0101010101010101} << table)) != 0;
    }

    void drop(LinearAddr address) { drop_page(raw(address) / kPageSize); }

    // Every page of the 4 MiB that hold `address`.
    void drop_4m(LinearAddr address) {
        const u32 first = raw(address) >> 22 << 10;
        for (u32 n = 0; n < 1024; ++n) {
            drop_page(first + n);
        }
    }

    // Every linear page that the tables whose bits are set translate to the page at `host`.
    void drop_host(const u8* host, unsigned tables) {
        for (const std::vector<u32>* list : {&local_, &global_}) {
            for (const u32 page : *list) {
                drop_host_at(LinearAddr{page * kPageSize}, host, tables);
            }
        }
    }
    // The same for one linear page.
    void drop_host_at(LinearAddr address, const u8* host, unsigned tables) {
        const u32 page = raw(address) / kPageSize;
        u8& filled = filled_.get()[page];
        for (unsigned left = tables & filled; left != 0; left &= left - 1) {
            const auto index = static_cast<unsigned>(std::countr_zero(left));
            u64& entry = tables_[index].entries_[page];
            if (entry == tables_[index].entry_for(address, host)) {
                entry = 0;
                filled &= static_cast<u8>(~(1u << index));
            }
        }
    }

    void flush_local() { flush(local_, kLocal); }
    void flush_all() {
        flush(local_, kLocal);
        flush(global_, kGlobal);
    }

  private:
    // Bits of a page's byte: one for each table, and in which of the lists it is. A page that was
    // dropped stays listed.
    static constexpr u8 kTables = (1u << kCount) - 1, kLocal = 1u << 6, kGlobal = 1u << 7;

    void drop_page(u32 page) {
        u8& filled = filled_.get()[page];
        for (unsigned left = filled & kTables; left != 0; left &= left - 1) {
            tables_[static_cast<unsigned>(std::countr_zero(left))].entries_[page] = 0;
        }
        filled &= static_cast<u8>(~kTables);
    }

    void flush(std::vector<u32>& list, u8 listed) {
        for (const u32 page : list) {
            drop_page(page);
            filled_.get()[page] &= static_cast<u8>(~listed);
        }
        list.clear();
    }

    std::array<FlatTable, kCount> tables_;
    Zeros<u8> filled_;
    std::vector<u32> local_, global_;  // the pages filled since the last flush, each once
};

}  // namespace ennead::vmcore
