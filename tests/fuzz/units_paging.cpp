// SPDX-License-Identifier: MIT
// Control registers and page tables.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

Unit Generator::system() {
    Unit unit;
    const unsigned reg = scratch();
    if (case_.user && random_.chance(85)) {
        return plain();
    }
    switch (random_.below(9)) {
        case 0:
        case 1:  // mov reg,cr3; mov cr3,reg
            append(unit, {0x0f, 0x20, 0xd8 | reg, 0x0f, 0x22, 0xd8 | reg});
            break;
        case 2:
        case 3:
            // Global pages are the same in all directories, or translations are stale.
            if (case_.paging == PagingKind::off || case_.global) {
                return plain();
            }
            load(unit, reg,
                 case_.paging == PagingKind::pae ? random_.pick({kPdpt, kPdpt2})
                                                 : random_.pick({kDirectory, kDirectory2}));
            append(unit, {0x0f, 0x22, 0xd8 | reg});
            break;
        case 4:
            append(unit, {0x0f, 0x01, 0x3d});  // invlpg
            word(unit, encoder_.address());
            break;
        case 5: {  // xor an entry of the page table; invlpg
            if (case_.paging == PagingKind::off) {
                return plain();
            }
            const u32 page =
                random_.pick({kSpecialReadOnly, kAbsent, kSupervisor, kDataAlias, kData + 0x2000,
                              kData + 0x3000, kReadOnly, kFunctions, kFunctions + 0x1000});
            const bool pae = case_.paging == PagingKind::pae;
            append(unit, {0x80, 0x35});
            word(unit, (pae ? 0x47000 : kDirectory + 0x1000) + page / kPageSize * (pae ? 8 : 4));
            append(unit, {random_.pick({1u, 2u, 4u, 0x20u, 0x40u}), 0x0f, 0x01, 0x3d});
            word(unit, page + random_.below(0x1000));
            break;
        }
        case 6:  // mov reg,cr0; xor reg,bit; mov cr0,reg
            append(unit, {0x0f, 0x20, 0xc0 | reg, 0x81, 0xf0 | reg});
            word(unit, random_.pick({cr0::kWp, cr0::kTs, cr0::kAm, cr0::kTs, cr0::kMp}));
            append(unit, {0x0f, 0x22, 0xc0 | reg});
            break;
        case 7:
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

}  // namespace ennead::vmcore::fuzz
