// SPDX-License-Identifier: MIT
// A translated stretch of guest code, and the links that lead out of it.
#pragma once

#include <array>
#include <cstddef>
#include <span>

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

// An instruction that emitted code hands to the interpreter as a matter of course.
struct Interpreted {
    Insn insn;
    Handler handler = nullptr;
    u32 eip = 0;
    u8 left = 0;  // instructions of the block from this one on
    bool ends_block = false;
    bool uses_fpu = false;  // x87, MMX or SSE state
};

// Where the guest's arithmetic flags are.
enum class FlagsAt : u8 {
    host,    // in the host's flags, or nobody wants them
    raw,     // R10: as LAHF and SETO leave them in EAX
    add,     // R10 + immediate gives them
    sub,     // R10 - immediate
    result,  // TEST R10, R10
};

// A return address in emitted code from where C++ may have to finish an instruction, and all that
// it has to know for that.
struct Site {
    u32 offset = 0;      // from the start of the block's code
    u32 immediate = 0;   // of FlagsAt::add and sub
    u16 eip_offset = 0;  // of the instruction, from the block's eip
    u16 resume = 0;      // offset of the code behind the instruction; 0: the block is left
    u8 left = 0;         // instructions of the block not done, this one included
    FlagsAt flags = FlagsAt::host;
};

// A jump (or call) in emitted code whose target is a block that may come and go.
struct Link {
    const u8* place = nullptr;  // of the four bytes of displacement
    const u8* stub = nullptr;   // where it leads while there is no target
    Block* from = nullptr;
    Block* to = nullptr;
    u32 eip = 0;                 // the target's
    u32 previous = 0, next = 0;  // among the links to `to`; 0: none
    u32 sibling = 0;             // the next link out of the same block; 0: none
    // Which entry: `near` for a later instruction of the same page.
    // `plain`: the block's other self, in which each access looks at the tables.
    enum class Entry : u8 { near, poll, far, plain } entry = Entry::far;
    // Of an indirect jump that expects the target it had before (BlockEmitter::emit_guessed_jump):
    // how many more targets it is going to try. The code around `place` has the negative of the
    // expected EIP and the displacement to where others go at these distances.
    static constexpr std::ptrdiff_t kGuess = -16, kOtherwise = -8;
    u8 guesses = 0;
};

// Lives, with what its spans point to, in the memory of its region (BlockCache).
struct Block {
    u32 eip = 0;
    u16 length = 0;  // bytes of guest code
    u8 count = 0;    // instructions
    bool user = false;
    PhysAddr address{};  // of the first byte
    const u8* code = nullptr;
    u32 code_size = 0;
    // Offsets of the entries in the code: from another page, from a later place, and from an
    // earlier one in the same page.
    static constexpr u16 kNoEntry = 0xffff;
    u16 far_entry = kNoEntry;  // made only for blocks that are entered that way
    u16 poll_entry = 0, near_entry = 0;
    bool is_plain = false;  // each access looks for itself: another self, found by its own key
    bool shares = true;     // false: was left too often for its plain self
    u8 escapes = 0;         // how often
    u32 first_link = 0;     // out of this block; 0: none
    u32 incoming = 0;       // the first link to it; 0: none
    // The physical number of the second page, of a block that is one instruction across a page's
    // end; kNoPage for all others. The same as the first one's if both linear pages lead there.
    static constexpr u32 kNoPage = ~u32{0};
    u32 second_page = kNoPage;
    // Bytes that the translation depends on: its own, and those that were looked at to see which
    // flags matter. Offsets in the page, [first, last].
    struct Range {
        u16 first, last;
        bool second = false;  // in the second page
    };
    std::span<const Range> depends;
    std::span<const Site> sites;  // in order of offset
    Block* next_in_bucket = nullptr;
    // Its place among the blocks of its page, and of the second one.
    struct PageNode {
        Block* previous = nullptr;
        Block* next = nullptr;
    };
    std::array<PageNode, 2> in_page;

    [[nodiscard]] PageNode& node(u32 number) { return in_page[number == page() ? 0 : 1]; }
    [[nodiscard]] const PageNode& node(u32 number) const {
        return in_page[number == page() ? 0 : 1];
    }
    [[nodiscard]] u32 page() const { return static_cast<u32>(raw(address) / kPageSize); }
    [[nodiscard]] u32 page_of(const Range& range) const {
        return range.second ? second_page : page();
    }
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
