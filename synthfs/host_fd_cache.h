// SPDX-License-Identifier: MIT
// Keeps the descriptors used last, up to a limit, so that a tree of any size needs only so many.
#pragma once

#include <cstddef>
#include <list>

#include "synthfs/host_fd.h"

namespace ennead::synthfs {

class FdSlot;

// Must outlive its slots.
class FdCache {
  public:
    explicit FdCache(std::size_t limit) : limit_(limit < 4 ? 4 : limit) {}
    FdCache(const FdCache&) = delete;
    FdCache& operator=(const FdCache&) = delete;

    [[nodiscard]] std::size_t limit() const { return limit_; }
    [[nodiscard]] std::size_t size() const { return used_.size(); }
    // Closes all that nobody is using.
    void clear();

  private:
    friend class FdSlot;
    std::size_t limit_;
    std::list<FdSlot*> used_;  // most recently used first
};

// Where one owner finds its descriptor again, unless it had to make room for another's.
class FdSlot {
  public:
    FdSlot() = default;
    FdSlot(const FdSlot&) = delete;
    FdSlot& operator=(const FdSlot&) = delete;
    ~FdSlot() { drop(); }

    // Null if there is none (any more).
    [[nodiscard]] FdRef get();
    void put(FdCache& cache, FdRef fd);
    void drop();

  private:
    FdCache* cache_ = nullptr;  // set while fd_ is
    FdRef fd_;
    std::list<FdSlot*>::iterator place_;
};

}  // namespace ennead::synthfs
