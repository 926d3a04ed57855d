// SPDX-License-Identifier: MIT
// Matches what the CPU does against the list, and counts.
#include "vmcore/cpu/interp/breakpoints.h"

#include <algorithm>
#include <cassert>

namespace ennead::vmcore {

void Breakpoints::set(std::vector<Breakpoint> list) {
    assert(list.size() <= kMost);
    list_ = std::move(list);
    noted_.assign(list_.size(), {});
    hit_ = passing_ = false;
    on_data_ =
        std::ranges::any_of(list_, [](const Breakpoint& b) { return b.kind.read || b.kind.write; });
    on_execution_ = std::ranges::any_of(list_, [](const Breakpoint& b) { return b.kind.execute; });
}

void Breakpoints::note_access(LinearAddr address, u32 size, Access access) {
    for (std::size_t i = 0; i < list_.size(); ++i) {
        const Breakpoint& b = list_[i];
        const bool wanted = access == Access::write ? b.kind.write : b.kind.read;
        // Distances in wrapping arithmetic, so that an access across 4 GiB matches as well.
        if (wanted &&
            (raw(address) - raw(b.address) < b.length || raw(b.address) - raw(address) < size)) {
            (access == Access::write ? noted_[i].write : noted_[i].read) = true;
            hit_ = true;
        }
    }
}

bool Breakpoints::note_execution(LinearAddr address) {
    for (std::size_t i = 0; i < list_.size(); ++i) {
        if (list_[i].kind.execute && list_[i].address == address) {
            noted_[i].execute = hit_ = true;
        }
    }
    return hit_;
}

void Breakpoints::drop_hits() {
    if (hit_) {
        std::ranges::fill(noted_, BreakpointKind{});
        hit_ = false;
    }
}

std::vector<BreakpointHit> Breakpoints::take_hits() {
    std::vector<BreakpointHit> hits;
    if (!hit_) {
        return hits;
    }
    for (std::size_t i = 0; i < list_.size(); ++i) {
        if (noted_[i] != BreakpointKind{}) {
            ++list_[i].hits;
            hits.push_back({noted_[i], list_[i].address});
        }
    }
    drop_hits();
    return hits;
}

}  // namespace ennead::vmcore
