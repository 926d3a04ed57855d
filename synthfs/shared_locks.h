// SPDX-License-Identifier: MIT
// Record locks of one host file that hold against other processes too: those of other machines that
// are given the same directory, and the host's own.
#pragma once

#include <functional>
#include <string>

#include "synthfs/host_fd.h"
#include "synthfs/host_locks.h"

namespace ennead::synthfs {

// The owners here are told apart by a LockTable. Against the rest of the host one open file
// description has what they have together (open file description locks, fcntl(2)); it is open while
// there is a lock. Where the host's file system has no locks, and where a file is locked for
// writing that the server may only read, they hold among the owners here alone.
class SharedLocks {
  public:
    // Opens the file anew with O_RDWR or O_RDONLY.
    using Open = std::function<Result<FdRef>(int flags)>;

    // As LockTable's. EAGAIN also if somebody else on the host is in the way. Error of `open` other
    // than EACCES, EPERM, EROFS: as it is.
    [[nodiscard]] Result<> set(const Lock& lock, const Open& open);
    // A lock of somebody else on the host has client "host" and pid 0.
    [[nodiscard]] Lock blocking(const Lock& lock, const Open& open);
    void release(const std::string& client, std::uint32_t pid);

    [[nodiscard]] bool empty() const { return table_.empty(); }

  private:
    [[nodiscard]] Result<> prepare(const Open& open);
    [[nodiscard]] Result<> take(const Lock& lock);
    void drop();
    void give_back(std::uint64_t start, std::uint64_t length);

    LockTable table_;
    FdRef file_;
    bool writable_ = false;
};

}  // namespace ennead::synthfs
