// SPDX-License-Identifier: MIT
// Finds blocks by address, and those of a page.
#pragma once

#include <cstddef>
#include <vector>

#include "vmcore/cpu/jit/block.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// The blocks carry the lists that they are in: nothing is allocated for one. vCPU thread only.
class BlockIndex {
  public:
    BlockIndex() : buckets_(kFirstBuckets) {}

    [[nodiscard]] Block* find(PhysAddr address, u32 eip, bool user, bool plain) const {
        Block* block = buckets_[bucket(address, eip, user)];
        while (block != nullptr && !(block->eip == eip && block->address == address &&
                                     block->user == user && block->is_plain == plain)) {
            block = block->next_in_bucket;
        }
        return block;
    }
    // `block` is the one to be found from now on.
    void insert(Block& block) {
        if (Block* const before = find(block.address, block.eip, block.user, block.is_plain)) {
            erase(*before);
        }
        if (count_ >= buckets_.size()) {
            grow();
        }
        push(block);
        ++count_;
    }
    // Does nothing if it is not the one to be found.
    void erase(Block& block) {
        Block** at = &buckets_[bucket(block.address, block.eip, block.user)];
        while (*at != nullptr && *at != &block) {
            at = &(*at)->next_in_bucket;
        }
        if (*at != nullptr) {
            *at = block.next_in_bucket;
            --count_;
        }
    }
    template <class Visit>
    void for_each(Visit visit) const {
        for (const Block* first : buckets_) {
            for (const Block* block = first; block != nullptr; block = block->next_in_bucket) {
                visit(*block);
            }
        }
    }

    [[nodiscard]] std::size_t memory_bytes() const {
        return (buckets_.capacity() + pages_.capacity()) * sizeof(Block*);
    }

    // --- by page
    [[nodiscard]] Block* first_in_page(u32 page) const {
        return page < pages_.size() ? pages_[page] : nullptr;
    }
    static Block* next_in_page(const Block& block, u32 page) { return block.node(page).next; }
    void insert_in_page(Block& block, u32 page) {
        if (page >= pages_.size()) {
            pages_.resize(page + page / 2 + 1);
        }
        block.node(page) = {.previous = nullptr, .next = pages_[page]};
        if (pages_[page] != nullptr) {
            pages_[page]->node(page).previous = &block;
        }
        pages_[page] = &block;
    }
    void erase_from_page(Block& block, u32 page) {
        Block::PageNode& at = block.node(page);
        if (at.previous != nullptr) {
            at.previous->node(page).next = at.next;
        } else if (first_in_page(page) == &block) {
            pages_[page] = at.next;
        } else {
            return;  // has been taken out before
        }
        if (at.next != nullptr) {
            at.next->node(page).previous = at.previous;
        }
        at = {};
    }

  private:
    static constexpr std::size_t kFirstBuckets = 1u << 16;  // for a system that has booted

    [[nodiscard]] std::size_t bucket(PhysAddr address, u32 eip, bool user) const {
        // Fibonacci hashing: the high bits of a product depend on all of the key's.
        const u64 key = (raw(address) / kPageSize << 33) ^ (u64{eip} << 1) ^ (user ? 1 : 0);
        return (key * 0x9e37'79b9'7f4a'7c15) >> 32 & (buckets_.size() - 1);
    }
    void push(Block& block) {
        Block*& first = buckets_[bucket(block.address, block.eip, block.user)];
        block.next_in_bucket = first;
        first = &block;
    }
    void grow() {
        std::vector<Block*> before(buckets_.size() * 2);
        before.swap(buckets_);
        for (Block* block : before) {
            while (block != nullptr) {
                Block* const next = block->next_in_bucket;
                push(*block);
                block = next;
            }
        }
    }

    std::vector<Block*> buckets_;  // a power of two of them
    std::size_t count_ = 0;
    std::vector<Block*> pages_;  // by physical page number
};

}  // namespace ennead::vmcore::jit
