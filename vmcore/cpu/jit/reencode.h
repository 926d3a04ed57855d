// SPDX-License-Identifier: MIT
// A guest instruction as a host instruction: the same opcode, other registers and another way to
// memory.
#pragma once

#include <array>
#include <span>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// The operand in memory is at [base + index + disp]; host register numbers (index not 4).
struct HostMemory {
    unsigned base = 0, index = 0;
    i32 disp = 0;
};

class Reencoded {
  public:
    // For operations with a ModRM byte, and those with neither ModRM nor a register in the opcode.
    // `memory` is looked at if the instruction has a memory operand.
    Reencoded(const Insn& insn, HostMemory memory);

    // False: it needs a REX prefix together with AH, CH, DH or BH.
    [[nodiscard]] bool possible() const { return possible_; }
    [[nodiscard]] std::span<const u8> bytes() const { return {bytes_.data(), size_}; }

  private:
    void put(unsigned byte) { bytes_[size_++] = static_cast<u8>(byte); }

    std::array<u8, 24> bytes_{};
    std::size_t size_ = 0;
    bool possible_ = true;
};

// The number of the high byte register (4…7) that the operand in ModRM's reg field is, or 0.
[[nodiscard]] unsigned high_byte_in_reg(const Insn& insn);

}  // namespace ennead::vmcore::jit
