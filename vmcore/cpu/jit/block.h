// SPDX-License-Identifier: MIT
// A translated stretch of guest code, and the links that lead out of it.
#pragma once

#include <array>
#include <vector>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

struct Block;

// The most instructions in a block.
inline constexpr unsigned kMaxBlockInsns = 48;
// A jump forward inside of so many bytes of code goes without a look at the budget.
inline constexpr unsigned kUnpolledBytes = 64;
// The most instructions between two such looks: blocks that begin in those bytes, the last of them
// as long as a block may be.
inline constexpr unsigned kMostUnpolled = kUnpolledBytes + kMaxBlockInsns;

// An instruction that emitted code hands to the interpreter.
struct Interpreted {
    Insn insn;
    Handler handler = nullptr;
    u32 eip = 0;
    u8 left = 0;  // instructions of the block from this one on
    bool ends_block = false;
    bool uses_fpu = false;  // x87, MMX or SSE state
};

// A return address in emitted code, and what it says about the guest.
struct Site {
    u32 offset = 0;      // from the start of the block's code
    u16 eip_offset = 0;  // from the block's eip: the instruction to go on with
    u8 left = 0;         // instructions of the block not done
};

// A jump (or call) in emitted code whose target is a block that may come and go.
struct Link {
    const u8* place = nullptr;  // of the four bytes of displacement
    const u8* stub = nullptr;   // where it leads while there is no target
    u32 eip = 0;                // the target's
    // Which entry: `near` for a later instruction of the same page.
    // `plain`: the block's other self, without a frame.
    enum class Entry : u8 { near, poll, far, plain } entry = Entry::far;
    Block* from = nullptr;
    Block* to = nullptr;
    u32 previous = 0, next = 0;  // among the links to `to`; 0: none
};

struct Block {
    u32 eip = 0;
    PhysAddr address{};  // of the first byte
    u16 length = 0;      // bytes of guest code
    u8 count = 0;        // instructions
    bool user = false;
    const u8* code = nullptr;
    u32 code_size = 0;
    // Offsets of the entries in the code: for an indirect jump with its target in R14, from another
    // page, from a later place, and from an earlier one in the same page.
    u16 far_entry = 0, poll_entry = 0, near_entry = 0;
    // The physical number of the second page, of a block that is one instruction across a page's
    // end; kNoPage for all others.
    static constexpr u64 kNoPage = ~u64{0};
    u64 second_page = kNoPage;
    // Bytes that the translation depends on: its own, and those that were looked at to see which
    // flags matter. Offsets in the page, [first, last].
    struct Range {
        u16 first, last;
        bool second = false;  // in the second page
    };
    std::vector<Range> depends;
    std::vector<Site> sites;  // in order of offset
    std::vector<u32> links;   // out of this block
    u32 incoming = 0;         // the first link to it
    u32 executions_seen = 0;
    std::vector<Interpreted*> interpreted;
    Block* plain = nullptr;  // the same without a frame, once it was needed
    bool is_plain = false;   // this is such a one: it is found by its other self only

    [[nodiscard]] const u8* entry(Link::Entry kind) const {
        switch (kind) {
            case Link::Entry::near:
            case Link::Entry::plain:
                return code + near_entry;
            case Link::Entry::poll:
                return code + poll_entry;
            default:
                return code + far_entry;
        }
    }
};

}  // namespace ennead::vmcore::jit
