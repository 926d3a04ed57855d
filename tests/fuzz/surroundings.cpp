// SPDX-License-Identifier: MIT
// What a case begins with, and what happens to it from outside.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

void Generator::surroundings() {
    case_.user = random_.chance(35);
    case_.code16 = random_.chance(2);
    case_.write_protect = random_.chance(50);
    case_.exact = random_.chance(70);
    case_.scrub = !case_.exact || random_.chance(20);
    case_.mend = random_.chance(80);
    case_.global = random_.chance(30);
    case_.iopl = random_.chance(30) ? 3 : 0;
    case_.paging = random_.pick({PagingKind::off, PagingKind::small, PagingKind::small,
                                 PagingKind::large, PagingKind::pae});
    case_.cr4 = (random_.chance(30) ? cr4::kPge : 0) | (random_.chance(10) ? cr4::kTsd : 0) |
                (random_.chance(80) ? cr4::kOsfxsr | cr4::kOsxmmexcpt : 0);
    case_.data_seed = random_.next();
    case_.fs_base = random_.chance(50) ? kData + random_.below(0x1000) : random_.word();
    case_.fs_limit = random_.chance(50) ? 0xffffffff : random_.below(0x2000);
    case_.gs_base = random_.chance(50) ? 0 : kData + random_.below(0x1000);
    case_.gs_limit = random_.chance(80) ? 0xffffffff : random_.below(0x2000);
    case_.start =
        random_.chance(70) ? kCode + 0x1000 - random_.below(200) : kCode + random_.below(0x800);
    case_.functions =
        random_.chance(50) ? kFunctions - random_.below(40) : kFunctions + random_.below(0x800);
}

void Generator::registers() {
    for (unsigned n = 0; n < 8; ++n) {
        case_.gpr[n] = is_pointer(n) ? encoder_.pointer() : random_.value();
    }
    case_.gpr[kEsp] =
        kStack + 0x2000 + (random_.chance(80) ? random_.below(0x400) * 4 : random_.below(0x1000));
    case_.flags = random_.word() & eflags::kArith;
    if (random_.chance(60)) {
        case_.flags |= eflags::kIf;
    }
    if (random_.chance(10)) {
        case_.flags |= eflags::kDf;
    }
    if (random_.chance(1)) {
        case_.flags |= eflags::kTf;
    }
}

void Generator::slices() {
    const u32 count = random_.between(2, 10);
    for (u32 n = 0; n < count; ++n) {
        case_.slices.push_back(random_.chance(35) ? random_.between(1, 200)
                                                  : random_.between(120, 900));
    }
    for (u32 n = random_.below(4); n != 0; --n) {
        event(random_.below(count));
    }
}

void Generator::event(u32 slice) {
    Event event{};
    event.slice = slice;
    switch (random_.below(8)) {
        case 0:
        case 1:
        case 2:
            event.kind = Event::Kind::interrupt;
            event.a = some_vector();
            break;
        case 3:
            event.kind = Event::Kind::nmi;
            break;
        case 4:
            event.kind = Event::Kind::flip;
            event.a = kData + random_.below(0x12) * 0x1000;
            if (event.a >= kTables || event.a == kSpecial - 0x1000) {
                event.a = random_.chance(50) ? kData + 0x1000 : kFunctions;  // code
            }
            break;
        default:
            if (!case_.exact) {
                return;
            }
            event.kind = Event::Kind::bytes;
            event.a = case_.start + random_.below(300);
            event.bytes =
                random_.chance(50) ? std::vector<u8>{0x90} : encoder_.instruction(Pick::any);
            break;
    }
    case_.events.push_back(std::move(event));
}

}  // namespace ennead::vmcore::fuzz
