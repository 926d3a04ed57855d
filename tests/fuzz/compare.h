// SPDX-License-Identifier: MIT
// What differs between two lanes that should be the same.
#pragma once

#include <string>
#include <vector>

#include "tests/fuzz/lane.h"

namespace ennead::vmcore::fuzz {

// The state as named words, in an order of no meaning.
struct NamedWord {
    const char* name;
    unsigned index;
    u64 value;
};
[[nodiscard]] std::vector<NamedWord> words_of(const CpuState& state);

struct Scope {
    u32 flags = 0xffffffff;  // those of EFLAGS that are compared
    bool x87_pointers = true;
    // All of RAM, or the frames that programs mostly use.
    bool all_ram = false;
    std::vector<u32> frames{};
};

[[nodiscard]] bool same(Lane& a, Lane& b, const Scope& scope);
// A line each: name, a's, b's.
[[nodiscard]] std::vector<std::string> differences(Lane& a, Lane& b, const Scope& scope);
[[nodiscard]] std::string describe(const CpuState& state);

}  // namespace ennead::vmcore::fuzz
