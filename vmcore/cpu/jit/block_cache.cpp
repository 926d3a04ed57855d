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

Block* BlockCache::translate(PhysAddr address, u32 eip, bool user, const u8* page, u64 fetch_entry,
                             CodeMap& marks) {
    plan_block(eip, user, page, exact_flags_, plan_);
    if (plan_.count == 0) {
        return nullptr;
    }
    u8* const base = memory_.reserve(kMostBlockBytes, [this](unsigned region) { evict(region); });
    auto block = std::make_unique<Block>();
    block->eip = eip;
    block->address = address;
    block->length = static_cast<u16>(plan_.length);
    block->count = static_cast<u8>(plan_.count);
    block->user = user;
    block->code = base;
    block->depends = plan_.depends;
    fresh_links_.clear();
    emitter_.emit(plan_, fetch_entry, reinterpret_cast<u64>(base), *block);
    emitter_.copy(bytes_);
    memory_.commit(bytes_);
    block->code_size = static_cast<u32>(bytes_.size());
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
    const PhysAddr page_start{raw(address) & ~u64{kPageMask}};
    for (const Block::Range& range : block->depends) {
        marks.mark(page_start + range.first, u64{range.last} - range.first + 1u);
    }
    Block* const made = block.get();
    blocks_[key(address, eip, user)] = made;
    pages_[raw(address) / kPageSize].push_back(made);
    regions_[memory_.region_of(base)].push_back(std::move(block));
    return made;
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
    if (found != blocks_.end() && found->second == &block) {
        blocks_.erase(found);
    }
}

bool BlockCache::written(PhysAddr address, u64 length, CodeMap& marks) {
    bool any = false;
    for (u64 at = raw(address), end = at + length; at < end;) {
        const u64 page = at / kPageSize;
        const u64 page_end = std::min((page + 1) * kPageSize, end);
        const auto found = pages_.find(page);
        if (found != pages_.end()) {
            const u64 first = at & kPageMask, last = (page_end - 1) & kPageMask;
            const auto hit = [&](const Block* block) {
                return std::ranges::any_of(block->depends, [&](const Block::Range& range) {
                    return range.first <= last && range.last >= first;
                });
            };
            std::vector<Block*>& blocks = found->second;
            const auto kept = std::stable_partition(blocks.begin(), blocks.end(),
                                                    [&](const Block* b) { return !hit(b); });
            for (auto each = kept; each != blocks.end(); ++each) {
                drop(**each);
                ++counters_.invalidated;
                any = true;
            }
            blocks.erase(kept, blocks.end());
            if (any) {
                remark(page, marks);
            }
            if (blocks.empty()) {
                pages_.erase(found);
            }
        }
        at = page_end;
    }
    if (any) {
        hooks_.forget_returns();
    }
    return any;
}

void BlockCache::remark(u64 page, CodeMap& marks) {
    const PhysAddr start{page * kPageSize};
    marks.clear(start);
    for (const Block* block : pages_[page]) {
        for (const Block::Range& range : block->depends) {
            marks.mark(start + range.first, u64{range.last} - range.first + 1u);
        }
    }
}

void BlockCache::evict(unsigned region) {
    for (const std::unique_ptr<Block>& block : regions_[region]) {
        const auto page = pages_.find(raw(block->address) / kPageSize);
        if (page != pages_.end()) {
            // Marks stay: what is marked without need only makes writes a little slower.
            std::erase(page->second, block.get());
        }
        drop(*block);
        for (const u32 number : block->links) {
            free_links_.push_back(number);
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
    for (unsigned region = 0; region < CodeMemory::kRegions; ++region) {
        for (const std::unique_ptr<Block>& block : regions_[region]) {
            marks.clear(block->address);
        }
        evict(region);
    }
    pages_.clear();
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
