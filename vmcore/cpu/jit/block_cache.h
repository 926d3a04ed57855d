// SPDX-License-Identifier: MIT
// All translated blocks: found by address, linked to each other, dropped when their bytes change or
// their memory is wanted.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "vmcore/cpu/jit/block.h"
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
};

// vCPU thread only.
class BlockCache final : private LinkNumbers {
  public:
    struct Hooks {
        // Emitted code that is in use may not be returned to any more (the return stack).
        std::function<void()> forget_returns;
        // `code` is about to become invalid as the target of indirect jumps to `eip`.
        std::function<void(bool user, u32 eip, const u8* code)> forget_jump;
    };

    explicit BlockCache(Hooks hooks);
    ~BlockCache();

    [[nodiscard]] const Thunks& thunks() const { return thunks_; }

    // The block for the linear `eip`, which lies at `address`; null if there is none yet.
    [[nodiscard]] Block* find(PhysAddr address, u32 eip, bool user)
        const;  // A page that code is in: its bytes, and what the fetch table holds for it.
    struct CodePage {
        const u8* bytes = nullptr;
        u64 fetch_entry = 0;
        u64 number = 0;  // physical
    };
    // Makes it. Null if the first instruction does not lie in the page as a whole, or is longer
    // than an instruction can be. Not while emitted code is being run.
    Block* translate(PhysAddr address, u32 eip, bool user, const CodePage& page, CodeMap& marks);
    // The same for one instruction that ends in the page `next`; null if it does not.
    Block* translate_straddling(PhysAddr address, u32 eip, bool user, const CodePage& page,
                                const CodePage& next, CodeMap& marks);

    [[nodiscard]] const Link& link(u32 number) const { return links_[number]; }
    void connect(u32 number, Block& target);

    // The same block without a frame (made if need be): entered at its near entry.
    Block* plain(Block& block, const CodePage& page, CodeMap& marks);
    // Its bytes are the same, but another page lies behind by now.
    void discard(Block& block);
    // Bytes were written: drops the blocks that depend on them. True if there were any.
    bool written(PhysAddr address, u64 length, CodeMap& marks);
    void clear(CodeMap& marks);

    // The block whose emitted code holds `code`.
    [[nodiscard]] const Block* at(const u8* code) const;

    // All flags are kept everywhere, as the interpreter has them: for tests.
    void set_exact_flags(bool on) { exact_flags_ = on; }
    [[nodiscard]] const CacheCounters& counters() const { return counters_; }

  private:
    using Key = u64;
    static Key key(PhysAddr address, u32 eip, bool user) {
        return raw(address) / kPageSize << 33 | u64{eip} << 1 | (user ? 1 : 0);
    }

    u32 new_link(u32 eip, Link::Entry entry) override;
    Block* make(PhysAddr address, const CodePage& page, const CodePage* next, CodeMap& marks,
                bool plain = false);
    void mark_ranges(const Block& block, u64 page, CodeMap& marks) const;
    bool written_in_page(u64 page, u32 first, u32 last, CodeMap& marks);
    void take_from_pages(Block& block);
    void drop(Block& block);
    void disconnect(u32 number);
    void evict(unsigned region);

    Hooks hooks_;
    CodeMemory memory_;
    Thunks thunks_;
    BlockEmitter emitter_;
    BlockPlan plan_;
    bool exact_flags_ = false;
    CacheCounters counters_;

    std::unordered_map<Key, Block*> blocks_;
    std::unordered_map<u64, std::vector<Block*>> pages_;  // by physical page number
    // In order of address; dropped ones too, until their region is evicted.
    std::array<std::vector<std::unique_ptr<Block>>, CodeMemory::kRegions> regions_;
    std::deque<Link> links_;  // [0] is not used
    std::vector<u32> free_links_;
    std::vector<u32> fresh_links_;  // of the block being made
};

}  // namespace ennead::vmcore::jit
