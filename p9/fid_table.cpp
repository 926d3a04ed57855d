// SPDX-License-Identifier: MIT
// Keeps the fids of a connection and the places they stand at.
#include "p9/fid_table.h"

#include <utility>

#include "p9/message.h"

namespace ennead::p9 {

Place::~Place() {
    PlacePtr up = std::move(parent);
    while (up && up.use_count() == 1) {
        up = std::exchange(up->parent, nullptr);
    }
}

FidPtr FidTable::find(std::uint32_t number) const {
    const auto found = fids_.find(number);
    return found == fids_.end() ? nullptr : found->second;
}

synthfs::Result<> FidTable::reserve(std::uint32_t number) {
    if (number == kNoFid || fids_.contains(number)) {
        return synthfs::error(EINVAL);
    }
    if (fids_.size() >= limit_) {
        return synthfs::error(ENFILE);
    }
    fids_.emplace(number, nullptr);
    return synthfs::success();
}

void FidTable::bind(std::uint32_t number, FidPtr fid) {
    fids_[number] = std::move(fid);
}

FidPtr FidTable::release(std::uint32_t number) {
    const auto found = fids_.find(number);
    if (found == fids_.end()) {
        return nullptr;
    }
    FidPtr fid = std::move(found->second);
    fids_.erase(found);
    return fid;
}

std::vector<FidPtr> FidTable::take_all() {
    std::vector<FidPtr> all;
    all.reserve(fids_.size());
    for (auto& [number, fid] : fids_) {
        all.push_back(std::move(fid));
    }
    fids_.clear();
    return all;
}

void FidTable::renamed(const PlacePtr& old_parent, const std::string& old_name,
                       const PlacePtr& new_parent, const std::string& new_name) {
    ++passes_;
    // What stands above the new place cannot have moved below itself; a node that claims so would
    // close a circle here.
    for (Place* above = new_parent.get(); above && above->seen != passes_;
         above = above->parent.get()) {
        above->seen = passes_;
    }
    const synthfs::Identity old_directory = old_parent->node->identity();
    for (const auto& [number, fid] : fids_) {
        for (Place* at = fid ? fid->place.get() : nullptr; at && at->seen != passes_;) {
            at->seen = passes_;
            Place* above = at->parent.get();
            if (above && at->name == old_name && above->node->identity().same_file(old_directory)) {
                at->parent = new_parent;
                at->name = new_name;
                break;  // what is above now was seen; what was above may be reached by others
            }
            at = above;
        }
    }
}

}  // namespace ennead::p9
