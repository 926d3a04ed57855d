// SPDX-License-Identifier: MIT
// Interrupts, privileges, segments.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

Unit Generator::interrupt() {
    switch (random_.below(6)) {
        case 0:
            return raw({0xcc});
        case 1:
            return raw({0xce});
        case 2:
            return raw({0x0f, 0x0b});
        case 3: {  // bound
            Unit unit = raw({0x62, 0x05});
            word(unit, encoder_.address());
            return unit;
        }
        default:
            return raw({0xcd, some_vector()});
    }
}

// Of an interrupt: those from kSwitch on go on in the next address space.
u32 Generator::some_vector() {
    return case_.paging != PagingKind::off && case_.spaces > 1 && random_.chance(30)
               ? random_.between(vector::kFirstSwitch, vector::kLastSwitch)
               : random_.between(0x30, 0x50);
}

Unit Generator::flags() {
    Unit unit;
    switch (random_.below(6)) {
        case 0:
            append(unit, {0x9c});
            break;
        case 1:
            append(unit, {0xfa | random_.below(2)});  // cli, sti
            break;
        case 2:
            append(unit, {0x9c, 0x9d});
            break;
        case 3:
            append(unit, {0xfb, 0x90 | random_.below(2)});
            break;
        default: {
            append(unit, {0x68});
            u32 value = random_.below(0x1000) & ~eflags::kTf;
            if (random_.chance(10)) {
                value |= eflags::kTf;
            }
            if (random_.chance(10)) {
                value |= random_.pick(
                    {eflags::kNt, eflags::kAc, eflags::kId, eflags::kRf, eflags::kIopl});
            }
            word(unit, value & ~(random_.chance(80) ? eflags::kDf : 0));
            append(unit, {0x9d});
            break;
        }
    }
    return unit;
}

Unit Generator::iret() {
    Unit unit = raw({0x9c});
    if (random_.chance(20)) {
        append(unit, {0x80, 0x4c, 0x24, 0x01, random_.pick({0x01u, 0x02u, 0x04u})});
    }
    const u16 code = case_.user ? selector::kCode3 | 3 : selector::kCode0;
    const bool down = !case_.user && random_.chance(30);
    if (down) {  // to CPL 3
        unit.bytes.clear();
        append(unit, {0x6a, selector::kData3 | 3, 0x68});
        word(unit, kStack + 0x1800);
        append(unit, {0x9c, 0x6a, selector::kCode3 | 3});
    } else {
        append(unit, {0x6a, unsigned{code}});
    }
    append(unit, {0x68});
    fix(unit, Fixup::Kind::absolute32, near_unit());
    append(unit, {0xcf});
    return unit;
}

u16 Generator::some_selector() {
    const u16 rpl = static_cast<u16>(case_.user || random_.chance(20) ? 3 : 0);
    const u16 which = random_.pick<u16>(
        {0, selector::kData0, selector::kData3, selector::kData16, selector::kSmall,
         selector::kDown, selector::kReadOnly, selector::kAbsent, selector::kFs, selector::kGs,
         selector::kConforming, selector::kTss, selector::kData3, selector::kData3});
    return static_cast<u16>(which | rpl);
}

Unit Generator::segment() {
    Unit unit = raw({0x68});
    word(unit, some_selector());
    switch (random_.below(7)) {
        case 0:
            append(unit, {0x1f});
            break;
        case 1:
            append(unit, {0x07});
            break;
        case 2:
            append(unit, {random_.chance(20) ? 0x17u : 0x1fu});
            break;
        case 3:
        case 4:
            append(unit, {0x0f, 0xa1});
            break;
        case 5:
            append(unit, {0x0f, 0xa9});
            break;
        default:  // through a register
            append(unit, {0x58, 0x8e, random_.pick({0xc0u, 0xd8u, 0xe0u, 0xe8u, 0xe0u})});
            break;
    }
    if (random_.chance(50)) {  // use it
        append(unit, {random_.pick({0x26u, 0x64u, 0x65u, 0x64u, 0x65u, 0x3eu})});
        instruction(unit, Pick::quiet);
    }
    if (random_.chance(60)) {
        const Unit after = mend();
        unit.bytes.insert(unit.bytes.end(), after.bytes.begin(), after.bytes.end());
    }
    return unit;
}

Unit Generator::mend() {
    Unit unit;
    const u32 data = case_.user ? selector::kData3 | 3u : u32{selector::kData0};
    append(unit, {0x6a, data, 0x1f, 0x6a, data, 0x07});
    return unit;
}

Unit Generator::far() {
    Unit unit;
    const u16 code = case_.user ? selector::kCode3 | 3 : selector::kCode0;
    switch (random_.below(4)) {
        case 0:  // there and back: jmp 16-bit code, which jumps back
            append(unit, {0xea});
            fix(unit, Fixup::Kind::absolute32, static_cast<u32>(case_.units.size()), 7);
            half(unit, selector::kCode16 | (case_.user ? 3u : 0u));
            append(unit, {0x40, 0x66, 0xea});
            fix(unit, Fixup::Kind::absolute32, static_cast<u32>(case_.units.size()), 16);
            half(unit, code);
            break;
        case 1:
            append(unit, {0x9a, 0, 0, 0, 0, selector::kGate, 0});
            break;
        case 2:
            append(unit, {0x6a, unsigned{code}, 0x68});
            fix(unit, Fixup::Kind::absolute32, near_unit());
            append(unit, {0xcb});
            break;
        default:
            append(unit,
                   {0x9a, 0, 0, 0, 0,
                    random_.chance(50) ? selector::kTss2 : unsigned{selector::kConforming}, 0});
            break;
    }
    return unit;
}

Unit Generator::debug() {
    Unit unit;
    if (case_.user) {
        return plain();
    }
    if (random_.chance(45)) {  // off again
        append(unit, {0x31, 0xc0, 0x0f, 0x23, 0xf8});
        return unit;
    }
    const u32 number = random_.below(4);
    u32 kind = random_.below(16);  // R/W and LEN of DR7
    append(unit, {0xb8});
    if (random_.chance(40)) {
        kind = 0;  // code
        fix(unit, Fixup::Kind::absolute32, near_unit());
    } else if (random_.chance(20)) {
        kind = random_.pick({2u, 6u, 14u});  // ports
        word(unit, 0x100 + random_.below(0x100));
    } else {
        word(unit,
             random_.chance(30) ? kStack + 0x2000 + random_.below(0x400) : encoder_.pointer());
    }
    append(unit, {0x0f, 0x23, 0xc0 | number << 3});  // mov drN,eax
    if ((kind & 3) == 2) {
        append(unit, {0x0f, 0x20, 0xe1, 0x83, 0xc9, 0x08, 0x0f, 0x22, 0xe1});  // cr4 |= DE
    }
    load(unit, kEax, 0x400 | random_.between(1, 3) << number * 2 | kind << (16 + number * 4));
    append(unit, {0x0f, 0x23, 0xf8});
    return unit;
}

// SS with a limit, growing up or down, and pushes and pops near its end.
Unit Generator::limited_stack() {
    if (!case_.user) {
        return plain();
    }
    Unit unit;
    const bool down = random_.chance(50);
    const u32 end = down ? kData + 0x1000 : 0x2000;
    append(unit, {0x6a, (down ? selector::kDown : selector::kSmall) | 3u, 0x17});  // pop ss
    load(unit, kEsp, end + (random_.chance(50) ? random_.below(0x40) : 0u - random_.below(0x40)));
    for (u32 n = random_.between(1, 6); n != 0; --n) {
        append(unit, {random_.pick({0x50u, 0x51u, 0x58u, 0x59u, 0x60u, 0x61u, 0x9cu, 0xc9u})});
    }
    append(unit, {0x6a, selector::kData3 | 3, 0x17});
    load(unit, kEsp, kStack + 0x2000);
    return unit;
}

// Into virtual-8086 mode, where what follows in the unit runs as 16-bit code. A fault leads
// out: its handler cannot go back to an EIP beyond 64 KiB, and goes on as the kernel.
Unit Generator::virtual_8086() {
    if (case_.user || case_.code16) {
        return plain();
    }
    Unit unit;
    if (random_.chance(40)) {
        append(unit, {0x0f, 0x20, 0xe1, 0x80, 0xf1, 0x01, 0x0f, 0x22, 0xe1});  // cr4 ^= VME
    }
    constexpr u32 kSegments[] = {kData >> 4, (kData + 0x1000) >> 4, kSpecial >> 4, kReadOnly >> 4};
    for (u32 n = 0; n < 4; ++n) {  // GS FS DS ES
        append(unit, {0x68});
        word(unit, kSegments[random_.below(4)]);
    }
    append(unit, {0x68});
    word(unit, kStack >> 4);
    append(unit, {0x68});
    word(unit, random_.chance(80) ? 0x1000 + random_.below(0x800) * 2 : random_.word());
    u32 flags = eflags::kFixed | eflags::kVm | (random_.word() & eflags::kArith);
    flags |= random_.chance(50) ? eflags::kIopl : 0;
    flags |= random_.chance(30) ? random_.pick({eflags::kVif, eflags::kVip, eflags::kTf,
                                                eflags::kIf, eflags::kAc, eflags::kRf})
                                : 0;
    append(unit, {0x68});
    word(unit, flags);
    append(unit, {0x68});
    word(unit, kCode >> 4);
    append(unit, {0x68});
    const auto here = static_cast<u32>(case_.units.size());
    const auto length = static_cast<i32>(unit.bytes.size()) + 5;
    fix(unit, Fixup::Kind::absolute32, here, length - static_cast<i32>(kCode));
    append(unit, {0xcf});
    for (u32 n = random_.between(1, 5); n != 0; --n) {
        switch (random_.below(4)) {
            case 0:  // cli sti pushf popf
                append(unit, {random_.pick({0xfau, 0xfbu, 0x9cu, 0x9du})});
                break;
            case 1:
                append(unit, {0xcd, random_.between(0x30, 0x4f)});
                break;
            case 2:
                append(unit,
                       {random_.pick({0xccu, 0xceu, 0x1eu, 0x06u, 0x50u, 0x5bu, 0xa4u, 0xabu})});
                break;
            default: {
                const std::vector<u8> bytes = encoder_.instruction(Pick::quiet);
                unit.bytes.insert(unit.bytes.end(), bytes.begin(), bytes.end());
                break;
            }
        }
    }
    append(unit, {0xf4});  // #GP
    return unit;
}

// mov ecx,esp; mov edx,back; sysenter: the handler comes back by SYSEXIT, to CPL 3 in any case.
Unit Generator::fast_call() {
    Unit unit = raw({0x89, 0xe1, 0xba});
    fix(unit, Fixup::Kind::absolute32, near_unit());
    append(unit, {0x0f, 0x34});
    return unit;
}

}  // namespace ennead::vmcore::fuzz
