// SPDX-License-Identifier: MIT
#include "tests/fuzz/address_spaces.h"

#include <algorithm>

namespace ennead::vmcore::fuzz {

using namespace place;

bool has_contents(u32 linear) {
    const u32 page = linear & ~kPageMask;
    return (page >= kGdt && page < kStackEnd) || (page >= kCode && page < kCodeEnd) ||
           (page >= kData && page < kReadOnly + kPageSize);
}

bool is_changeable(u32 linear) {
    const u32 page = linear & ~kPageMask;
    return (page >= kFunctions && page < kCodeEnd) ||
           (page >= kData + 0x2000 && page <= kReadOnly) ||
           (page >= kSpecialReadOnly && page <= kDataAlias) || page >= kLowEnd;
}

AddressSpaces::AddressSpaces(const Case& c) : case_(c), slots_{0} {
    const auto add = [](std::vector<u32>& list, u32 value) {
        if (std::ranges::find(list, value) == list.end()) {
            list.push_back(value);
        }
    };
    for (const Mapping& each : case_.mappings) {
        if (!each.large && slots_.size() < kMostTables) {
            add(slots_, slot(each.linear));
        }
    }
    for (unsigned space = 0; space < count(); ++space) {
        for (u32 page = 0; page < kDataEnd + 0x2000; page += kPageSize) {
            const bool code = (page >= kCode && page < kCodeEnd) || page == kHandlers;
            if (has_contents(page)) {
                add(frames_, frame(space, page));
            }
            if (code) {
                add(code_frames_, frame(space, page));
            }
        }
    }
    if (paging()) {
        for (const Mapping& each : case_.mappings) {
            if (!each.large) {
                add(frames_, static_cast<u32>(each.entry & entry::kFrame));
            }
        }
    }
}

std::optional<unsigned> AddressSpaces::space_of(u32 cr3) const {
    constexpr u32 kBits = 0x1f;  // what is no address
    for (unsigned space = 0; space < count(); ++space) {
        if ((cr3 & ~kBits) == root(space)) {
            return space;
        }
    }
    return std::nullopt;
}

// The last that says something of the page.
const Mapping* AddressSpaces::find(unsigned space, u32 linear) const {
    const Mapping* found = nullptr;
    for (const Mapping& each : case_.mappings) {
        if (!each.large && each.linear == (linear & ~kPageMask) &&
            (each.spaces >> space & 1) != 0) {
            found = &each;
        }
    }
    return found;
}

u32 AddressSpaces::plain_frame(unsigned space, u32 linear) const {
    const u32 page = linear & ~kPageMask;
    switch (page) {
        case kSpecialReadOnly:
            return 0x28000;
        case kAbsent:
        case kSpecial - 0x1000:
        case kData - 0x1000:
        case kLast + 0x1000:
        case kStackEnd:
        case kSupervisor:
            return 0x29000;
        case kDataAlias:
            return kData;
        case kCodeAlias:
        case kCodeAlias + 0x1000:
            return kCode + page - kCodeAlias;
        case kDevice:
            return kDevicePhysical;
        case kFunctions:
            return space != 0 ? kOtherCode : page;
        case kData + 0x1000:
            return space != 0 ? kOtherData : page;
        default:
            return page;
    }
}

u64 AddressSpaces::plain_entry(unsigned space, u32 linear) const {
    const u32 page = linear & ~kPageMask;
    if (page >= kLowEnd) {
        return 0;
    }
    u64 rights = entry::kRights;
    switch (page) {
        case kSpecialReadOnly:
        case kReadOnly:
            rights = entry::kPresent | entry::kUser;
            break;
        case kAbsent:
        case kSpecial - 0x1000:
        case kData - 0x1000:
        case kLast + 0x1000:
        case kStackEnd:
            rights = entry::kWritable | entry::kUser;
            break;
        case kSupervisor:
            rights = entry::kPresent | entry::kWritable;
            break;
        default: {
            const bool table = page >= kTables && page < kTablesEnd;
            if (table || (page < kStack && page != (kFrame & ~kPageMask))) {
                rights = entry::kPresent | entry::kWritable;
            }
            break;
        }
    }
    // Global pages are the same in all spaces for ever, or translations would be stale.
    if (case_.global && (page & 0x1000) != 0 && page != kData + 0x1000 && !is_changeable(page)) {
        rights |= entry::kUsedGlobal;
    }
    return plain_frame(space, page) | rights;
}

u64 AddressSpaces::entry_of(unsigned space, u32 linear) const {
    if (std::ranges::find(slots_, slot(linear)) == slots_.end()) {
        return 0;
    }
    const Mapping* const found = find(space, linear);
    const u64 value = found != nullptr ? found->entry : plain_entry(space, linear);
    return pae() ? value : value & 0xffffffff;
}

u32 AddressSpaces::frame(unsigned space, u32 linear) const {
    return paging() ? static_cast<u32>(entry_of(space, linear) & entry::kFrame)
                    : linear & ~kPageMask;
}

std::optional<u32> AddressSpaces::leaf(unsigned space, u32 linear) const {
    const auto known = std::ranges::find(slots_, slot(linear));
    if (!paging() || known == slots_.end()) {
        return std::nullopt;
    }
    const u32 table =
        root(space) + (kFirstTable + static_cast<u32>(known - slots_.begin())) * kPageSize;
    return table + linear % large_size() / kPageSize * entry_size();
}

u32 AddressSpaces::directory_entry(unsigned space, u32 linear) const {
    return pae() ? root(space) + (1 + (linear >> 30)) * kPageSize + (linear >> 21 & 0x1ff) * 8
                 : root(space) + (linear >> 22) * 4;
}

u32 AddressSpaces::pointer_entry(unsigned space, u32 linear) const {
    return root(space) + (linear >> 30) * 8;
}

AddressSpaces::Level AddressSpaces::level_of(u32 physical) const {
    if (physical < kTables || physical >= root(count())) {
        return Level::none;
    }
    const u32 number = (physical - kTables) % kSpaceBytes / kPageSize;
    if (number >= kFirstTable) {
        return Level::pages;
    }
    if (number == 0) {
        return pae() ? Level::pointers : Level::directory;
    }
    return pae() ? Level::directory : Level::none;
}

void AddressSpaces::put(Image& image, u32 at, u64 value) const {
    if (pae()) {
        image.put(at, value);
    } else {
        image.put(at, static_cast<u32>(value));
    }
}

void AddressSpaces::write_tables(Image& image) const {
    for (unsigned space = 0; space < count(); ++space) {
        if (pae()) {
            for (u32 n = 0; n < 4; ++n) {
                image.put(root(space) + n * 8, u64{root(space) + (n + 1) * kPageSize} | 1);
            }
        }
        for (u32 n = 0; n < slots_.size(); ++n) {
            const u32 table = root(space) + (kFirstTable + n) * kPageSize;
            put(image, directory_entry(space, slots_[n] * large_size()),
                table | (n == 0 ? u64{entry::kRights | entry::kAccessed} : case_.table_rights[n]));
        }
        for (const Mapping& each : large_pages(space)) {
            put(image, directory_entry(space, each.linear), each.entry | entry::kLarge);
        }
        for (const u32 page : small_pages()) {
            put(image, *leaf(space, page), entry_of(space, page));
        }
    }
}

std::vector<u32> AddressSpaces::small_pages() const {
    std::vector<u32> pages;
    for (u32 page = 0; page < kLowEnd; page += kPageSize) {
        pages.push_back(page);
    }
    for (const Mapping& each : case_.mappings) {
        if (!each.large && each.linear >= kLowEnd &&
            std::ranges::find(slots_, slot(each.linear)) != slots_.end() &&
            std::ranges::find(pages, each.linear) == pages.end()) {
            pages.push_back(each.linear);
        }
    }
    return pages;
}

// Where there are tables of small pages they come first.
std::vector<Mapping> AddressSpaces::large_pages(unsigned space) const {
    std::vector<Mapping> pages;
    if (!paging() || !large()) {
        return pages;
    }
    const auto add = [&](Mapping page) {
        page.linear &= ~(large_size() - 1);
        if (std::ranges::find(slots_, slot(page.linear)) == slots_.end()) {
            std::erase_if(pages, [&](const Mapping& each) { return each.linear == page.linear; });
            pages.push_back(page);
        }
    };
    add({.linear = kLargeAlias, .entry = entry::kRights, .large = true});
    for (const Mapping& each : case_.mappings) {
        if (each.large && (each.spaces >> space & 1) != 0) {
            Mapping page = each;
            page.entry &= pae() ? ~u64{0} : 0xffffffff;
            add(page);
        }
    }
    return pages;
}

}  // namespace ennead::vmcore::fuzz
