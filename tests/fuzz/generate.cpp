// SPDX-License-Identifier: MIT
// The program as a whole.
#include "tests/fuzz/generate.h"

#include "tests/fuzz/generator.h"

namespace ennead::vmcore::fuzz {

Case Generator::make() {
    surroundings();
    address_spaces();
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

Unit Generator::random_unit() {
    struct Choice {
        unsigned weight;
        Unit (Generator::*make)();
    };
    static constexpr Choice kChoices[] = {
        {55, &Generator::plain},
        {6, &Generator::reload},
        {9, &Generator::flag_pattern},
        {9, &Generator::conditional},
        {2, &Generator::jump_any},
        {3, &Generator::loop},
        {5, &Generator::call},
        {3, &Generator::return_},
        {3, &Generator::indirect},
        {5, &Generator::string},
        {4, &Generator::modify},
        {3, &Generator::divide},
        {3, &Generator::interrupt},
        {3, &Generator::flags},
        {2, &Generator::iret},
        {4, &Generator::segment},
        {3, &Generator::mend},
        {3, &Generator::system},
        {4, &Generator::x87},
        {4, &Generator::stack},
        {4, &Generator::simd},
        {1, &Generator::far},
        {1, &Generator::debug},
        {1, &Generator::limited_stack},
        {1, &Generator::virtual_8086},
        {3, &Generator::bits},
        {3, &Generator::straddle},
        {2, &Generator::control_words},
        {1, &Generator::fast_call},
        {5, &Generator::elsewhere},
        {3, &Generator::change_by_handler},
        {3, &Generator::made_code},
        {2, &Generator::change_large},
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

u32 Generator::any_unit() {
    return random_.below(total_);
}

// Mostly ahead, so that programs get on.
u32 Generator::near_unit() {
    const u32 here = static_cast<u32>(case_.units.size());
    if (random_.chance(70)) {
        return std::min(here + random_.between(1, 6), total_ - 1);
    }
    return here - std::min(here, random_.below(8));
}

Case generate(u64 seed) {
    return Generator(seed).make();
}

}  // namespace ennead::vmcore::fuzz
