// SPDX-License-Identifier: MIT
// What works on registers and memory.
#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

using namespace place;

// An instruction; where it leaves flags undefined, one that replaces them all follows.
void Generator::instruction(Unit& unit, Pick pick) {
    const std::vector<u8> bytes = encoder_.instruction(pick);
    unit.bytes.insert(unit.bytes.end(), bytes.begin(), bytes.end());
    const Insn insn = encoder_.decoded(bytes);
    if (ever_undefined_flags(insn) != 0) {
        settle(unit);
    }
}

void Generator::settle(Unit& unit) {
    switch (random_.below(4)) {
        case 0:  // cmp r32,r32
            append(unit, {0x39, 0xc0 | random_.below(64)});
            break;
        case 1:  // add r8,r8
            append(unit, {0x00, 0xc0 | random_.below(64)});
            break;
        case 2:  // sub eax,imm; adc would read CF
            append(unit, {0x2c, random_.below(256)});
            break;
        default:  // neg byte
            append(unit, {0xf6, 0xd8 | random_.below(8)});
            break;
    }
}

Unit Generator::plain() {
    Unit unit;
    instruction(unit, Pick::any);
    return unit;
}

Unit Generator::x87() {
    Unit unit;
    if (random_.chance(20)) {
        append(unit, {0xdb, 0xe3});  // fninit
    }
    for (u32 n = random_.between(1, 4); n != 0; --n) {
        instruction(unit, Pick::x87);
    }
    return unit;
}

Unit Generator::simd() {
    Unit unit;
    for (u32 n = random_.between(1, 5); n != 0; --n) {
        instruction(unit, random_.chance(85) ? Pick::simd : Pick::x87);
    }
    return unit;
}

Unit Generator::reload() {
    Unit unit;
    const unsigned gpr = random_.pick({3u, 5u, 6u, 7u, 3u, 5u, 6u, 7u, 4u});
    load(unit, gpr,
         gpr == kEsp          ? kStack + 0x2000 + random_.below(0x1000)
         : random_.chance(50) ? case_.gpr[gpr]
                              : encoder_.pointer());
    return unit;
}

// Flags made, kept over memory accesses, then read.
Unit Generator::flag_pattern() {
    Unit unit;
    instruction(unit, Pick::producer);
    for (u32 n = random_.between(1, 3); n != 0; --n) {
        instruction(unit, Pick::quiet);
    }
    consume(unit);
    return unit;
}

void Generator::consume(Unit& unit) {
    switch (random_.below(7)) {
        case 0:
            append(unit, {0x0f, 0x80 | random_.below(16)});
            fix(unit, Fixup::Kind::relative32, near_unit());
            break;
        case 1:
            append(unit, {0x0f, 0x90 | random_.below(16), 0xc0 | random_.below(8)});
            break;
        case 2:
            append(unit, {0x83, 0xd0 | random_.below(3), random_.below(256)});  // adc
            break;
        case 3:
            append(unit, {0x0f, 0x40 | random_.below(16), 0xc0 | random_.below(24)});
            break;
        case 4:
            append(unit, {0x9c});
            break;
        case 5:
            append(unit, {0x9f});
            break;
        default:
            append(unit, {0xd1, 0xd0 | random_.below(3)});  // rcl
            break;
    }
}

Unit Generator::string() {
    Unit unit;
    if (random_.chance(30)) {
        append(unit, {0xfc | random_.below(2)});
    }
    if (random_.chance(80)) {
        load(unit, kEcx, random_.chance(90) ? random_.below(40) : random_.below(0x1800));
    }
    if (random_.chance(70)) {
        load(unit, kEsi, encoder_.pointer());
    }
    if (random_.chance(70)) {
        load(unit, kEdi, encoder_.pointer());
    }
    if (random_.chance(15)) {
        append(unit, {0x66});
    }
    if (random_.chance(75)) {
        append(unit, {random_.pick({0xf2u, 0xf3u, 0xf3u})});
    }
    append(unit, {random_.pick({0xa4u, 0xa5u, 0xa6u, 0xa7u, 0xaau, 0xabu, 0xacu, 0xadu, 0xaeu,
                                0xafu, 0x6cu, 0x6eu})});
    if (random_.chance(70)) {
        append(unit, {0xfc});
    }
    return unit;
}

// Stores into the program: the immediate of a MOV, or one short instruction for another.
Unit Generator::modify() {
    Unit unit;
    if (!case_.exact) {
        return plain();
    }
    const u32 here = static_cast<u32>(case_.units.size());
    u32 alias = random_.chance(30) ? kCodeAlias - kCode : 0;
    if (!code_windows_.empty() && random_.chance(40)) {
        alias = code_windows_[random_.below(static_cast<u32>(code_windows_.size()))] - kCode;
    }
    const i32 add = static_cast<i32>(alias);
    switch (random_.below(4)) {
        case 0: {  // mov dword [next+1],imm; next: mov eax,0
            append(unit, {0xc7, 0x05});
            fix(unit, Fixup::Kind::absolute32, here, 11 + add);
            word(unit, random_.word());
            append(unit, {0xb8});
            word(unit, 0x11111111);
            break;
        }
        case 1: {  // mov byte [later],inc/dec; …; nop
            append(unit, {0xc6, 0x05});
            const auto place = unit.bytes.size();
            word(unit, 0);
            append(unit, {0x40 | random_.below(3) | random_.below(2) << 3});
            for (u32 n = random_.below(4); n != 0; --n) {
                instruction(unit, Pick::quiet);
            }
            unit.fixups.push_back({static_cast<u32>(place), Fixup::Kind::absolute32, here,
                                   static_cast<i32>(unit.bytes.size()) + add});
            append(unit, {0x90});
            break;
        }
        case 2: {  // earlier: mov eax,imm; inc dword [earlier+1]
            append(unit, {0xb8});
            word(unit, random_.word());
            instruction(unit, Pick::quiet);
            append(unit, {0xff, 0x05});
            fix(unit, Fixup::Kind::absolute32, here, 1 + add);
            break;
        }
        default: {  // the first byte of a function becomes a NOP of one byte, if it is short
            append(unit, {0x80, 0x35});  // xor byte [unit of this kind's immediate]
            fix(unit, Fixup::Kind::absolute32, here, 9 + add);
            append(unit, {random_.below(256)});
            append(unit, {0xeb, 0x00, 0xb0, random_.below(256)});
            unit.fixups.back().add = 10 + add;
            break;
        }
    }
    return unit;
}

Unit Generator::divide() {
    Unit unit;
    if (random_.chance(60)) {
        append(unit, {0x99});  // cdq
    } else if (random_.chance(60)) {
        append(unit, {0x31, 0xd2});  // xor edx,edx
    }
    if (random_.chance(50)) {
        load(unit, kEcx, random_.value());
    }
    const unsigned form = random_.below(2) << 3 | random_.pick({1u, 3u, 5u, 6u, 7u});
    append(unit, {random_.chance(80) ? 0xf7u : 0xf6u, 0xf0 | form});
    settle(unit);
    return unit;
}

Unit Generator::stack() {
    switch (random_.below(6)) {
        case 0:
            return raw({0x83, 0xec, random_.below(16) * 4});  // sub esp
        case 1:
            return raw({0x83, 0xc4, random_.below(16) * 4});
        case 2:
            return raw({0x8d, 0x64, 0x24, (random_.below(16) * 4 - 32) & 0xff});
        case 3:
            return raw({0x55, 0x89, 0xe5, 0x83, 0xec, 0x10, 0xc9});  // a frame
        case 4:
            return raw({0x60, 0x61});
        default: {  // the stack near a page's end, misaligned
            Unit unit;
            load(unit, kEsp, kStack + 0x2000 + random_.below(24) - 12);
            append(unit, {0x50 | random_.below(8), 0x50 | random_.below(8), 0x58 | scratch()});
            return unit;
        }
    }
}

// BT and its kin far from their operand.
Unit Generator::bits() {
    Unit unit;
    load(unit, kEcx, random_.chance(70) ? random_.below(0x4000) - 0x2000 : random_.word());
    if (random_.chance(10)) {
        append(unit, {0xf0});
    }
    append(unit, {0x0f, random_.pick({0xa3u, 0xabu, 0xb3u, 0xbbu}), 0x0d});
    word(unit, kData + 0x2000 + random_.below(16));
    return unit;
}

// A long instruction, so that page ends come at all places in one.
Unit Generator::straddle() {
    Unit unit = raw({0x81, 0x05 | random_.below(8) << 3});
    word(unit, encoder_.address());
    word(unit, random_.value());
    return unit;
}

// Rounding, precision and unmasked exceptions, with something to do under them.
Unit Generator::control_words() {
    Unit unit;
    const u32 at = kData + 0x2800;
    append(unit, {0xc7, 0x05});
    word(unit, at);
    if (random_.chance(50)) {
        const u32 masks = random_.chance(60) ? 0x3f : random_.below(0x40);
        word(unit, masks | random_.below(4) << 8 | random_.below(4) << 10 | 0x40);
        append(unit, {0xd9, 0x2d});  // fldcw
        word(unit, at);
        for (u32 n = random_.between(1, 4); n != 0; --n) {
            instruction(unit, Pick::x87);
        }
    } else {
        const u32 masks = random_.chance(60) ? 0x3f : random_.below(0x40);
        word(unit, masks << mxcsr::kMaskShift | random_.below(4) << 13 |
                       (random_.chance(20) ? mxcsr::kDaz : 0) |
                       (random_.chance(20) ? mxcsr::kFtz : 0));
        append(unit, {0x0f, 0xae, 0x15});  // ldmxcsr
        word(unit, at);
        for (u32 n = random_.between(1, 4); n != 0; --n) {
            instruction(unit, Pick::simd);
        }
    }
    return unit;
}

}  // namespace ennead::vmcore::fuzz
