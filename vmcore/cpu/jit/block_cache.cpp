// SPDX-License-Identifier: MIT
// Keeps blocks and their links consistent while code changes under them.
#include "vmcore/cpu/jit/block_cache.h"

#include <x86intrin.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace ennead::vmcore::jit {
namespace {

// More than any block's code: kMaxBlockInsns of the longest forms.
constexpr u64 kMostBlockBytes = 32 * 1024;

// An entry of a linker's table changes once, at the first call.
constexpr u8 kGuesses = 2;

// Regions are released without a destructor being run.
static_assert(std::is_trivially_destructible_v<Block> &&
              std::is_trivially_destructible_v<Interpreted>);

// Adds what passes while it lives.
class Ticks {
  public:
    explicit Ticks(u64& sum) : sum_(sum), start_(__rdtsc()) {}
    ~Ticks() { sum_ += __rdtsc() - start_; }
    Ticks(const Ticks&) = delete;
    Ticks& operator=(const Ticks&) = delete;

  private:
    u64& sum_;
    u64 start_;
};

}  // namespace

BlockCache::BlockCache(Hooks hooks, CodeMap& marks)
    : hooks_(std::move(hooks)),
      marks_(marks),
      thunks_(make_thunks(memory_)),
      emitter_(thunks_, *this) {
    links_.emplace_back();
}

BlockCache::~BlockCache() = default;

u32 BlockCache::new_link(u32 eip, Link::Entry entry) {
    u32 number = free_links_;
    if (number == 0) {
        number = static_cast<u32>(links_.size());
        links_.emplace_back();
    } else {
        free_links_ = links_[number].sibling;
    }
    links_[number] = {};
    links_[number].eip = eip;
    links_[number].entry = entry;
    links_[number].sibling = fresh_links_;
    fresh_links_ = number;
    return number;
}

Interpreted* BlockCache::new_interpreted() {
    return new (allocate(sizeof(Interpreted), alignof(Interpreted))) Interpreted;
}

void* BlockCache::allocate(std::size_t size, std::size_t alignment) {
    current_->memory_used += size;
    return current_->memory.allocate(size, alignment);
}

Block* BlockCache::translate(PhysAddr address, u32 eip, bool user, const CodePage& page, bool far,
                             bool shares) {
    const Ticks ticks(counters_.translation_ticks);
    plan_block(eip, user, page.bytes, exact_flags_, !shares, plan_);
    Block* const made = make(address, page, nullptr, far, false);
    if (made != nullptr) {
        made->shares = shares;
    }
    return made;
}

Block* BlockCache::translate_straddling(PhysAddr address, u32 eip, bool user, const CodePage& page,
                                        const CodePage& next) {
    const Ticks ticks(counters_.translation_ticks);
    plan_straddling(eip, user, page.bytes, next.bytes, exact_flags_, plan_);
    return make(address, page, &next, true, false);
}

// A copy that lives as long as the block being made.
template <class T>
std::span<const T> BlockCache::keep(const std::vector<T>& from) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (from.empty()) {
        return {};
    }
    void* const to = allocate(from.size() * sizeof(T), alignof(T));
    std::memcpy(to, from.data(), from.size() * sizeof(T));
    return {static_cast<const T*>(to), from.size()};
}

// What plan_ says.
Block* BlockCache::make(PhysAddr address, const CodePage& page, const CodePage* next, bool far,
                        bool plain) {
    if (plan_.count == 0) {
        return nullptr;
    }
    u8* const base = memory_.reserve(kMostBlockBytes, [this](unsigned region) { evict(region); });
    current_ = &regions_[memory_.region_of(base)];
    auto& block = *new (allocate(sizeof(Block), alignof(Block))) Block;
    block.eip = plan_.eip;
    block.length = static_cast<u16>(plan_.length);
    block.count = static_cast<u8>(plan_.count);
    block.user = plan_.user;
    block.address = address;
    block.code = base;
    block.is_plain = plain;
    block.second_page = next != nullptr ? next->number : Block::kNoPage;
    fresh_links_ = 0;
    const bool emitted = emitter_.emit(
        plan_, {page.fetch_entry, next != nullptr ? next->fetch_entry : 0}, far, base, block);
    block.first_link = fresh_links_;
    if (!emitted) {
        while (fresh_links_ != 0) {
            const u32 number = std::exchange(fresh_links_, links_[fresh_links_].sibling);
            links_[number].sibling = std::exchange(free_links_, number);
        }
        return nullptr;
    }
    const std::span<const u8> code = emitter_.code();
    block.code_size = static_cast<u32>(code.size());
    std::memcpy(memory_.commit(code.size()), code.data(), code.size());
    for (const EmittedLink& each : emitter_.links()) {
        Link& link = links_[each.number];
        link.place = base + each.place;
        link.stub = base + each.stub;
        link.from = &block;
        link.guesses = each.guessed ? kGuesses : 0;
    }
    block.sites = keep(emitter_.sites());
    block.depends = keep(plan_.depends);

    ++counters_.translated;
    counters_.translated_insns += block.count;
    counters_.code_bytes += block.code_size;
    index_.insert(block);
    index_.insert_in_page(block, page.number);
    mark_ranges(block, page.number);
    if (block.second_page != Block::kNoPage && block.second_page != page.number) {
        index_.insert_in_page(block, block.second_page);
        mark_ranges(block, block.second_page);
    }
    current_->blocks.push_back(&block);
    current_->eips.push_back(block.eip);
    return &block;
}

void BlockCache::mark_ranges(const Block& block, u32 page) {
    for (const Block::Range& range : block.depends) {
        if (block.page_of(range) == page) {
            marks_.mark(PhysAddr{u64{page} * kPageSize + range.first},
                        u64{range.last} - range.first + 1u);
        }
    }
}

void BlockCache::connect(u32 number, Block& target) {
    disconnect(number);
    Link& link = links_[number];
    if (link.entry == Link::Entry::far && target.far_entry == Block::kNoEntry) {
        return;
    }
    link.to = &target;
    link.next = target.incoming;
    link.previous = 0;
    if (target.incoming != 0) {
        links_[target.incoming].previous = number;
    }
    target.incoming = number;
    memory_.patch_jump(link.place, target.entry(link.entry));
    ++counters_.links;
}

void BlockCache::expect(u32 number, Block& target) {
    Link& link = links_[number];
    if (link.from == nullptr || link.guesses == 0) {
        return;
    }
    disconnect(number);
    link.eip = target.eip;
    memory_.patch(link.place + Link::kGuess, 0u - target.eip);
    if (--link.guesses == 0) {
        memory_.patch_jump(link.place + Link::kOtherwise, link.place + 4);
    }
    connect(number, target);
}

void BlockCache::disconnect(u32 number) {
    Link& link = links_[number];
    if (link.to == nullptr) {
        return;
    }
    if (link.previous != 0) {
        links_[link.previous].next = link.next;
    } else {
        link.to->incoming = link.next;
    }
    if (link.next != 0) {
        links_[link.next].previous = link.previous;
    }
    link.to = nullptr;
    memory_.patch_jump(link.place, link.stub);
}

// Nothing leads to the block any more; its code stays until its region is evicted, for it may be
// running.
void BlockCache::drop(Block& block) {
    while (block.incoming != 0) {
        disconnect(block.incoming);
    }
    for (u32 number = block.first_link; number != 0; number = links_[number].sibling) {
        disconnect(number);
    }
    if (block.far_entry != Block::kNoEntry) {
        hooks_.forget_jump(block.user, block.eip, block.code + block.far_entry);
    }
    index_.erase(block);
}

Block* BlockCache::plain(PhysAddr address, u32 eip, bool user, const CodePage& page) {
    if (Block* const known = index_.find(address, eip, user, true)) {
        return known;
    }
    const Ticks ticks(counters_.translation_ticks);
    plan_block(eip, user, page.bytes, exact_flags_, true, plan_);
    return make(address, page, nullptr, false, true);
}

void BlockCache::discard(Block& block) {
    take_from_pages(block);
    drop(block);
    hooks_.forget_returns();
}

bool BlockCache::written(PhysAddr address, u64 length) {
    bool any = false;
    for (u64 at = raw(address), end = at + length; at < end;) {
        const u64 page = at / kPageSize;
        const u64 page_end = std::min((page + 1) * kPageSize, end);
        any |= written_in_page(static_cast<u32>(page), static_cast<u32>(at & kPageMask),
                               static_cast<u32>((page_end - 1) & kPageMask));
        at = page_end;
    }
    if (any) {
        hooks_.forget_returns();
    }
    return any;
}

bool BlockCache::written_in_page(u32 page, u32 first, u32 last) {
    bool any = false;
    for (Block *block = index_.first_in_page(page), *next = nullptr; block != nullptr;
         block = next) {
        next = BlockIndex::next_in_page(*block, page);
        if (std::ranges::any_of(block->depends, [&](const Block::Range& range) {
                return block->page_of(range) == page && range.first <= last && range.last >= first;
            })) {
            take_from_pages(*block);
            drop(*block);
            ++counters_.invalidated;
            any = true;
        }
    }
    if (any) {
        marks_.clear(PhysAddr{u64{page} * kPageSize});
        for (const Block* left = index_.first_in_page(page); left != nullptr;
             left = BlockIndex::next_in_page(*left, page)) {
            mark_ranges(*left, page);
        }
    }
    return any;
}

// Marks stay: what is marked without need only makes writes a little slower.
void BlockCache::take_from_pages(Block& block) {
    index_.erase_from_page(block, block.page());
    if (block.second_page != Block::kNoPage) {
        index_.erase_from_page(block, block.second_page);
    }
}

void BlockCache::evict(unsigned region) {
    counters_.regions_evicted += regions_[region].blocks.empty() ? 0 : 1;
    for (Block* const block : regions_[region].blocks) {
        take_from_pages(*block);
        drop(*block);
        while (block->first_link != 0) {
            const u32 number = std::exchange(block->first_link, links_[block->first_link].sibling);
            links_[number] = {};
            links_[number].sibling = std::exchange(free_links_, number);
        }
        ++counters_.evicted;
    }
    regions_[region].blocks.clear();
    regions_[region].eips.clear();
    regions_[region].memory.release();
    regions_[region].memory_used = 0;
    hooks_.forget_returns();
}

void BlockCache::clear() {
    for (unsigned region = 0; region < CodeMemory::kRegions; ++region) {
        for (const Block* const block : regions_[region].blocks) {
            marks_.clear(block->address);
            if (block->second_page != Block::kNoPage) {
                marks_.clear(PhysAddr{u64{block->second_page} * kPageSize});
            }
        }
        evict(region);
    }
}

u64 BlockCache::code_memory_used() const {
    u64 bytes = 0;
    for (const Region& region : regions_) {
        if (!region.blocks.empty()) {
            const Block& last = *region.blocks.back();
            bytes += static_cast<u64>(last.code + last.code_size - region.blocks.front()->code);
        }
    }
    return bytes;
}

u64 BlockCache::description_bytes() const {
    u64 bytes = links_.capacity() * sizeof(Link) + index_.memory_bytes();
    for (const Region& region : regions_) {
        bytes += region.memory_used + region.blocks.capacity() * sizeof(Block*) +
                 region.eips.capacity() * sizeof(u32);
    }
    return bytes;
}

Block* BlockCache::at(const u8* code) const {
    if (!memory_.contains(code)) {
        return nullptr;
    }
    const auto& blocks = regions_[memory_.region_of(code)].blocks;
    const auto after =
        std::ranges::upper_bound(blocks, code, {}, [](const Block* block) { return block->code; });
    if (after == blocks.begin()) {
        return nullptr;
    }
    Block* const block = *std::prev(after);
    return code <= block->code + block->code_size ? block : nullptr;
}

}  // namespace ennead::vmcore::jit
