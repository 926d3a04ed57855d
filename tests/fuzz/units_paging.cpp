// SPDX-License-Identifier: MIT
// Control registers and page tables.
#include <algorithm>

#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

namespace {

void invlpg(Unit& unit, u32 linear) {
    unit.bytes.insert(unit.bytes.end(), {0x0f, 0x01, 0x3d});
    for (u32 n = 0; n < 4; ++n) {
        unit.bytes.push_back(static_cast<u8>(linear >> (8 * n)));
    }
}

}  // namespace

Unit Generator::system() {
    Unit unit;
    const unsigned reg = scratch();
    if (case_.user && random_.chance(85)) {
        return plain();
    }
    switch (random_.below(12)) {
        case 0:
        case 1:  // mov reg,cr3; mov cr3,reg
            append(unit, {0x0f, 0x20, 0xd8 | reg, 0x0f, 0x22, 0xd8 | reg});
            break;
        case 2:
        case 3:
        case 4:
            return switch_space();
        case 5:
            invlpg(unit, encoder_.address());
            break;
        case 6:
        case 7:
        case 8:
            return change_tables();
        case 9:  // mov reg,cr0; xor reg,bit; mov cr0,reg
            append(unit, {0x0f, 0x20, 0xc0 | reg, 0x81, 0xf0 | reg});
            word(unit, random_.pick({cr0::kWp, cr0::kTs, cr0::kAm, cr0::kTs, cr0::kMp}));
            append(unit, {0x0f, 0x22, 0xc0 | reg});
            break;
        case 10:
            append(unit, {0x0f, 0x20, 0xe0 | reg, 0x81, 0xf0 | reg});
            word(unit, random_.pick({cr4::kTsd, cr4::kPge, cr4::kPse, cr4::kDe}));
            append(unit, {0x0f, 0x22, 0xe0 | reg});
            break;
        default:
            append(unit, {0x0f, random_.pick({0x06u, 0x09u, 0xa2u, 0x31u})});
            break;
    }
    return unit;
}

// To another address space, perhaps for an access or two only.
Unit Generator::switch_space() {
    const AddressSpaces spaces(case_);
    if (!spaces.paging()) {
        return plain();
    }
    Unit unit;
    const unsigned reg = scratch();
    for (u32 n = random_.chance(30) ? 2 : 1; n != 0; --n) {
        load(unit, reg, spaces.root(random_.below(spaces.count())));
        append(unit, {0x0f, 0x22, 0xd8 | reg});
        if (n != 1) {
            instruction(unit, Pick::quiet);
        }
    }
    return unit;
}

// A page whose entry programs may change: none that is global, for other spaces would keep what
// was, and none that handlers use.
u32 Generator::changeable_page(const AddressSpaces& spaces, bool code) {
    const auto in_code = [&](u32 page) {
        return (page >= kCode && page < kCodeEnd) ||
               std::ranges::any_of(code_windows_,
                                   [&](u32 window) { return page - window < kCodeEnd - kCode; });
    };
    for (unsigned tries = 0; tries < 8 && !case_.mappings.empty(); ++tries) {
        const Mapping& each =
            case_.mappings[random_.below(static_cast<u32>(case_.mappings.size()))];
        if (!each.large && is_changeable(each.linear) && spaces.leaf(0, each.linear) &&
            (code || !in_code(each.linear)) && !is_global(spaces, each.linear)) {
            return each.linear;
        }
    }
    const u32 page = random_.pick({kSpecialReadOnly, kAbsent, kSupervisor, kDataAlias,
                                   kData + 0x2000, kData + 0x3000, kReadOnly});
    return is_global(spaces, page) ? kAbsent : page;
}

bool Generator::is_global(const AddressSpaces& spaces, u32 page) const {
    for (unsigned space = 0; space < spaces.count(); ++space) {
        if ((spaces.entry_of(space, page) & entry::kGlobal) != 0) {
            return true;
        }
    }
    return false;
}

void Generator::flush(Unit& unit, u32 page) {
    const unsigned reg = scratch();
    switch (random_.below(4)) {
        case 0:  // mov reg,cr3; mov cr3,reg
            append(unit, {0x0f, 0x20, 0xd8 | reg, 0x0f, 0x22, 0xd8 | reg});
            break;
        default:
            invlpg(unit, page + random_.below(kPageSize));
            break;
    }
}

// mov or add, from memory or to it.
void Generator::touch(Unit& unit, u32 linear) {
    append(unit, {random_.pick({0x8bu, 0x89u, 0x01u}), 0x05 | scratch() << 3});
    word(unit, linear);
}

Unit Generator::change_tables() {
    const AddressSpaces spaces(case_);
    if (!spaces.paging()) {
        return plain();
    }
    Unit unit;
    const unsigned space = random_.below(spaces.count());
    const u32 page = changeable_page(spaces, false);
    const u32 leaf = *spaces.leaf(space, page);
    if (random_.chance(30)) {
        touch(unit, page + random_.below(kPageSize));
    }
    switch (random_.below(case_.mappings.empty() ? 4 : 7)) {
        case 0:
        case 1:  // xor byte [entry],bit
            append(unit, {0x80, 0x35});
            word(unit, leaf);
            append(unit, {random_.pick({1u, 2u, 4u, 0x20u, 0x40u})});
            flush(unit, page);
            break;
        case 2:  // and byte [entry],~(accessed | dirty)
            append(unit, {0x80, 0x25});
            word(unit, leaf);
            append(unit, {random_.pick({0x9fu, 0xbfu, 0xdfu})});
            flush(unit, page);
            break;
        case 3:
            // More rights need no flush: what was not allowed is not remembered (SDM vol 3A
            // §4.10.4.3: at most a fault more, which ours do not have).
            append(unit, {0x80, 0x0d});
            word(unit, leaf);
            append(unit, {random_.pick({1u, 3u, 5u, 7u})});
            break;
        case 4: {  // another frame: mov dword [entry],value
            const auto& frames = spaces.frames();
            append(unit, {0xc7, 0x05});
            word(unit, leaf);
            word(unit, frames[random_.below(static_cast<u32>(frames.size()))] |
                           random_.pick({7u, 7u, 7u, 5u, 3u, 6u}) | static_cast<u32>(used_bits()));
            flush(unit, page);
            break;
        }
        case 5: {  // two change places: push [a]; push [b]; pop [a]; pop [b]
            const u32 other = changeable_page(spaces, false), second = *spaces.leaf(space, other);
            for (const u32 each : {leaf, second}) {
                append(unit, {0xff, 0x35});
                word(unit, each);
            }
            for (const u32 each : {leaf, second}) {
                append(unit, {0x8f, 0x05});
                word(unit, each);
            }
            invlpg(unit, other);
            flush(unit, page);
            break;
        }
        default:
            // Of PAE's pointers, which count when CR3 is loaded; else another page.
            append(unit, {0x80, 0x35});
            if (case_.paging == PagingKind::pae) {
                word(unit, spaces.pointer_entry(
                               space, random_.pick({0x40000000u, 0x80000000u, 0xc0000000u})));
                append(unit, {0x01});
                append(unit, {0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8});
            } else {
                word(unit, leaf);
                append(unit, {0x01});
                flush(unit, page);
            }
            break;
    }
    if (random_.chance(40)) {
        touch(unit, page + random_.below(kPageSize));
    }
    return unit;
}

// Of a large page: xor byte [entry],bit; invlpg somewhere in it; an access before and after.
Unit Generator::change_large() {
    const AddressSpaces spaces(case_);
    const unsigned space = random_.below(spaces.count());
    const auto large = spaces.large_pages(space);
    if (case_.user || large.empty() || (large.back().entry & entry::kGlobal) != 0) {
        return plain();
    }
    Unit unit;
    const u32 first = large.back().linear;
    const bool low = (large.back().entry & entry::kFrame) == 0;
    const u32 at = first + (low ? kData : 0) + random_.below(0x4000);
    touch(unit, at);
    append(unit, {0x80, 0x35});
    word(unit, spaces.directory_entry(space, first));
    append(unit, {random_.pick({1u, 2u, 4u, 0x20u, 0x40u})});
    invlpg(unit, first + random_.below(spaces.large_size()));
    touch(unit, at);
    return unit;
}

// In any mode, and of pages that code runs in.
Unit Generator::change_by_handler() {
    const AddressSpaces spaces(case_);
    if (!spaces.paging()) {
        return plain();
    }
    Unit unit;
    const unsigned space = random_.below(spaces.count());
    const u32 page = changeable_page(spaces, true);
    u32 what = random_.pick({1u, 2u, 4u, 0x20u, 0x40u, 0x60u});
    const bool table = page >= spaces.large_size() && random_.chance(20);
    if (!table && random_.chance(40)) {  // another frame
        const auto& frames = spaces.frames();
        what = spaces.frame(space, page) ^ frames[random_.below(static_cast<u32>(frames.size()))];
    }
    load(unit, kEax, table ? spaces.directory_entry(space, page) : *spaces.leaf(space, page));
    load(unit, kEcx, table ? what & ~1u : what);
    load(unit, kEdx, page + random_.below(kPageSize));
    append(unit, {0xcd, table ? vector::kChangeAndFlush : vector::kChange});
    if (!table && random_.chance(50)) {  // and back again, a while later
        instruction(unit, Pick::quiet);
        load(unit, kEax, *spaces.leaf(space, page));
        load(unit, kEcx, what);
        load(unit, kEdx, page);
        append(unit, {0xcd, vector::kChange});
    }
    return unit;
}

// What follows runs at other addresses: there the same code lies too.
Unit Generator::elsewhere() {
    if (code_windows_.empty()) {
        return plain();
    }
    Unit unit;
    const u32 window = code_windows_[random_.below(static_cast<u32>(code_windows_.size()))];
    const auto add = static_cast<i32>(window - kCode);
    const unsigned reg = scratch();
    switch (random_.below(4)) {
        case 0:  // push; ret
            append(unit, {0x68});
            fix(unit, Fixup::Kind::absolute32, near_unit(), add);
            append(unit, {0xc3});
            break;
        case 1:  // jmp
            append(unit, {0xe9});
            fix(unit, Fixup::Kind::relative32, near_unit(), add);
            break;
        case 2:  // mov reg,address; jmp reg
            append(unit, {0xb8 + reg});
            fix(unit, Fixup::Kind::absolute32, near_unit(), add);
            append(unit, {0xff, 0xe0 | reg});
            break;
        default:  // call
            append(unit, {0xe8});
            fix(unit, Fixup::Kind::relative32, function(), add);
            break;
    }
    return unit;
}

// Code made in data, changed, and called: all by different addresses of the same bytes.
Unit Generator::made_code() {
    if (!case_.exact || case_.code16) {
        return plain();
    }
    Unit unit;
    const u32 at = random_.chance(40) ? kPageSize * random_.between(1, 3) - random_.below(12)
                                      : random_.below(4 * kPageSize);
    const auto place = [&] {
        const auto windows = static_cast<u32>(data_windows_.size());
        const u32 which = random_.below(windows + 2);
        const bool alias = which == windows + 1 && at < kPageSize - 16;
        return (which < windows ? data_windows_[which] : alias ? kDataAlias : kData) + at;
    };
    // mov eax,imm; ret
    const u32 value = random_.word();
    append(unit, {0xc7, 0x05});
    word(unit, place());
    word(unit, 0xb8 | value << 8);
    append(unit, {0xc7, 0x05});
    word(unit, place() + 4);
    word(unit, value >> 24 | 0xc300 | random_.word() << 16);
    for (u32 n = random_.between(1, 3); n != 0; --n) {
        load(unit, kEcx, place());
        append(unit, {0xff, 0xd1});  // call ecx
        append(unit, {0x01, 0xc2});  // add edx,eax
        append(unit, {0x80, 0x05});  // add byte [immediate],…
        word(unit, place() + random_.between(1, 4));
        append(unit, {random_.below(256)});
    }
    return unit;
}

}  // namespace ennead::vmcore::fuzz
