// SPDX-License-Identifier: MIT
// Keeps blocks and their links consistent while code changes under them.
#include "vmcore/cpu/jit/block_cache.h"

#include <algorithm>
#include <utility>

namespace ennead::vmcore::jit {
namespace {

// More than any block's code: kMaxBlockInsns of the longest forms.
constexpr u64 kMostBlockBytes = 32 * 1024;

}  // namespace

BlockCache::BlockCache(Hooks hooks)
    : hooks_(std::move(hooks)), thunks_(make_thunks(memory_)), emitter_(thunks_, *this) {
    links_.emplace_back();
    constexpr std::size_t kUsual = 1u << 16;  // of a system that has booted
    blocks_.reserve(kUsual);
}

BlockCache::~BlockCache() {
    for (auto& region : regions_) {
        for (auto& block : region) {
            for (Interpreted* each : block->interpreted) {
                delete each;
            }
        }
    }
}

Block* BlockCache::find(PhysAddr address, u32 eip, bool user) const {
    const auto found = blocks_.find(key(address, eip, user));
    return found == blocks_.end() ? nullptr : found->second;
}

u32 BlockCache::new_link(u32 eip, Link::Entry entry) {
    u32 number = 0;
    if (free_links_.empty()) {
        number = static_cast<u32>(links_.size());
        links_.emplace_back();
    } else {
        number = free_links_.back();
        free_links_.pop_back();
    }
    links_[number] = {.eip = eip, .entry = entry};
    fresh_links_.push_back(number);
    return number;
}

Block* BlockCache::translate(PhysAddr address, u32 eip, bool user, const CodePage& page,
                             CodeMap& marks) {
    plan_block(eip, user, page.bytes, exact_flags_, plan_);
    return plan_.count == 0 ? nullptr : make(address, page, nullptr, marks);
}

Block* BlockCache::translate_straddling(PhysAddr address, u32 eip, bool user, const CodePage& page,
                                        const CodePage& next, CodeMap& marks) {
    plan_straddling(eip, user, page.bytes, next.bytes, exact_flags_, plan_);
    return plan_.count == 0 ? nullptr : make(address, page, &next, marks);
}

// What plan_ says.
Block* BlockCache::make(PhysAddr address, const CodePage& page, const CodePage* next,
                        CodeMap& marks, bool plain) {
    u8* const base = memory_.reserve(kMostBlockBytes, [this](unsigned region) { evict(region); });
    auto block = std::make_unique<Block>();
    block->eip = plan_.eip;
    block->address = address;
    block->length = static_cast<u16>(plan_.length);
    block->count = static_cast<u8>(plan_.count);
    block->user = plan_.user;
    block->is_plain = plain;
    block->code = base;
    block->depends = plan_.depends;
    block->second_page = next != nullptr ? next->number : Block::kNoPage;
    fresh_links_.clear();
    emitter_.emit(plan_, {page.fetch_entry, next != nullptr ? next->fetch_entry : 0},
                  reinterpret_cast<u64>(base), *block);
    block->code_size = static_cast<u32>(emitter_.size());
    emitter_.copy(memory_.commit(block->code_size));
    for (const EmittedLink& each : emitter_.links()) {
        Link& link = links_[each.number];
        link.place = base + each.place;
        link.stub = base + each.stub;
        link.from = block.get();
    }
    block->links = fresh_links_;
    // The stubs are emitted late, so their order is not that of the sites.
    std::ranges::sort(block->sites, {}, &Site::offset);

    ++counters_.translated;
    counters_.translated_insns += block->count;
    counters_.code_bytes += block->code_size;
    Block* const made = block.get();
    if (!plain) {
        blocks_[key(address, made->eip, made->user)] = made;
    }
    for (const u64 number : {page.number, made->second_page}) {
        if (number != Block::kNoPage) {
            pages_[number].push_back(made);
            mark_ranges(*made, number, marks);
        }
    }
    regions_[memory_.region_of(base)].push_back(std::move(block));
    return made;
}

void BlockCache::mark_ranges(const Block& block, u64 page, CodeMap& marks) const {
    const bool second = page == block.second_page;
    for (const Block::Range& range : block.depends) {
        if (range.second == second) {
            marks.mark(PhysAddr{page * kPageSize + range.first},
                       u64{range.last} - range.first + 1u);
        }
    }
}

void BlockCache::connect(u32 number, Block& target) {
    Link& link = links_[number];
    disconnect(number);
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
    for (const u32 number : block.links) {
        disconnect(number);
    }
    hooks_.forget_jump(block.user, block.eip, block.code);
    const auto found = blocks_.find(key(block.address, block.eip, block.user));
    if (found == blocks_.end()) {
        return;
    }
    if (found->second == &block) {
        blocks_.erase(found);
    } else if (found->second->plain == &block) {
        found->second->plain = nullptr;
    }
}

Block* BlockCache::plain(Block& block, const CodePage& page, CodeMap& marks) {
    if (block.plain == nullptr) {
        plan_block(block.eip, block.user, page.bytes, exact_flags_, plan_);
        plan_.frame = {};
        Block* const made = make(block.address, page, nullptr, marks, true);
        // The block itself may have been evicted to make room.
        if (Block* const whole = find(made->address, made->eip, made->user)) {
            whole->plain = made;
        }
        return made;
    }
    return block.plain;
}

void BlockCache::discard(Block& block) {
    take_from_pages(block);
    drop(block);
    hooks_.forget_returns();
}

bool BlockCache::written(PhysAddr address, u64 length, CodeMap& marks) {
    bool any = false;
    for (u64 at = raw(address), end = at + length; at < end;) {
        const u64 page = at / kPageSize;
        const u64 page_end = std::min((page + 1) * kPageSize, end);
        any |= written_in_page(page, static_cast<u32>(at & kPageMask),
                               static_cast<u32>((page_end - 1) & kPageMask), marks);
        at = page_end;
    }
    if (any) {
        hooks_.forget_returns();
    }
    return any;
}

bool BlockCache::written_in_page(u64 page, u32 first, u32 last, CodeMap& marks) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) {
        return false;
    }
    std::vector<Block*> hit;
    for (Block* const block : found->second) {
        const bool second = page == block->second_page;
        if (std::ranges::any_of(block->depends, [&](const Block::Range& range) {
                return range.second == second && range.first <= last && range.last >= first;
            })) {
            hit.push_back(block);
        }
    }
    for (Block* const block : hit) {
        take_from_pages(*block);
        drop(*block);
        ++counters_.invalidated;
    }
    if (hit.empty()) {
        return false;
    }
    marks.clear(PhysAddr{page * kPageSize});
    if (const auto left = pages_.find(page); left != pages_.end()) {
        for (const Block* const block : left->second) {
            mark_ranges(*block, page, marks);
        }
    }
    return true;
}

// Marks stay: what is marked without need only makes writes a little slower.
void BlockCache::take_from_pages(Block& block) {
    for (const u64 number : {raw(block.address) / kPageSize, block.second_page}) {
        const auto page = pages_.find(number);
        if (page != pages_.end()) {
            std::erase(page->second, &block);
            if (page->second.empty()) {
                pages_.erase(page);
            }
        }
    }
}

void BlockCache::evict(unsigned region) {
    for (const std::unique_ptr<Block>& block : regions_[region]) {
        take_from_pages(*block);
        drop(*block);
        for (const u32 number : block->links) {
            free_links_.push_back(number);
            links_[number] = {};
        }
        for (Interpreted* each : block->interpreted) {
            delete each;
        }
        ++counters_.evicted;
    }
    regions_[region].clear();
    hooks_.forget_returns();
}

void BlockCache::clear(CodeMap& marks) {
    for (const auto& page : pages_) {
        marks.clear(PhysAddr{page.first * kPageSize});
    }
    for (unsigned region = 0; region < CodeMemory::kRegions; ++region) {
        evict(region);
    }
}

const Block* BlockCache::at(const u8* code) const {
    if (!memory_.contains(code)) {
        return nullptr;
    }
    const auto& blocks = regions_[memory_.region_of(code)];
    const auto after = std::ranges::upper_bound(
        blocks, code, {}, [](const std::unique_ptr<Block>& block) { return block->code; });
    if (after == blocks.begin()) {
        return nullptr;
    }
    const Block* const block = std::prev(after)->get();
    return code <= block->code + block->code_size ? block : nullptr;
}

}  // namespace ennead::vmcore::jit
