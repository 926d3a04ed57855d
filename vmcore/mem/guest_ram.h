// SPDX-License-Identifier: MIT
// The guest's RAM: one memfd, mapped once, reached through bounds-checked spans.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Physical addresses 0 … size()-1. Pages cost nothing on the host until they are touched. The vCPU thread owns
// the contents while the machine runs; devices reach RAM on that thread.
class GuestRam {
  public:
    // `size_bytes`: 1 MiB … 3 GiB (below the PCI hole at 3 GiB), a multiple of 4096.
    static Result<std::unique_ptr<GuestRam>> create(u64 size_bytes);
    ~GuestRam();
    GuestRam(const GuestRam&) = delete;
    GuestRam& operator=(const GuestRam&) = delete;

    [[nodiscard]] u64 size() const { return size_; }
    [[nodiscard]] u8* base() { return base_; }
    [[nodiscard]] int fd() const { return fd_; }

    // The bytes at [address, address+length), or nothing if any of them lies outside of RAM.
    [[nodiscard]] std::optional<std::span<u8>> span(PhysAddr address, u64 length);

    // All zero again, with the host's pages given back.
    void clear();

    static constexpr u64 kMaxSize = u64{3} << 30;

  private:
    GuestRam(int fd, u8* base, u64 size) : fd_(fd), base_(base), size_(size) {}
    int fd_;
    u8* base_;
    u64 size_;
};

}  // namespace ennead::vmcore
