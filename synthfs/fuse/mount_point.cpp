// SPDX-License-Identifier: MIT
// Checks of a mount point, and removal of stale mounts.
#include "synthfs/fuse/mount_point.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

extern char** environ;

namespace ennead::synthfs::fuse {

namespace {

// proc(5), mountinfo: blanks, newlines and backslashes in paths are octal escapes.
std::string unescape(std::string_view field) {
    std::string text;
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field[i] == '\\' && i + 3 < field.size()) {
            text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                      (field[i + 3] - '0'));
            i += 3;
        } else {
            text += field[i];
        }
    }
    return text;
}

// The type of the topmost file system mounted at `path`; empty if it is no mount point. Read from
// the table, for touching the directory itself would wait for a server that hangs.
std::string mounted_type(const std::string& path) {
    std::ifstream table("/proc/self/mountinfo");
    std::string type;
    for (std::string line; std::getline(table, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, mount_point, field;
        fields >> id >> parent >> device >> root >> mount_point;
        if (unescape(mount_point) != path) {
            continue;
        }
        while (fields >> field && field != "-") {
        }
        fields >> type;
    }
    return type;
}

// realpath(3) of all but the last component, which may be a mount whose server is gone.
Checked<std::string> absolute(const std::string& dir) {
    std::string path = dir;
    while (path.size() > 1 && path.back() == '/') {
        path.pop_back();
    }
    const std::size_t slash = path.rfind('/');
    std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
    const bool whole = last.empty() || last == "." || last == "..";
    if (whole) {
        parent = path;
    }
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(parent.c_str(), nullptr),
                                                           &std::free);
    if (!real) {
        const int errnum = errno;
        if (errnum == ENOENT) {
            return make_fault(ENOENT, "%s: no such directory; make it with mkdir -p", dir.c_str());
        }
        return make_fault(errnum, "%s: %s", dir.c_str(), fault_of(error(errnum)).text.c_str());
    }
    std::string result = real.get();
    if (!whole) {
        result += (result.back() == '/' ? "" : "/") + last;
    }
    struct stat info {};
    if (!whole && ::lstat(result.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
        const std::unique_ptr<char, decltype(&std::free)> target(
            ::realpath(result.c_str(), nullptr), &std::free);
        if (target) {
            result = target.get();
        }
    }
    return result;
}

// Runs fusermount3, which may unmount what its caller mounted. True if it succeeded.
bool run_fusermount_unmount(const std::string& path) {
    posix_spawn_file_actions_t actions;
    if (::posix_spawn_file_actions_init(&actions) != 0) {
        return false;
    }
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::array<const char*, 6> args{"fusermount3", "-u", "-z", "--", path.c_str(), nullptr};
    pid_t child = -1;
    const int failed = ::posix_spawnp(&child, args[0], &actions, nullptr,
                                      const_cast<char* const*>(args.data()), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        return false;
    }
    int status = -1;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool in_path(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::istringstream directories(path != nullptr ? path : "/usr/bin:/bin");
    for (std::string directory; std::getline(directories, directory, ':');) {
        if (::access((directory + "/" + program).c_str(), X_OK) == 0) {
            return true;
        }
    }
    return false;
}

// Takes away mounts whose server is gone. At most a few: each could have been mounted over another.
Checked<> remove_stale(const std::string& path, const LogSink& log) {
    for (int tries = 0; tries < 8; ++tries) {
        const std::string type = mounted_type(path);
        if (!type.starts_with("fuse")) {
            return success();
        }
        struct stat info {};
        if (::stat(path.c_str(), &info) == 0 || (errno != ENOTCONN && errno != ECONNABORTED)) {
            if (type == std::string("fuse.") + kSubtype) {
                return make_fault(EBUSY,
                                  "%s: a tree is mounted here already; end it with: fusermount3 -u "
                                  "%s",
                                  path.c_str(), path.c_str());
            }
            return success();
        }
        log_line(log, LogLevel::info, "what=unmounting-stale dir=%s", path.c_str());
        if (::umount2(path.c_str(), MNT_DETACH) != 0 && !run_fusermount_unmount(path)) {
            break;
        }
    }
    return make_fault(EBUSY,
                      "%s: mounted by a server that is gone; remove it with: fusermount3 -u -z %s",
                      path.c_str(), path.c_str());
}

}  // namespace

Checked<std::string> prepare_mount_point(const std::string& dir, const LogSink& log) {
    auto path = absolute(dir);
    if (!path) {
        return path;
    }
    const std::string& place = path.value();
    if (auto removed = remove_stale(place, log); !removed) {
        return removed.error();
    }
    struct stat info {};
    if (::stat(place.c_str(), &info) != 0) {
        const int errnum = errno;
        if (errnum == ENOENT) {
            return make_fault(ENOENT, "%s: no such directory; make it with mkdir -p", dir.c_str());
        }
        return make_fault(errnum, "%s: %s", dir.c_str(), fault_of(error(errnum)).text.c_str());
    }
    if (!S_ISDIR(info.st_mode)) {
        return make_fault(ENOTDIR, "%s: not a directory; name one to mount on", dir.c_str());
    }
    // fusermount3 has the same rule; its own words for it are less clear.
    if (::geteuid() != 0 && ::access(place.c_str(), W_OK) != 0) {
        return make_fault(EACCES, "%s: not writable; only one's own directories can be mounted on",
                          dir.c_str());
    }
    return path;
}

Checked<> check_fuse_available() {
    const int fd = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        ::close(fd);
    } else if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
        return make_fault(ENODEV, "/dev/fuse is missing; load the module with: modprobe fuse");
    } else {
        const int errnum = errno;
        return make_fault(errnum, "/dev/fuse: %s; run as root or let this user open it",
                          fault_of(error(errnum)).text.c_str());
    }
    if (::geteuid() != 0 && !in_path("fusermount3")) {
        return make_fault(ENOENT,
                          "fusermount3 is missing; install the package fuse3, or run as root");
    }
    return success();
}

bool may_allow_other() {
    if (::geteuid() == 0) {
        return true;
    }
    std::ifstream conf("/etc/fuse.conf");
    for (std::string line; std::getline(conf, line);) {
        std::istringstream words(line);
        std::string word, more;
        if (words >> word && word == "user_allow_other" && !(words >> more)) {
            return true;
        }
    }
    return false;
}

}  // namespace ennead::synthfs::fuse
