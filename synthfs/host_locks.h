// SPDX-License-Identifier: MIT
// The POSIX record locks of one file, between owners that are (client, process) pairs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "synthfs/node.h"

namespace ennead::synthfs {

class LockTable {
  public:
    // Sets, changes or removes `lock.kind` over its range, as fcntl(2) F_SETLK does: EAGAIN if
    // another owner is in the way, ENOLCK if the file has more ranges than anybody needs.
    [[nodiscard]] Result<> set(const Lock& lock);
    // The first lock of another owner that stands in the way, or `lock` as Kind::unlock.
    [[nodiscard]] Lock blocking(const Lock& lock) const;
    // The owner closed a descriptor of the file, and with it loses all locks there (fcntl(2)).
    void release(const std::string& client, std::uint32_t pid);

    [[nodiscard]] bool empty() const { return ranges_.empty(); }

    // A part of a file (last byte inclusive), and the strongest lock that anybody has there.
    struct Part {
        Lock::Kind kind;
        std::uint64_t first, last;
    };
    // The parts that a range (length 0: to the end) falls into, in order and without a gap.
    [[nodiscard]] std::vector<Part> strongest(std::uint64_t start, std::uint64_t length) const;

  private:
    struct Range {
        Lock::Kind kind;
        std::uint64_t first, last;  // inclusive
        std::uint32_t pid;
        std::string client;
    };
    [[nodiscard]] const Range* conflict(const Lock& lock) const;

    std::vector<Range> ranges_;  // those of one owner never overlap
};

}  // namespace ennead::synthfs
