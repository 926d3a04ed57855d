// SPDX-License-Identifier: MIT
// Owns executable memory: one mapping that is written to and one that runs, filled region by
// region.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <functional>
#include <span>

#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// vCPU thread only. Addresses handed out are those of the executable view.
class CodeMemory {
  public:
    static constexpr u64 kSize = u64{64} << 20;
    static constexpr unsigned kRegions = 16;  // region 0 begins with the thunks
    static constexpr u64 kRegionSize = kSize / kRegions;

    CodeMemory();  // throws std::bad_alloc if the host allows no executable memory
    ~CodeMemory();
    CodeMemory(const CodeMemory&) = delete;
    CodeMemory& operator=(const CodeMemory&) = delete;

    // Where the next code will be placed if it has up to `most` bytes; when the current region is
    // full it moves on to the next and calls `evict(region)`, which must forget everything in
    // there.
    template <class Evict>
    [[nodiscard]] u8* reserve(u64 most, Evict evict) {
        if (used_ + most > region_end()) {
            region_ = (region_ + 1) % kRegions;
            used_ = region_ == 0 ? permanent_ : region_ * kRegionSize;
            evict(region_);
        }
        return rx() + used_;
    }
    // Takes `size` bytes from what reserve() gave, no more than were asked for; the code is to be
    // written to the address returned, in the other view.
    [[nodiscard]] u8* commit(u64 size);
    // What has been committed so far is never evicted. Only while region 0 is the current one.
    void make_permanent() { permanent_ = used_; }

    // Replaces the four bytes at `where` (executable view).
    void patch(const u8* where, u32 value);
    // The same, with the distance from their end to
    // `target`.
    void patch_jump(const u8* where, const u8* target);

    [[nodiscard]] unsigned region_of(const u8* code) const {
        return static_cast<unsigned>(static_cast<u64>(code - rx()) / kRegionSize);
    }
    [[nodiscard]] bool contains(const u8* code) const {
        return code >= rx() && code < rx() + kSize;
    }

  private:
    [[nodiscard]] u8* rx() const { return static_cast<u8*>(mapping_.rx); }
    [[nodiscard]] u8* rw() const { return static_cast<u8*>(mapping_.rw); }
    [[nodiscard]] u64 region_end() const { return (region_ + 1) * kRegionSize; }

    asmjit::VirtMem::DualMapping mapping_{};
    unsigned region_ = 0;
    u64 used_ = 0;  // from the start of the mapping
    u64 permanent_ = 0;
    u64 populated_ = 0;  // so many bytes from the start have their pages on the host
};

}  // namespace ennead::vmcore::jit
