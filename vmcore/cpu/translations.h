// SPDX-License-Identifier: MIT
// What an engine has translated, for those who look at it from outside.
#pragma once

#include <string>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

// One block of translated code. A value: it tells how things were.
struct TranslatedBlock {
    u32 eip = 0;  // linear
    PhysAddr address{};
    u32 guest_bytes = 0;
    u32 instructions = 0;
    u64 host_address = 0;
    u32 host_bytes = 0;
    bool user = false;
    bool plain = false;      // each of its accesses looks at the tables for itself
    bool straddles = false;  // one instruction, which ends in the next page
    bool far = false;        // it has an entry for jumps from other pages
};

// vCPU thread only.
class Translations {
  public:
    virtual ~Translations() = default;
    // All that can be entered, in no order.
    [[nodiscard]] virtual std::vector<TranslatedBlock> blocks() const = 0;
    [[nodiscard]] virtual bool has_block(u32 eip) const = 0;
    // Guest code and the host code made from it, of every block at the linear `eip`; empty if there
    // is none.
    [[nodiscard]] virtual std::string listing(u32 eip) const = 0;
    // Lines of a name and a number.
    [[nodiscard]] virtual std::string stats_text() const = 0;
};

// A line for each, by EIP: EIP, physical address, bytes of guest code, instructions, host address,
// bytes of host code, `s` or `u`, and flags joined by commas or `-`. Any thread.
[[nodiscard]] std::string blocks_text(std::vector<TranslatedBlock> blocks);

}  // namespace ennead::vmcore
