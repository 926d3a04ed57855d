// SPDX-License-Identifier: MIT
// Jumps, calls and loops.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

Unit Generator::conditional() {
    if (random_.chance(50)) {
        Unit unit = raw({0x70 | random_.below(16)});
        fix(unit, Fixup::Kind::relative8, near_unit());
        return unit;
    }
    Unit unit = raw({0x0f, 0x80 | random_.below(16)});
    fix(unit, Fixup::Kind::relative32, random_.chance(80) ? near_unit() : any_unit());
    return unit;
}

Unit Generator::jump(u32 target) {
    Unit unit = raw({0xe9});
    fix(unit, Fixup::Kind::relative32, target);
    return unit;
}

Unit Generator::jump_any() {
    return jump(random_.chance(70) ? near_unit() : any_unit());
}

Unit Generator::loop() {
    Unit unit;
    if (random_.chance(50)) {
        // mov ecx,n; … ; loop to the first …
        load(unit, kEcx, random_.below(12));
        const auto first = unit.bytes.size();
        for (u32 n = random_.between(1, 3); n != 0; --n) {
            instruction(unit, Pick::quiet);
        }
        const auto distance = first - (unit.bytes.size() + 2);
        append(unit, {random_.pick({0xe2u, 0xe2u, 0xe1u, 0xe0u}),
                      static_cast<unsigned>(distance) & 0xff});
        return unit;
    }
    append(unit, {0xe0 | random_.below(4)});
    fix(unit, Fixup::Kind::relative8, near_unit());
    return unit;
}

u32 Generator::function() {
    return starts_[random_.below(static_cast<u32>(starts_.size()))];
}

Unit Generator::call() {
    Unit unit;
    switch (random_.below(8)) {
        case 0:  // call the next instruction; pop
            append(unit, {0xe8, 0, 0, 0, 0, 0x58 | scratch()});
            return unit;
        case 1:
            load(unit, scratch(), 0);
            unit.fixups.push_back({1, Fixup::Kind::absolute32, function(), 0});
            append(unit, {0xff, 0xd0 | (unit.bytes[0] & 7u)});
            return unit;
        case 2:
            append(unit, {0xff, 0x15});  // call [table]
            word(unit, kTargets + random_.below(64) * 4);
            return unit;
        case 3:
            append(unit, {0xe8});
            fix(unit, Fixup::Kind::relative32, any_unit());
            return unit;
        default:
            append(unit, {0xe8});
            fix(unit, Fixup::Kind::relative32, function());
            return unit;
    }
}

Unit Generator::leave_function() {
    Unit unit;
    // To where it came from, but in another address space.
    if (case_.paging != PagingKind::off && case_.spaces > 1 && random_.chance(15)) {
        append(unit, {0xcd, random_.between(vector::kFirstSwitch, vector::kLastSwitch)});
    }
    switch (random_.below(10)) {
        case 0:
            append(unit, {0xc2, random_.below(3) * 4, 0});
            break;
        case 1:
            append(unit, {0x59, 0xff, 0xe1});  // pop ecx; jmp ecx
            break;
        case 2:  // returns to elsewhere
            append(unit, {0xc7, 0x04, 0x24});
            fix(unit, Fixup::Kind::absolute32, any_unit());
            append(unit, {0xc3});
            break;
        case 3:  // returns to its caller's caller
            append(unit, {0x83, 0xc4, 0x04, 0xc3});
            break;
        default:
            append(unit, {0xc3});
            break;
    }
    return unit;
}

Unit Generator::return_() {
    Unit unit;
    if (random_.chance(60)) {
        append(unit, {0x68});  // push; ret
        fix(unit, Fixup::Kind::absolute32, random_.chance(70) ? near_unit() : any_unit());
    }
    append(unit, {0xc3});
    return unit;
}

Unit Generator::indirect() {
    Unit unit;
    if (random_.chance(50)) {
        append(unit, {0xff, 0x25});  // jmp [table]
        word(unit, kTargets + random_.below(64) * 4);
    } else if (random_.chance(50)) {
        const unsigned reg = scratch();
        append(unit, {0xb8 + reg});
        fix(unit, Fixup::Kind::absolute32, near_unit());
        append(unit, {0xff, 0xe0 | reg});
    } else {
        // and reg,31; jmp [table+reg*4]
        const unsigned reg = scratch();
        append(unit, {0x83, 0xe0 | reg, 0x1f, 0xff, 0x24, 0x85 | reg << 3});
        word(unit, kTargets);
    }
    return unit;
}

}  // namespace ennead::vmcore::fuzz
