// SPDX-License-Identifier: MIT
// Finds a place for the state directory and clears what dead servers left.
#include "srv/ennead/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

namespace ennead::srv {
namespace {

namespace fs = std::filesystem;
using synthfs::make_fault;

std::string prefix() {
    return "ennead-" + std::to_string(geteuid()) + "-";
}

std::vector<std::string> candidates() {
    std::vector<std::string> places;
    if (const char* tmp = std::getenv("TMPDIR"); tmp != nullptr && *tmp == '/') {
        places.emplace_back(tmp);
    }
    places.emplace_back("/var/tmp");
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
        places.push_back(std::string(home) + "/.cache");
    }
    return places;
}

// A directory of ours whose lock nobody holds belongs to a server that was killed.
void remove_leftovers(const std::string& place) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(place, ec)) {
        const std::string path = entry.path();
        struct stat st {};
        if (entry.path().filename().string().rfind(prefix(), 0) != 0 ||
            lstat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
            continue;
        }
        const Fd lock(open((path + "/lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
            fs::remove_all(path, ec);
        }
    }
}

}  // namespace

synthfs::Checked<StateDir> StateDir::make() {
    std::string tried;
    for (const std::string& place : candidates()) {
        remove_leftovers(place);
        std::string path = place + '/' + prefix() + "XXXXXX";
        if (mkdtemp(path.data()) == nullptr) {
            tried += ' ' + place + " (" + std::strerror(errno) + ')';
            continue;
        }
        Fd lock(open((path + "/lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
        Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (lock && fd && flock(lock.get(), LOCK_EX | LOCK_NB) == 0 &&
            fsetxattr(lock.get(), "user.ennead.attr", "", 0, 0) == 0) {
            return StateDir(std::move(path), std::move(fd), std::move(lock));
        }
        tried += ' ' + place + " (" + std::strerror(errno) + ')';
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    return make_fault(
        ENOTSUP,
        "no directory for scratch layers: a file system with user extended attributes is needed;"
        " tried%s; set TMPDIR to such a place",
        tried.c_str());
}

StateDir::~StateDir() {
    if (fd_) {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
}

}  // namespace ennead::srv
