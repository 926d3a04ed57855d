// SPDX-License-Identifier: MIT
// All translated blocks: found by address, linked to each other, dropped when their bytes change or
// their memory is wanted.
#pragma once

#include <array>
#include <functional>
#include <memory_resource>
#include <vector>

#include "vmcore/cpu/jit/block.h"
#include "vmcore/cpu/jit/block_index.h"
#include "vmcore/cpu/jit/code_memory.h"
#include "vmcore/cpu/jit/emitter.h"
#include "vmcore/cpu/jit/plan.h"
#include "vmcore/cpu/jit/thunks.h"
#include "vmcore/mem/code_map.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

struct CacheCounters {
    u64 translated = 0;        // blocks made
    u64 translated_insns = 0;  // instructions in them
    u64 code_bytes = 0;        // host bytes in them
    u64 invalidated = 0;       // blocks dropped because their bytes were written
    u64 evicted = 0;           // blocks dropped for room
    u64 links = 0;             // links made

    u64 regions_evicted = 0;    // that had blocks in them
    u64 translation_ticks = 0;  // of the host's TSC, spent on making blocks
};

// vCPU thread only.
class BlockCache final : private BlockParts {
  public:
    struct Hooks {
        // Emitted code that is in use may not be returned to any more (the return stack).
        std::function<void()> forget_returns;
        // The entry `code` is about to become invalid as the target of indirect jumps to `eip`.
        std::function<void(bool user, u32 eip, const u8* code)> forget_jump;
    };

    // `marks`: those of the RAM that code is in; they outlive the cache.
    BlockCache(Hooks hooks, CodeMap& marks);
    ~BlockCache();

    [[nodiscard]] const Thunks& thunks() const { return thunks_; }

    // The block for the linear `eip`, which lies at `address`; null if there is none yet.
    [[nodiscard]] Block* find(PhysAddr address, u32 eip, bool user) const {
        return index_.find(address, eip, user, false);
    }
    // A page that code is in: its bytes, and what the fetch table holds for it.
    struct CodePage {
        const u8* bytes = nullptr;
        u64 fetch_entry = 0;
        u32 number = 0;  // physical
    };
    // Makes it, with an entry for jumps from other pages if `far`; it takes the place of the one
    // that there is, which stays good for those who lead there already. Null if the first
    // instruction does not lie in the page as a whole, or is longer than an instruction can be. Not
    // while emitted code is being run.
    Block* translate(PhysAddr address, u32 eip, bool user, const CodePage& page, bool far,
                     bool shares);
    // The same for one instruction that ends in the page `next`; null if it does not.
    Block* translate_straddling(PhysAddr address, u32 eip, bool user, const CodePage& page,
                                const CodePage& next);

    [[nodiscard]] const Link& link(u32 number) const { return links_[number]; }
    // Does nothing if the target has no entry of the kind.
    void connect(u32 number, Block& target);
    // From now on the jump with this link expects `target`, unless it has tried enough, or is gone.
    void expect(u32 number, Block& target);

    // The plain block there, made if need be: entered at its near or poll entry. Null as in
    // translate().
    Block* plain(PhysAddr address, u32 eip, bool user, const CodePage& page);
    // Its bytes are the same, but another page lies behind by now.
    void discard(Block& block);
    // Bytes were written: drops the blocks that depend on them. True if there were any.
    bool written(PhysAddr address, u64 length);
    void clear();

    // The block whose emitted code holds `code`, or ends there.
    [[nodiscard]] Block* at(const u8* code) const;
    // Calls `visit(const Block&)` for all that can still be entered, in no order.
    template <class Visit>
    void for_each(Visit visit) const {
        index_.for_each(visit);
    }

    // Calls `visit(const Block&)` for those at the linear `eip`, in whatever page.
    template <class Visit>
    void for_each_at(u32 eip, Visit visit) const {
        for (const Region& region : regions_) {
            for (std::size_t n = 0; n < region.eips.size(); ++n) {
                if (region.eips[n] != eip) {
                    continue;
                }
                const Block& block = *region.blocks[n];
                if (index_.find(block.address, eip, block.user, block.is_plain) == &block) {
                    visit(block);
                }
            }
        }
    }
    // What the code of blocks takes up, dropped ones and gaps included, in bytes.
    [[nodiscard]] u64 code_memory_used() const;
    // The same of what is remembered of them.
    [[nodiscard]] u64 description_bytes() const;

    // All flags are kept everywhere, as the interpreter has them: for tests.
    void set_exact_flags(bool on) { exact_flags_ = on; }
    [[nodiscard]] bool exact_flags() const { return exact_flags_; }
    [[nodiscard]] const CacheCounters& counters() const { return counters_; }

  private:
    u32 new_link(u32 eip, Link::Entry entry) override;
    Interpreted* new_interpreted() override;
    Block* make(PhysAddr address, const CodePage& page, const CodePage* next, bool far, bool plain);
    // Memory that lives as long as the block being made.
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment);
    template <class T>
    std::span<const T> keep(const std::vector<T>& from);
    void mark_ranges(const Block& block, u32 page);
    bool written_in_page(u32 page, u32 first, u32 last);
    void take_from_pages(Block& block);
    void drop(Block& block);
    void disconnect(u32 number);
    void evict(unsigned region);

    // What was made in a region of code memory lives and dies with it.
    struct Region {
        std::pmr::monotonic_buffer_resource memory;
        u64 memory_used = 0;
        std::vector<Block*> blocks;  // in order of address; dropped ones too
        std::vector<u32> eips;       // of the same, to be searched
    };

    Hooks hooks_;
    CodeMap& marks_;
    CodeMemory memory_;
    Thunks thunks_;
    BlockEmitter emitter_;
    BlockPlan plan_;
    bool exact_flags_ = false;
    CacheCounters counters_;

    BlockIndex index_;
    std::array<Region, CodeMemory::kRegions> regions_;
    Region* current_ = nullptr;  // that of the block being made
    std::vector<Link> links_;    // [0] is not used
    u32 free_links_ = 0;         // a list by `sibling`
    u32 fresh_links_ = 0;        // of the block being made, the same
};

}  // namespace ennead::vmcore::jit
