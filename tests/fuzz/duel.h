// SPDX-License-Identifier: MIT
// A case on two lanes in step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/lane.h"

namespace ennead::vmcore::fuzz {

struct Verdict {
    bool differs = false;
    u32 slice = 0;  // in which it shows
    u64 instructions = 0;
    std::vector<std::string> what;
};

// The interpreter and the JIT, kept from case to case, for a JIT with a past has more to get wrong.
class Duel {
  public:
    [[nodiscard]] Verdict run(const Case& c, bool tell = false);
    // Forgets the past.
    void renew();

    [[nodiscard]] Lane& interpreter() { return made(interpreter_, LaneKind::interpreter); }
    [[nodiscard]] Lane& jit(bool exact) {
        return exact ? made(exact_, LaneKind::exact_jit) : made(loose_, LaneKind::jit);
    }

  private:
    static Lane& made(std::unique_ptr<Lane>& lane, LaneKind kind) {
        if (lane == nullptr) {
            lane = std::make_unique<Lane>(kind);
        }
        return *lane;
    }

    std::unique_ptr<Lane> interpreter_, exact_, loose_;
};

// Whether flags (or a result) that the SDM leaves undefined are read or seen at the end of a slice
// anywhere in the case: then a difference tells nothing.
[[nodiscard]] bool is_undefined(const Case& c);

// Whether somebody who drops all translations before each instruction would see another run. Then
// the case depends on how long they are kept, which processors may decide as they like (SDM vol 3A
// §4.10.2).
[[nodiscard]] bool depends_on_old_translations(const Case& c);
// The same, told about: a mistake, if the program has flushed wherever it has to.
[[nodiscard]] Verdict keeps_translations_too_long(const Case& c, bool tell = false);

// Programs change page tables only in ways that tell: rights, and frames that they know, and where
// they take something away they flush. A stray store leaves translations stale, which nobody need
// have in common. `image`: as it was before.
[[nodiscard]] bool page_tables_overwritten(Lane& lane, const AddressSpaces& spaces,
                                           const Image& image);

}  // namespace ennead::vmcore::fuzz
