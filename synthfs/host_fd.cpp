// SPDX-License-Identifier: MIT
// Host descriptors, and the few ways in which a host tree is touched: one name at a time, links
// never followed.
#include "synthfs/host_fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

namespace ennead::synthfs {

namespace {

// Attempts after which a tree that is renamed all the time gets EAGAIN (openat2(2),
// RESOLVE_BENEATH).
constexpr int kAttempts = 8;

bool have_openat2() {
    // A size of 0 is refused with EINVAL by a kernel that has the call, before anything is looked
    // at.
    static const bool have =
        ::syscall(SYS_openat2, AT_FDCWD, ".", nullptr, 0) < 0 && errno == EINVAL;
    return have;
}

int open_once(int dir, const char* name, int flags, mode_t mode, std::uint64_t resolve = 0) {
    if (!have_openat2()) {
        return ::openat(dir, name, flags, mode);
    }
    open_how how{};
    how.flags = static_cast<unsigned>(flags);
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve;
    return static_cast<int>(::syscall(SYS_openat2, dir, name, &how, sizeof how));
}

}  // namespace

HostFd::~HostFd() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

FdRef share(HostFd fd) {
    return std::make_shared<const HostFd>(std::move(fd));
}

std::error_code last_error() {
    return error(errno);
}

int bad_name(std::string_view name) {
    if (name.size() > NAME_MAX) {
        return ENAMETOOLONG;
    }
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       name.find('/') == std::string_view::npos &&
                       name.find('\0') == std::string_view::npos;
    return plain ? 0 : EINVAL;
}

Result<HostFd> open_in(int dir, const std::string& name, int flags, mode_t mode) {
    flags |= O_CLOEXEC | O_NOFOLLOW;
    for (int attempt = 0;; ++attempt) {
        const int fd = open_once(dir, name.c_str(), flags, mode);
        if (fd >= 0) {
            return HostFd(fd);
        }
        const bool again = errno == EAGAIN || errno == EINTR;
        if (!again || attempt == kAttempts) {
            return last_error();
        }
    }
}

Result<struct stat> stat_in(int dir, const std::string& name) {
    struct stat st {};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
        return last_error();
    }
    return st;
}

Result<struct stat> stat_fd(int fd) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) {
        return last_error();
    }
    return st;
}

bool is_at_hand(int dir, const std::string& name) {
    if (!have_openat2()) {
        return true;
    }
    const HostFd found(
        open_once(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_CACHED));
    return found.get() >= 0 || errno != EAGAIN;
}

Result<> list_in(int dir, const VisitEntry& visit) {
    auto fd = open_in(dir, ".", O_RDONLY | O_DIRECTORY);
    if (!fd) {
        return fd.error();
    }
    const int copy = ::fcntl(fd.value().get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return last_error();
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), &::closedir);
    if (!stream) {
        const auto failure = last_error();
        ::close(copy);
        return failure;
    }
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) {
            if (errno != 0) {
                return last_error();
            }
            return success();
        }
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (!visit(entry->d_name, entry->d_type, entry->d_ino)) {
            return success();
        }
    }
}

Result<std::optional<std::string>> get_xattr(int fd, const std::string& name) {
    std::string value(256, '\0');
    for (;;) {
        const ssize_t got = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
        if (got >= 0) {
            value.resize(static_cast<std::size_t>(got));
            return std::optional(std::move(value));
        }
        if (errno == ENODATA || errno == EOPNOTSUPP) {
            return std::optional<std::string>();
        }
        if (errno != ERANGE || value.size() > XATTR_SIZE_MAX) {
            return last_error();
        }
        value.resize(value.size() * 16);
    }
}

Result<> set_xattr(int fd, const std::string& name, std::string_view value, int flags) {
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), flags) != 0) {
        return last_error();
    }
    return success();
}

Result<std::vector<std::string>> list_xattrs(int fd) {
    std::string text(1024, '\0');
    ssize_t got = 0;
    while ((got = ::flistxattr(fd, text.data(), text.size())) < 0) {
        if (errno == EOPNOTSUPP) {
            return std::vector<std::string>();
        }
        if (errno != ERANGE || text.size() > XATTR_LIST_MAX) {
            return last_error();
        }
        text.resize(text.size() * 8);
    }
    std::vector<std::string> names;
    for (const char *at = text.data(), *end = at + got; at < end; at += names.back().size() + 1) {
        names.emplace_back(at);
    }
    return names;
}

Result<> rename_in(int from, const std::string& name, int to, const std::string& new_name,
                   unsigned flags) {
    const long done =
        flags == 0 ? ::renameat(from, name.c_str(), to, new_name.c_str())
                   : ::syscall(SYS_renameat2, from, name.c_str(), to, new_name.c_str(), flags);
    if (done != 0) {
        return last_error();
    }
    return success();
}

}  // namespace ennead::synthfs
