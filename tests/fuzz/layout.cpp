// SPDX-License-Identifier: MIT
// Units to bytes at addresses.
#include <algorithm>
#include <cstring>

#include "tests/fuzz/case.h"

namespace ennead::vmcore::fuzz {
namespace {

void apply(const Fixup& fixup, const Layout& layout, u32 unit, u8* bytes) {
    if (fixup.unit >= layout.addresses.size()) {
        return;
    }
    const u32 target = layout.addresses[fixup.unit] + static_cast<u32>(fixup.add);
    const u32 place = layout.addresses[unit] + fixup.at;
    switch (fixup.kind) {
        case Fixup::Kind::relative8: {
            const i32 distance = static_cast<i32>(target - place - 1);
            bytes[fixup.at] = distance >= -128 && distance <= 127 ? static_cast<u8>(distance) : 0;
            break;
        }
        case Fixup::Kind::relative32: {
            const u32 distance = target - place - 4;
            std::memcpy(bytes + fixup.at, &distance, 4);
            break;
        }
        case Fixup::Kind::absolute32:
            std::memcpy(bytes + fixup.at, &target, 4);
            break;
    }
}

}  // namespace

Layout lay_out(const Case& c) {
    Layout layout;
    layout.code.resize(place::kCodeEnd - place::kCode, 0xf4);
    u32 at = c.start;
    for (u32 n = 0; n < c.units.size(); ++n) {
        if (n == c.first_function) {
            at = std::max(at, c.functions);
        }
        layout.addresses.push_back(at);
        at += static_cast<u32>(c.units[n].bytes.size());
    }
    for (u32 n = 0; n < c.units.size(); ++n) {
        const Unit& unit = c.units[n];
        const u32 offset = layout.addresses[n] - place::kCode;
        if (offset + unit.bytes.size() > layout.code.size()) {
            break;
        }
        u8* const bytes = layout.code.data() + offset;
        std::ranges::copy(unit.bytes, bytes);
        for (const Fixup& fixup : unit.fixups) {
            apply(fixup, layout, n, bytes);
        }
    }
    return layout;
}

}  // namespace ennead::vmcore::fuzz
