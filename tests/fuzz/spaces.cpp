// SPDX-License-Identifier: MIT
// Address spaces at random: pages in other frames than their neighbours, several pages at one
// frame, other rights, holes, and large pages among them.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

namespace {

constexpr u8 kAllSpaces = 0xff;

bool is_system(u32 page) {
    return page < kStack;
}
bool is_stack(u32 page) {
    return page >= kStack && page < kStackEnd;
}
bool is_code(u32 page) {
    return page >= kCode && page < kCodeEnd;
}

}  // namespace

void Generator::address_spaces() {
    if (case_.paging == PagingKind::off || random_.chance(25)) {
        return;
    }
    case_.spaces = random_.between(1, kMostSpaces);
    case_.execute_disable = case_.paging == PagingKind::pae && random_.chance(60);
    for (const auto& [first, end] : {std::pair{kTablesEnd, kDevicePhysical},
                                     std::pair{kDevicesEnd, 0xfd000u}, std::pair{kHigh, kRam}}) {
        for (u32 frame = first; frame < end; frame += kPageSize) {
            free_frames_.push_back(frame);
        }
    }
    move_pages();
    share_frames();
    part_spaces();
    for (u32 n = random_.between(1, 4); n != 0; --n) {
        window();
    }
    for (u32 n = random_.below(3); n != 0; --n) {
        large_page();
    }
    for (u64& rights : case_.table_rights) {
        rights = random_.pick({7u, 7u, 7u, 5u, 3u}) | used_bits();
        rights |= case_.execute_disable && random_.chance(10) ? entry::kExecuteDisable : 0;
    }
}

u32 Generator::free_frame() {
    const u32 at = random_.below(static_cast<u32>(free_frames_.size()));
    std::swap(free_frames_[at], free_frames_.back());
    const u32 frame = free_frames_.back();
    free_frames_.pop_back();
    return frame;
}

u64 Generator::used_bits() {
    return random_.chance(60) ? 0 : entry::kAccessed | (random_.chance(50) ? entry::kDirty : 0);
}

// What the page may be used for, mostly as its purpose wants.
u64 Generator::rights_of(u32 page) {
    const u64 all = entry::kRights | used_bits();
    if (is_system(page)) {
        return all & ~(page == kFrame ? 0 : entry::kUser);
    }
    if (is_stack(page)) {
        return case_.user && random_.chance(6)
                   ? all & ~random_.pick({entry::kWritable, entry::kPresent, entry::kUser})
                   : all;
    }
    const u64 never = case_.execute_disable ? entry::kExecuteDisable : 0;
    if (is_code(page)) {
        return (random_.chance(12) ? all & ~random_.pick({entry::kWritable, entry::kWritable,
                                                          entry::kPresent, entry::kUser})
                                   : all) |
               (random_.chance(4) ? never : 0);
    }
    u64 rights = all | (random_.chance(50) ? never : 0);
    if (random_.chance(25)) {
        rights &= ~random_.pick({entry::kWritable, entry::kWritable, entry::kUser, entry::kPresent,
                                 entry::kWritable | entry::kUser});
    }
    if (case_.paging == PagingKind::pae && random_.chance(1)) {
        rights |= u64{1} << 45;  // reserved
    }
    return rights;
}

void Generator::move_pages() {
    for (u32 page = kGdt; page < kDataEnd + kPageSize; page += kPageSize) {
        if (!has_contents(page)) {
            continue;
        }
        const u32 frame = random_.chance(70) ? free_frame() : page;
        u64 value = frame | rights_of(page);
        if (case_.global && random_.chance(40)) {
            value |= entry::kUsedGlobal;  // part_spaces() leaves it alone
        }
        case_.mappings.push_back({.linear = page, .entry = value});
    }
}

// One of the pages of data, or the lowest of the stack, is where another page is.
void Generator::share_frames() {
    if (!random_.chance(40)) {
        return;
    }
    const AddressSpaces spaces(case_);
    const u32 page = random_.chance(70) ? kData + random_.below(5) * kPageSize : kStack;
    u32 with = random_.chance(50) ? kData + random_.below(4) * kPageSize
                                  : kStack + random_.below(4) * kPageSize;
    if (case_.exact && random_.chance(40)) {
        with = kCode + random_.below(4) * kPageSize;
    }
    case_.mappings.push_back({.linear = page, .entry = spaces.frame(0, with) | rights_of(page)});
}

// Pages that are others in one of the spaces.
void Generator::part_spaces() {
    for (unsigned space = 1; space < case_.spaces; ++space) {
        for (u32 page = kStack; page < kDataEnd + kPageSize; page += kPageSize) {
            const AddressSpaces spaces(case_);
            if (!has_contents(page) ||
                !random_.chance(is_stack(page)  ? 5
                                : is_code(page) ? 40
                                                : 25) ||
                (spaces.entry_of(0, page) & entry::kGlobal) != 0) {
                continue;
            }
            const u32 frame = random_.chance(60) && free_frames_.size() > 40 ? free_frame()
                              : random_.chance(50)                           ? spaces.frame(0, page)
                              : is_code(page)
                                  ? spaces.frame(0, kCode + random_.below(4) * kPageSize)
                                  : spaces.frame(0, kData + random_.below(4) * kPageSize);
            case_.mappings.push_back({.linear = page,
                                      .entry = frame | rights_of(page),
                                      .spaces = static_cast<u8>(1u << space)});
        }
    }
}

// Several pages in a row that are elsewhere too, or lead to something special.
void Generator::window() {
    const AddressSpaces spaces(case_);
    struct Kind {
        u32 page, count;
    };
    const Kind kind = random_.pick({Kind{kCode, 4}, Kind{kCode, 4}, Kind{kCode, 4}, Kind{kData, 5},
                                    Kind{kData, 5}, Kind{kStack, 4}, Kind{kTables, 2},
                                    Kind{kDevicePhysical, 1}, Kind{kNoMemory, 1}});
    u32 first = 0;
    switch (random_.below(5)) {
        case 0:  // in the table of the plain pages
            first = kLowEnd + random_.below(spaces.large_size() / kPageSize - 0x108) * kPageSize;
            break;
        case 1:  // up to the end of all addresses
            first = 0u - kind.count * kPageSize;
            break;
        case 2:  // across the end of a table, and of a directory of PAE
            first = random_.pick({0x40000000u, 0x80000000u, 0xc0000000u}) -
                    random_.between(1, kind.count) * kPageSize;
            break;
        case 3:  // in another table, or directory
            first = random_.word() & ~kPageMask;
            break;
        default:  // with the same lower half of addresses
            first = (random_.word() & 0xffff0000) + (kind.page & 0xffff);
            break;
    }
    if (first < kLowEnd) {
        first += kLowEnd;
    }
    if (kind.page == kCode) {
        code_windows_.push_back(first);
    } else if (kind.page == kData) {
        data_windows_.push_back(first);
    }
    for (u32 n = 0; n < kind.count; ++n) {
        const u32 page = kind.page + n * kPageSize;
        u64 value = 0;
        if (kind.page == kTables) {
            // To be read only: what is stored there at random makes no sense.
            value = (kTables + random_.below(10 * case_.spaces) * kPageSize) | entry::kPresent |
                    (case_.write_protect ? entry::kUser : 0);
            if (!case_.write_protect && !case_.user) {
                value = 0;
            }
        } else if (kind.page >= kDevicePhysical) {
            value = page | rights_of(kData);
        } else {
            const u32 like = random_.chance(10) ? kind.page : page;
            value = spaces.frame(random_.below(spaces.count()), like) | rights_of(page);
        }
        const auto in = random_.chance(70) ? kAllSpaces : static_cast<u8>(random_.word());
        case_.mappings.push_back({.linear = first + n * kPageSize, .entry = value, .spaces = in});
    }
}

void Generator::large_page() {
    const u32 size = AddressSpaces(case_).large_size();
    const u32 frame = random_.pick({0u, 0u, kHigh, kHigh, kNoMemory, 0x200000u}) & ~(size - 1);
    const bool everywhere = random_.chance(70);
    u64 value = frame | rights_of(kData) |
                (everywhere && case_.global && random_.chance(40) ? entry::kUsedGlobal : 0);
    value &= ~(u64{1} << 45);
    case_.mappings.push_back({.linear = random_.word() & ~(size - 1),
                              .entry = value,
                              .spaces = everywhere ? kAllSpaces : static_cast<u8>(random_.word()),
                              .large = true});
}

}  // namespace ennead::vmcore::fuzz
