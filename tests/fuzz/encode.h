// SPDX-License-Identifier: MIT
// Random instructions, by the rows of opcodes.inc.
#pragma once

#include <vector>

#include "tests/fuzz/case.h"
#include "tests/fuzz/random.h"
#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore::fuzz {

// Which instructions.
enum class Pick {
    any,
    quiet,     // moves that leave the flags alone and touch memory
    producer,  // arithmetic on registers that sets flags
    x87,
    simd,
};

// Rows of kOpcodeTables, each as often as it weighs.
[[nodiscard]] const std::vector<u16>& rows_for(Pick pick);

class Encoder {
  public:
    Encoder(Random& random, const Case& c) : random_(random), case_(c) {}

    // A whole instruction for 32-bit code, or for 16-bit code if the case has it.
    [[nodiscard]] std::vector<u8> instruction(Pick pick);
    // An address that is worth an access.
    [[nodiscard]] u32 address();
    // In one of the case's mappings.
    [[nodiscard]] u32 mapped();
    // A value that a register that serves as a pointer starts with.
    [[nodiscard]] u32 pointer();
    [[nodiscard]] Insn decoded(const std::vector<u8>& bytes) const;

  private:
    [[nodiscard]] std::vector<u8> encode(const OpcodeRow& row);
    void put_operands(const OpcodeRow& row, std::vector<u8>& out);
    void put_modrm(const OpcodeRow& row, std::vector<u8>& out);
    void put_memory(unsigned reg, std::vector<u8>& out);
    void put_immediate(const OpcodeRow& row, unsigned operand_size, std::vector<u8>& out);
    void put(std::vector<u8>& out, u32 value, unsigned bytes) {
        for (unsigned n = 0; n < bytes; ++n) {
            out.push_back(static_cast<u8>(value >> (8 * n)));
        }
    }

    Random& random_;
    const Case& case_;
    bool short_addresses_ = false;
    bool short_operands_ = false;
};

}  // namespace ennead::vmcore::fuzz
