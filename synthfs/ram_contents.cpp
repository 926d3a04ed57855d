// SPDX-License-Identifier: MIT
// A file's bytes in pages, and what a tree in memory may take.
#include <algorithm>
#include <cstring>

#include "synthfs/ram_node.h"

namespace ennead::synthfs {

bool RamTree::take(std::uint64_t bytes) {
    if (bytes > options.limit - std::min(used, options.limit)) {
        return false;
    }
    used += bytes;
    return true;
}

void RamTree::release(RamNodePtr node) {
    doomed_.push_back(std::move(node));
    if (std::exchange(releasing_, true)) {
        return;
    }
    while (!doomed_.empty()) {
        // The destructor of a directory adds what it held to the list.
        const RamNodePtr last = std::move(doomed_.back());
        doomed_.pop_back();
    }
    releasing_ = false;
}

void RamContents::resize(std::uint64_t size) {
    if (size < size_) {
        const std::uint64_t whole = (size + kPage - 1) / kPage;
        const auto first = pages_.lower_bound(whole);
        tree_->give_back(kPage * static_cast<std::uint64_t>(std::distance(first, pages_.end())));
        pages_.erase(first, pages_.end());
        // Zeroes again, should the file grow.
        if (const auto last = pages_.find(size / kPage); last != pages_.end()) {
            std::fill(last->second->begin() + static_cast<std::ptrdiff_t>(size % kPage),
                      last->second->end(), std::byte{0});
        }
    }
    size_ = size;
}

std::size_t RamContents::read(std::uint64_t offset, std::span<std::byte> into) const {
    if (offset >= size_) {
        return 0;
    }
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - offset));
    for (std::size_t done = 0; done < want;) {
        const std::uint64_t at = offset + done;
        const auto in_page = static_cast<std::size_t>(at % kPage);
        const std::size_t count = std::min<std::size_t>(want - done, kPage - in_page);
        if (const auto page = pages_.find(at / kPage); page != pages_.end()) {
            std::memcpy(into.data() + done, page->second->data() + in_page, count);
        } else {
            std::memset(into.data() + done, 0, count);
        }
        done += count;
    }
    return want;
}

std::size_t RamContents::write(std::uint64_t offset, std::span<const std::byte> data) {
    std::size_t done = 0;
    while (done < data.size()) {
        const std::uint64_t at = offset + done;
        const auto in_page = static_cast<std::size_t>(at % kPage);
        const std::size_t count = std::min<std::size_t>(data.size() - done, kPage - in_page);
        auto page = pages_.find(at / kPage);
        if (page == pages_.end()) {
            if (!tree_->take(kPage)) {
                break;
            }
            page = pages_.emplace(at / kPage, std::make_unique<Page>()).first;
        }
        std::memcpy(page->second->data() + in_page, data.data() + done, count);
        done += count;
    }
    if (done != 0) {
        size_ = std::max(size_, offset + done);
    }
    return done;
}

}  // namespace ennead::synthfs
