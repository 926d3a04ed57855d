// SPDX-License-Identifier: MIT
// Opens the host directories that a VM is to be given, without ever asking this server's own tree.
#include "srv/ennead/host_source.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

namespace {

constexpr int kMaxLinks = 40;  // as Linux has it (path_resolution(7))

struct Look {
    dev_t device = 0;
    ino_t inode = 0;
    mode_t mode = 0;
};

// A stat that uses what the kernel knows, which of a FUSE file is enough and asks nobody.
Checked<Look> look_at(int fd) {
    struct statx found {};
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO,
              &found) != 0) {
        return make_fault(errno, "%s", std::strerror(errno));
    }
    return Look{makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino, found.stx_mode};
}

// The names of a path, the last one first.
std::vector<std::string> reversed_names(const std::string& path) {
    std::vector<std::string> names;
    for (std::size_t end = path.size(); end > 0;) {
        const std::size_t slash = path.rfind('/', end - 1);
        const std::size_t begin = slash == path.npos ? 0 : slash + 1;
        if (begin < end && path.compare(begin, end - begin, ".") != 0) {
            names.push_back(path.substr(begin, end - begin));
        }
        end = begin == 0 ? 0 : begin - 1;
    }
    return names;
}

}  // namespace

Checked<dev_t> device_of_mount(const std::string& path) {
    const Fd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) {
        return make_fault(errno, "%s: %s", path.c_str(), std::strerror(errno));
    }
    const auto found = look_at(fd.get());
    if (!found) {
        return found.error();
    }
    return found.value().device;
}

namespace {

// An O_PATH descriptor of what is at the path; `mode` is its type.
Checked<Fd> find_path(const std::string& path, const char* what, const HiddenPlaces& hidden,
                      mode_t& mode) {
    const auto refuse = [&](int errnum, const char* why) {
        return make_fault(errnum, "%s %s: %s", what, path.c_str(), why);
    };
    Fd at(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!at) {
        return refuse(errno, std::strerror(errno));
    }
    std::vector<std::string> left = reversed_names(path);
    mode = S_IFDIR;
    for (int links = 0; !left.empty();) {
        const std::string name = std::move(left.back());
        left.pop_back();
        if (!S_ISDIR(mode)) {
            return refuse(ENOTDIR, std::strerror(ENOTDIR));
        }
        Fd next(openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!next) {
            return refuse(errno, std::strerror(errno));
        }
        const auto found = look_at(next.get());
        if (!found) {
            return refuse(found.error().errnum, found.error().text.c_str());
        }
        const Look& look = found.value();
        if (hidden.tree_device != 0 && look.device == hidden.tree_device) {
            return refuse(ELOOP, "it is in the tree that this server shows");
        }
        if (std::find(hidden.directories.begin(), hidden.directories.end(),
                      std::pair(look.device, look.inode)) != hidden.directories.end()) {
            return refuse(ELOOP, "the VMs' scratch layers are in it");
        }
        if (!S_ISLNK(look.mode)) {
            at = std::move(next);
            mode = look.mode;
            continue;
        }
        if (++links > kMaxLinks) {
            return refuse(ELOOP, "too many symbolic links");
        }
        std::string target(PATH_MAX, '\0');
        const ssize_t size = readlinkat(next.get(), "", target.data(), target.size());
        if (size <= 0) {
            return refuse(size < 0 ? errno : ENOENT, std::strerror(size < 0 ? errno : ENOENT));
        }
        target.resize(static_cast<std::size_t>(size));
        for (std::string& each : reversed_names(target)) {
            left.push_back(std::move(each));
        }
        if (target.front() == '/') {
            at = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (!at) {
                return refuse(errno, std::strerror(errno));
            }
        }
    }
    return at;
}

}  // namespace

Checked<Fd> open_source(const std::string& path, const char* what, const HiddenPlaces& hidden) {
    mode_t mode = 0;
    auto found = find_path(path, what, hidden, mode);
    if (found && !S_ISDIR(mode)) {
        return make_fault(ENOTDIR, "%s %s: %s", what, path.c_str(), std::strerror(ENOTDIR));
    }
    return found;
}

Checked<Fd> open_host_file(const std::string& path, int flags, const char* what,
                           const HiddenPlaces& hidden) {
    mode_t mode = 0;
    const auto found = find_path(path, what, hidden, mode);
    if (!found) {
        return found.error();
    }
    // The same file once more, with the rights wanted.
    const std::string link = "/proc/self/fd/" + std::to_string(found.value().get());
    Fd fd(open(link.c_str(), flags | O_CLOEXEC));
    if (!fd) {
        return make_fault(errno, "%s %s: %s", what, path.c_str(), std::strerror(errno));
    }
    return fd;
}

}  // namespace ennead::srv
