// SPDX-License-Identifier: MIT
// What Unicorn can be asked: where it is known to be wrong, or where the SDM leaves it open, its
// answer says nothing.
#pragma once

#include "tests/fuzz/address_spaces.h"
#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/state.h"

namespace ennead::vmcore::fuzz {

struct Testimony {
    // The bits of the word `value` at `address` that are compared.
    [[nodiscard]] static u32 bits_of_memory(const AddressSpaces& spaces, u32 address, u32 value);

    // In this state, whatever the instruction.
    [[nodiscard]] static bool possible(const AddressSpaces& spaces, const CpuState& state);
    [[nodiscard]] static bool concerns(const Insn& insn, const CpuState& state);
    [[nodiscard]] static bool concerns(const Insn& insn, const GuestFault& fault);
    // What QEMU keeps flags in, it overwrites before the store (or load) that faults.
    [[nodiscard]] static bool spoils_flags(const Insn& insn);
    // Of a page fault that both have seen.
    [[nodiscard]] static bool knows_cr2(const Insn& insn);
    // Operands across a page end: QEMU reads all before it asks whether it may write, and may have
    // written to the first page when the second one faults; we ask for both pages first.
    [[nodiscard]] static bool at_second_page(u32 our_cr2, u32 their_cr2);
    // As undefined_flags(), by the letter of the SDM.
    [[nodiscard]] static u32 undefined_flags(const Insn& insn, u32 ecx);
};

}  // namespace ennead::vmcore::fuzz
