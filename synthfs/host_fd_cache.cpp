// SPDX-License-Identifier: MIT
// Keeps the descriptors used last, up to a limit, so that a tree of any size needs only so many.
#include "synthfs/host_fd_cache.h"

#include <utility>

namespace ennead::synthfs {

void FdCache::clear() {
    while (!used_.empty()) {
        used_.back()->drop();
    }
}

FdRef FdSlot::get() {
    if (cache_ != nullptr) {
        cache_->used_.splice(cache_->used_.begin(), cache_->used_, place_);
    }
    return fd_;
}

void FdSlot::put(FdCache& cache, FdRef fd) {
    drop();
    while (cache.used_.size() >= cache.limit_) {
        cache.used_.back()->drop();
    }
    cache.used_.push_front(this);
    place_ = cache.used_.begin();
    cache_ = &cache;
    fd_ = std::move(fd);
}

void FdSlot::drop() {
    if (cache_ != nullptr) {
        std::exchange(cache_, nullptr)->used_.erase(place_);
        fd_.reset();
    }
}

}  // namespace ennead::synthfs
