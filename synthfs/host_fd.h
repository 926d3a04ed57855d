// SPDX-License-Identifier: MIT
// Host descriptors, and the few ways in which a host tree is touched: one name at a time, links
// never followed.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "synthfs/result.h"

namespace ennead::synthfs {

// Owns one host descriptor.
class HostFd {
  public:
    HostFd() = default;
    explicit HostFd(int fd) : fd_(fd) {}
    HostFd(HostFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    HostFd& operator=(HostFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~HostFd();

    [[nodiscard]] int get() const { return fd_; }

  private:
    int fd_ = -1;
};

// Shared, so that a descriptor dropped by the cache stays open for the operation that uses it.
using FdRef = std::shared_ptr<const HostFd>;

[[nodiscard]] FdRef share(HostFd fd);

// 0 if `name` is a single component that may be handed to the host, else the errno to answer.
[[nodiscard]] int bad_name(std::string_view name);

// Opens `name`, a single component or ".", in `dir`. openat2(2) with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS where the kernel has it, else openat(2) with
// O_NOFOLLOW, which for one component comes to the same. O_CLOEXEC and O_NOFOLLOW are added.
[[nodiscard]] Result<HostFd> open_in(int dir, const std::string& name, int flags, mode_t mode = 0);

// lstat of `name` in `dir`.
[[nodiscard]] Result<struct stat> stat_in(int dir, const std::string& name);
[[nodiscard]] Result<struct stat> stat_fd(int fd);

// Whether a look at `name` in `dir` would not wait: what there is to know of it is in the host's
// memory (openat2(2), RESOLVE_CACHED; of a kernel that cannot tell, yes).
[[nodiscard]] bool is_at_hand(int dir, const std::string& name);

// Calls `visit` with each entry but "." and "..", until it returns false. `dir` may be an O_PATH
// descriptor. `type` is the DT_ value, possibly DT_UNKNOWN.
using VisitEntry = std::function<bool(std::string name, unsigned char type, std::uint64_t inode)>;
[[nodiscard]] Result<> list_in(int dir, const VisitEntry& visit);

// The attribute's value; nothing if there is none, or if the file system keeps none.
[[nodiscard]] Result<std::optional<std::string>> get_xattr(int fd, const std::string& name);
[[nodiscard]] Result<> set_xattr(int fd, const std::string& name, std::string_view value,
                                 int flags = 0);
[[nodiscard]] Result<std::vector<std::string>> list_xattrs(int fd);

// renameat2(2); EINVAL or ENOSYS if host or file system knows no flags.
[[nodiscard]] Result<> rename_in(int from, const std::string& name, int to,
                                 const std::string& new_name, unsigned flags = 0);

// The errno of the call that just failed.
[[nodiscard]] std::error_code last_error();

}  // namespace ennead::synthfs
