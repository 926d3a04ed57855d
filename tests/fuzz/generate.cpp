// SPDX-License-Identifier: MIT
#include "tests/fuzz/generate.h"

#include <initializer_list>

#include "tests/fuzz/encode.h"
#include "tests/fuzz/random.h"
#include "tests/fuzz/undefined.h"

namespace ennead::vmcore::fuzz {
namespace {

using namespace place;

class Generator {
  public:
    explicit Generator(u64 seed) : random_(seed), encoder_(random_, case_) { case_.seed = seed; }

    Case make() {
        surroundings();
        registers();
        main_units_ = random_.between(8, 70);
        const u32 functions = random_.between(1, 5);
        for (u32 n = 0; n < functions; ++n) {
            lengths_.push_back(random_.between(1, 6));
        }
        u32 total = main_units_ + 1;
        for (const u32 length : lengths_) {
            starts_.push_back(total);
            total += length + 1;
        }
        total_ = total;
        for (u32 n = 0; n < main_units_; ++n) {
            add(random_unit());
        }
        add(jump(random_.below(main_units_)));
        case_.first_function = static_cast<u32>(case_.units.size());
        for (u32 n = 0; n < functions; ++n) {
            for (u32 k = 0; k < lengths_[n]; ++k) {
                add(random_unit());
            }
            add(leave_function());
        }
        for (u32& landing : case_.landings) {
            landing = random_.below(main_units_);
        }
        slices();
        return std::move(case_);
    }

  private:
    // --- pieces of units
    static Unit raw(std::initializer_list<unsigned> bytes) {
        Unit unit;
        append(unit, bytes);
        return unit;
    }
    static void append(Unit& unit, std::initializer_list<unsigned> bytes) {
        for (const unsigned b : bytes) {
            unit.bytes.push_back(static_cast<u8>(b));
        }
    }
    static void word(Unit& unit, u32 value) {
        append(unit, {value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24});
    }
    static void half(Unit& unit, u32 value) { append(unit, {value & 0xff, value >> 8 & 0xff}); }
    static void fix(Unit& unit, Fixup::Kind kind, u32 target, i32 add = 0) {
        unit.fixups.push_back({static_cast<u32>(unit.bytes.size()), kind, target, add});
        if (kind == Fixup::Kind::relative8) {
            append(unit, {0});
        } else {
            word(unit, 0);
        }
    }
    // An instruction; where it leaves flags undefined, one that replaces them all follows.
    void instruction(Unit& unit, Pick pick) {
        const std::vector<u8> bytes = encoder_.instruction(pick);
        unit.bytes.insert(unit.bytes.end(), bytes.begin(), bytes.end());
        const Insn insn = encoder_.decoded(bytes);
        if (ever_undefined_flags(insn) != 0) {
            settle(unit);
        }
    }
    void settle(Unit& unit) {
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
    static void load(Unit& unit, unsigned gpr, u32 value) {
        append(unit, {0xb8 + gpr});
        word(unit, value);
    }
    u32 any_unit() { return random_.below(total_); }
    // Mostly ahead, so that programs get on.
    u32 near_unit() {
        const u32 here = static_cast<u32>(case_.units.size());
        if (random_.chance(70)) {
            return std::min(here + random_.between(1, 6), total_ - 1);
        }
        return here - std::min(here, random_.below(8));
    }
    unsigned scratch() { return random_.pick({0u, 1u, 2u}); }
    bool wide_code() const { return !case_.code16; }

    void add(Unit unit) { case_.units.push_back(std::move(unit)); }

    // --- units
    Unit random_unit() {
        struct Choice {
            unsigned weight;
            Unit (Generator::*make)();
        };
        static constexpr Choice kChoices[] = {
            {55, &Generator::plain},       {6, &Generator::reload},
            {9, &Generator::flag_pattern}, {9, &Generator::conditional},
            {2, &Generator::jump_any},     {3, &Generator::loop},
            {5, &Generator::call},         {3, &Generator::return_},
            {3, &Generator::indirect},     {5, &Generator::string},
            {4, &Generator::modify},       {3, &Generator::divide},
            {3, &Generator::interrupt},    {3, &Generator::flags},
            {2, &Generator::iret},         {4, &Generator::segment},
            {3, &Generator::mend},         {3, &Generator::system},
            {4, &Generator::x87},          {4, &Generator::stack},
            {4, &Generator::simd},         {1, &Generator::far},
            {1, &Generator::debug},        {1, &Generator::limited_stack},
            {1, &Generator::virtual_8086}, {3, &Generator::bits},
            {3, &Generator::straddle},     {2, &Generator::control_words},
            {1, &Generator::fast_call},
        };
        unsigned total = 0;
        for (const Choice& each : kChoices) {
            total += each.weight;
        }
        unsigned at = random_.below(total);
        for (const Choice& each : kChoices) {
            if (at < each.weight) {
                return (this->*each.make)();
            }
            at -= each.weight;
        }
        return plain();
    }

    Unit plain() {
        Unit unit;
        instruction(unit, Pick::any);
        return unit;
    }
    Unit x87() {
        Unit unit;
        if (random_.chance(20)) {
            append(unit, {0xdb, 0xe3});  // fninit
        }
        for (u32 n = random_.between(1, 4); n != 0; --n) {
            instruction(unit, Pick::x87);
        }
        return unit;
    }
    Unit simd() {
        Unit unit;
        for (u32 n = random_.between(1, 5); n != 0; --n) {
            instruction(unit, random_.chance(85) ? Pick::simd : Pick::x87);
        }
        return unit;
    }
    Unit reload() {
        Unit unit;
        const unsigned gpr = random_.pick({3u, 5u, 6u, 7u, 3u, 5u, 6u, 7u, 4u});
        load(unit, gpr,
             gpr == kEsp          ? kStack + 0x2000 + random_.below(0x1000)
             : random_.chance(50) ? case_.gpr[gpr]
                                  : encoder_.pointer());
        return unit;
    }
    // Flags made, kept over memory accesses, then read.
    Unit flag_pattern() {
        Unit unit;
        instruction(unit, Pick::producer);
        for (u32 n = random_.between(1, 3); n != 0; --n) {
            instruction(unit, Pick::quiet);
        }
        consume(unit);
        return unit;
    }
    void consume(Unit& unit) {
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
    Unit conditional() {
        if (random_.chance(50)) {
            Unit unit = raw({0x70 | random_.below(16)});
            fix(unit, Fixup::Kind::relative8, near_unit());
            return unit;
        }
        Unit unit = raw({0x0f, 0x80 | random_.below(16)});
        fix(unit, Fixup::Kind::relative32, random_.chance(80) ? near_unit() : any_unit());
        return unit;
    }
    Unit jump(u32 target) {
        Unit unit = raw({0xe9});
        fix(unit, Fixup::Kind::relative32, target);
        return unit;
    }
    Unit jump_any() { return jump(random_.chance(70) ? near_unit() : any_unit()); }
    Unit loop() {
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
    u32 function() { return starts_[random_.below(static_cast<u32>(starts_.size()))]; }
    Unit call() {
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
    Unit leave_function() {
        Unit unit;
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
    Unit return_() {
        Unit unit;
        if (random_.chance(60)) {
            append(unit, {0x68});  // push; ret
            fix(unit, Fixup::Kind::absolute32, random_.chance(70) ? near_unit() : any_unit());
        }
        append(unit, {0xc3});
        return unit;
    }
    Unit indirect() {
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
    Unit string() {
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
    Unit modify() {
        Unit unit;
        if (!case_.exact) {
            return plain();
        }
        const u32 here = static_cast<u32>(case_.units.size());
        const u32 alias = random_.chance(30) ? kCodeAlias - kCode : 0;
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
    Unit divide() {
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
    Unit interrupt() {
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
                return raw({0xcd, random_.between(0x30, 0x50)});
        }
    }
    Unit flags() {
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
    Unit iret() {
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
    u16 some_selector() {
        const u16 rpl = static_cast<u16>(case_.user || random_.chance(20) ? 3 : 0);
        const u16 which = random_.pick<u16>(
            {0, selector::kData0, selector::kData3, selector::kData16, selector::kSmall,
             selector::kDown, selector::kReadOnly, selector::kAbsent, selector::kFs, selector::kGs,
             selector::kConforming, selector::kTss, selector::kData3, selector::kData3});
        return static_cast<u16>(which | rpl);
    }
    Unit segment() {
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
    Unit mend() {
        Unit unit;
        const u32 data = case_.user ? selector::kData3 | 3u : u32{selector::kData0};
        append(unit, {0x6a, data, 0x1f, 0x6a, data, 0x07});
        return unit;
    }
    Unit system() {
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
                const u32 page = random_.pick({kSpecialReadOnly, kAbsent, kSupervisor, kDataAlias,
                                               kData + 0x2000, kData + 0x3000, kReadOnly,
                                               kFunctions, kFunctions + 0x1000});
                const bool pae = case_.paging == PagingKind::pae;
                append(unit, {0x80, 0x35});
                word(unit,
                     (pae ? 0x47000 : kDirectory + 0x1000) + page / kPageSize * (pae ? 8 : 4));
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
    Unit stack() {
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
    Unit far() {
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
    Unit debug() {
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
    Unit limited_stack() {
        if (!case_.user) {
            return plain();
        }
        Unit unit;
        const bool down = random_.chance(50);
        const u32 end = down ? kData + 0x1000 : 0x2000;
        append(unit, {0x6a, (down ? selector::kDown : selector::kSmall) | 3u, 0x17});  // pop ss
        load(unit, kEsp,
             end + (random_.chance(50) ? random_.below(0x40) : 0u - random_.below(0x40)));
        for (u32 n = random_.between(1, 6); n != 0; --n) {
            append(unit, {random_.pick({0x50u, 0x51u, 0x58u, 0x59u, 0x60u, 0x61u, 0x9cu, 0xc9u})});
        }
        append(unit, {0x6a, selector::kData3 | 3, 0x17});
        load(unit, kEsp, kStack + 0x2000);
        return unit;
    }
    // Into virtual-8086 mode, where what follows in the unit runs as 16-bit code. A fault leads
    // out: its handler cannot go back to an EIP beyond 64 KiB, and goes on as the kernel.
    Unit virtual_8086() {
        if (case_.user || case_.code16) {
            return plain();
        }
        Unit unit;
        if (random_.chance(40)) {
            append(unit, {0x0f, 0x20, 0xe1, 0x80, 0xf1, 0x01, 0x0f, 0x22, 0xe1});  // cr4 ^= VME
        }
        constexpr u32 kSegments[] = {kData >> 4, (kData + 0x1000) >> 4, kSpecial >> 4,
                                     kReadOnly >> 4};
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
                    append(
                        unit,
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
    // BT and its kin far from their operand.
    Unit bits() {
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
    Unit straddle() {
        Unit unit = raw({0x81, 0x05 | random_.below(8) << 3});
        word(unit, encoder_.address());
        word(unit, random_.value());
        return unit;
    }

    // Rounding, precision and unmasked exceptions, with something to do under them.
    Unit control_words() {
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
    // mov ecx,esp; mov edx,back; sysenter: the handler comes back by SYSEXIT, to CPL 3 in any case.
    Unit fast_call() {
        Unit unit = raw({0x89, 0xe1, 0xba});
        fix(unit, Fixup::Kind::absolute32, near_unit());
        append(unit, {0x0f, 0x34});
        return unit;
    }

    // --- the rest of a case
    void surroundings() {
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
    void registers() {
        for (unsigned n = 0; n < 8; ++n) {
            case_.gpr[n] = is_pointer(n) ? encoder_.pointer() : random_.value();
        }
        case_.gpr[kEsp] = kStack + 0x2000 +
                          (random_.chance(80) ? random_.below(0x400) * 4 : random_.below(0x1000));
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
    void slices() {
        const u32 count = random_.between(2, 10);
        for (u32 n = 0; n < count; ++n) {
            case_.slices.push_back(random_.chance(35) ? random_.between(1, 200)
                                                      : random_.between(120, 900));
        }
        for (u32 n = random_.below(4); n != 0; --n) {
            event(random_.below(count));
        }
    }
    void event(u32 slice) {
        Event event{};
        event.slice = slice;
        switch (random_.below(8)) {
            case 0:
            case 1:
            case 2:
                event.kind = Event::Kind::interrupt;
                event.a = random_.between(0x30, 0x4f);
                break;
            case 3:
                event.kind = Event::Kind::nmi;
                break;
            case 4:
                event.kind = Event::Kind::flip;
                event.a = kData + random_.below(0x12) * 0x1000;
                if (event.a >= kDirectory || event.a == kSpecial - 0x1000) {
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

    Random random_;
    Case case_;
    Encoder encoder_;
    u32 main_units_ = 0, total_ = 0;
    std::vector<u32> lengths_, starts_;
};

}  // namespace

Case generate(u64 seed) {
    return Generator(seed).make();
}

}  // namespace ennead::vmcore::fuzz
