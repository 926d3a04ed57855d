// SPDX-License-Identifier: MIT
// What linear addresses lead to in a case's address spaces as it begins, and where its page tables
// say so.
#pragma once

#include <optional>
#include <vector>

#include "tests/fuzz/case.h"
#include "tests/fuzz/image.h"

namespace ennead::vmcore::fuzz {

// Bits of entries, SDM vol 3A, tables 4-5, 4-6, 4-9 to 4-11.
namespace entry {
inline constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
                     kDirty = 1u << 6, kLarge = 1u << 7, kGlobal = 1u << 8,
                     kExecuteDisable = u64{1} << 63;
inline constexpr u64 kRights = kPresent | kWritable | kUser;
inline constexpr u64 kFrame = 0xfffff000;
// What a global page has been used for, the entry of another space need not show: nothing is left
// to show.
inline constexpr u64 kUsedGlobal = kGlobal | kAccessed | kDirty;
}  // namespace entry

// A page that is to the case what its linear address says: stack, code, data, tables of the system.
[[nodiscard]] bool has_contents(u32 linear);
// Code that differs between address spaces, or is an alias, and data: pages whose entries programs
// change.
[[nodiscard]] bool is_changeable(u32 linear);

class AddressSpaces {
  public:
    explicit AddressSpaces(const Case& c);

    [[nodiscard]] bool paging() const { return case_.paging != PagingKind::off; }
    [[nodiscard]] unsigned count() const { return paging() ? case_.spaces : 1; }
    // The CR3 of a space, and the space of a CR3.
    [[nodiscard]] static u32 root(unsigned space) { return place::kTables + space * kSpaceBytes; }
    [[nodiscard]] std::optional<unsigned> space_of(u32 cr3) const;

    // The entry for a small page of the space; 0 if it has none.
    [[nodiscard]] u64 entry_of(unsigned space, u32 linear) const;
    // What the page leads to, present or not; without paging itself.
    [[nodiscard]] u32 frame(unsigned space, u32 linear) const;
    // The physical address of a small page's entry, of the entry above it, and of the page
    // directory pointer (PAE).
    [[nodiscard]] std::optional<u32> leaf(unsigned space, u32 linear) const;
    [[nodiscard]] u32 directory_entry(unsigned space, u32 linear) const;
    [[nodiscard]] u32 pointer_entry(unsigned space, u32 linear) const;
    [[nodiscard]] u32 entry_size() const { return pae() ? 8 : 4; }
    [[nodiscard]] u32 large_size() const { return pae() ? 0x200000 : 0x400000; }

    // What kind of table a page of kTables … kTablesEnd is.
    enum class Level { none, pages, directory, pointers };
    [[nodiscard]] Level level_of(u32 physical) const;

    void write_tables(Image& image) const;
    // The small pages that any space has an entry for.
    [[nodiscard]] std::vector<u32> small_pages() const;
    // The large ones of the space.
    [[nodiscard]] std::vector<Mapping> large_pages(unsigned space) const;
    // The frames that programs know, each once.
    [[nodiscard]] const std::vector<u32>& frames() const { return frames_; }
    // Those among them that code is in.
    [[nodiscard]] const std::vector<u32>& code_frames() const { return code_frames_; }

    static constexpr u32 kMostTables = 4;  // of small pages

  private:
    static constexpr u32 kSpaceBytes = 0xa000;  // root, directories of PAE, tables of pages
    static constexpr u32 kFirstTable = 5;

    [[nodiscard]] bool pae() const { return case_.paging == PagingKind::pae; }
    [[nodiscard]] bool large() const {
        return case_.paging == PagingKind::pae || case_.paging == PagingKind::large;
    }
    [[nodiscard]] u32 slot(u32 linear) const { return linear / large_size(); }
    [[nodiscard]] const Mapping* find(unsigned space, u32 linear) const;
    [[nodiscard]] u32 plain_frame(unsigned space, u32 linear) const;
    [[nodiscard]] u64 plain_entry(unsigned space, u32 linear) const;
    void put(Image& image, u32 at, u64 value) const;

    const Case& case_;
    std::vector<u32> slots_;  // that have tables of small pages
    std::vector<u32> frames_, code_frames_;
};

}  // namespace ennead::vmcore::fuzz
