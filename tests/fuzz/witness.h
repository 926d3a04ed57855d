// SPDX-License-Identifier: MIT
// A second opinion: a case on the interpreter and on Unicorn (QEMU's translator as a library), a
// few instructions at a time. It shares no line with us, so it does not share our mistakes.
#pragma once

#include <memory>

#include "tests/fuzz/case.h"
#include "tests/fuzz/duel.h"
#include "tests/fuzz/unicorn.h"

namespace ennead::vmcore::fuzz {

struct WitnessCounts {
    u64 instructions = 0;  // that both have run
    u64 faults = 0;        // that both have raised
    u64 left_out = 0;      // instructions that only the interpreter ran
    u64 unanswered = 0;    // runs that Unicorn could not do, for there was no memory
};

class Witness {
  public:
    Witness();
    ~Witness();

    [[nodiscard]] Verdict run(const Case& c, bool tell = false);
    [[nodiscard]] const WitnessCounts& counts() const;

  private:
    class Run;

    std::unique_ptr<Unicorn> unicorn_;
    std::unique_ptr<Lane> lane_;
    WitnessCounts counts_;
};

}  // namespace ennead::vmcore::fuzz
