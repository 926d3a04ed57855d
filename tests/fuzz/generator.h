// SPDX-License-Identifier: MIT
// The making of a case: what its parts share. The parts are in files by subject.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "tests/fuzz/address_spaces.h"
#include "tests/fuzz/case.h"
#include "tests/fuzz/encode.h"
#include "tests/fuzz/random.h"
#include "tests/fuzz/undefined.h"

namespace ennead::vmcore::fuzz {

class Generator {
  public:
    explicit Generator(u64 seed) : random_(seed), encoder_(random_, case_) { case_.seed = seed; }

    Case make();

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
    static void load(Unit& unit, unsigned gpr, u32 value) {
        append(unit, {0xb8 + gpr});
        word(unit, value);
    }
    unsigned scratch() { return random_.pick({0u, 1u, 2u}); }
    void add(Unit unit) { case_.units.push_back(std::move(unit)); }
    // An instruction; where it leaves flags undefined, one that replaces them all follows.
    void instruction(Unit& unit, Pick pick);
    void settle(Unit& unit);
    void consume(Unit& unit);

    // --- units to refer to
    u32 any_unit();
    u32 near_unit();  // mostly ahead, so that programs get on
    u32 function();

    // --- units: of registers and memory
    Unit plain();
    Unit x87();
    Unit simd();
    Unit reload();
    Unit flag_pattern();
    Unit string();
    Unit modify();
    Unit divide();
    Unit stack();
    Unit bits();
    Unit straddle();
    Unit control_words();
    // of jumps, calls and loops
    Unit conditional();
    Unit jump(u32 target);
    Unit jump_any();
    Unit loop();
    Unit call();
    Unit leave_function();
    Unit return_();
    Unit indirect();
    // of interrupts, privileges and segments
    Unit interrupt();
    Unit flags();
    Unit iret();
    u32 some_vector();
    u16 some_selector();
    Unit segment();
    Unit mend();
    Unit far();
    Unit debug();
    Unit limited_stack();
    Unit virtual_8086();
    Unit fast_call();
    // of control registers and page tables
    Unit system();
    Unit switch_space();
    Unit change_tables();
    Unit change_large();
    Unit change_by_handler();
    Unit elsewhere();
    Unit made_code();
    // any of them
    Unit random_unit();

    // --- pieces of the last ones
    u32 changeable_page(const AddressSpaces& spaces, bool code);
    [[nodiscard]] bool is_global(const AddressSpaces& spaces, u32 page) const;
    void flush(Unit& unit, u32 page);
    void touch(Unit& unit, u32 linear);

    // --- address spaces
    void address_spaces();
    void move_pages();
    void share_frames();
    void part_spaces();
    void window();
    void large_page();
    u32 free_frame();
    u64 used_bits();
    u64 rights_of(u32 page);

    // --- the rest of a case
    void surroundings();
    void registers();
    void slices();
    void event(u32 slice);

    Random random_;
    Case case_;
    Encoder encoder_;
    u32 main_units_ = 0, total_ = 0;
    std::vector<u32> lengths_, starts_;
    std::vector<u32> free_frames_;
    std::vector<u32> code_windows_, data_windows_;  // linear addresses of what kCode, kData have
};

}  // namespace ennead::vmcore::fuzz
