// SPDX-License-Identifier: MIT
// The guest's RAM: one memfd, mapped once, reached through bounds-checked spans.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "vmcore/mem/code_map.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Hears of changes to bytes that are marked in the code map. On the vCPU thread.
class CodeWatcher {
  public:
    virtual ~CodeWatcher() = default;
    virtual void code_written(PhysAddr address, u64 length) = 0;
};

// Physical addresses 0 … size()-1. Pages cost nothing on the host until they are touched. The vCPU
// thread owns the contents while the machine runs; devices reach RAM on that thread.
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

    // To be called by whoever has written to RAM other than by way of the CPU's tables of
    // translations: devices, files, page walks. The range lies inside RAM.
    void written(PhysAddr address, u64 length) {
        if (watcher_ != nullptr && length != 0 && code_.touches(address, length)) [[unlikely]] {
            watcher_->code_written(address, length);
        }
    }
    void written(std::span<const u8> bytes) {
        written(PhysAddr{static_cast<u64>(bytes.data() - base_)}, bytes.size());
    }
    // Whether a write there has to be told of.
    [[nodiscard]] bool holds_code(std::span<const u8> bytes) const {
        return code_.touches(PhysAddr{static_cast<u64>(bytes.data() - base_)}, bytes.size());
    }
    [[nodiscard]] CodeMap& code() { return code_; }
    void watch_code(CodeWatcher* watcher) { watcher_ = watcher; }
    // Does nothing if another watches by now.
    void unwatch_code(const CodeWatcher* watcher) {
        watcher_ = watcher_ == watcher ? nullptr : watcher_;
    }

    // All zero again, with the host's pages given back.
    void clear();

    static constexpr u64 kMaxSize = u64{3} << 30;

  private:
    GuestRam(int fd, u8* base, u64 size) : fd_(fd), base_(base), size_(size), code_(size) {}
    int fd_;
    u8* base_;
    u64 size_;
    CodeMap code_;
    CodeWatcher* watcher_ = nullptr;
};

}  // namespace ennead::vmcore
