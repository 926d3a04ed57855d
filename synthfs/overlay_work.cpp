// SPDX-License-Identifier: MIT
// The upper layer's workshop: new files and directories are finished here, then moved into place in
// one step.
#include "synthfs/overlay_work.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace ennead::synthfs {

namespace {

const std::string kWorkName = "work";

}  // namespace

Result<std::unique_ptr<OverlayWork>> OverlayWork::open(const HostFd& upper) {
    auto lock = open_in(upper.get(), ".", O_RDONLY | O_DIRECTORY);
    if (!lock) {
        return lock.error();
    }
    if (::flock(lock.value().get(), LOCK_EX | LOCK_NB) != 0) {
        return error(errno == EWOULDBLOCK ? EBUSY : errno);
    }
    if (::mkdirat(upper.get(), kWorkName.c_str(), 0700) != 0 && errno != EEXIST) {
        return last_error();
    }
    auto dir = open_in(upper.get(), kWorkName, O_RDONLY | O_DIRECTORY);
    if (!dir) {
        return dir.error();
    }
    std::unique_ptr<OverlayWork> work(
        new OverlayWork(std::move(lock.value()), std::move(dir.value())));
    work->clear();
    // Tried rather than asked: nothing else tells whether user attributes are kept here.
    if (auto made = work->make_whiteout(); !made) {
        return made.error();
    }
    return work;
}

std::string OverlayWork::fresh_name() {
    return "t" + std::to_string(++last_);
}

Result<OverlayWork::Made> OverlayWork::make_file(const GuestAttr& attr) {
    std::string name = fresh_name();
    auto fd = open_in(dir_.get(), name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!fd) {
        return fd.error();
    }
    if (auto set = set_xattr(fd.value().get(), kAttrXattr, to_text(attr)); !set) {
        discard(name);
        return set.error();
    }
    return Made{std::move(name), std::move(fd.value())};
}

Result<OverlayWork::Made> OverlayWork::make_dir(const GuestAttr& attr, bool opaque) {
    std::string name = fresh_name();
    if (::mkdirat(dir_.get(), name.c_str(), 0700) != 0) {
        return last_error();
    }
    auto fd = open_in(dir_.get(), name, O_RDONLY | O_DIRECTORY);
    if (!fd) {
        discard(name);
        return fd.error();
    }
    auto set = set_xattr(fd.value().get(), kAttrXattr, to_text(attr));
    if (set && opaque) {
        set = set_xattr(fd.value().get(), kOpaqueXattr, "y");
    }
    if (!set) {
        discard(name);
        return set.error();
    }
    return Made{std::move(name), std::move(fd.value())};
}

Result<> OverlayWork::move_out(const std::string& made, int dir, const std::string& name) {
    return rename_in(dir_.get(), made, dir, name);
}

Result<> OverlayWork::swap_out(const std::string& made, int dir, const std::string& name) {
    auto swapped = rename_in(dir_.get(), made, dir, name, RENAME_EXCHANGE);
    if (!swapped && (swapped.error() == error(EINVAL) || swapped.error() == error(ENOSYS))) {
        // Without the exchange there is a moment with nothing at `name`.
        const std::string old = fresh_name();
        if (auto away = rename_in(dir, name, dir_.get(), old); !away) {
            return away;
        }
        if (auto moved = rename_in(dir_.get(), made, dir, name); !moved) {
            (void)rename_in(dir_.get(), old, dir, name);
            return moved;
        }
        discard(old);
        return success();
    }
    if (swapped) {
        discard(made);
    }
    return swapped;
}

Result<> OverlayWork::white_out(int dir, const std::string& name) {
    auto linked = link_whiteout(dir, name);
    if (linked || linked.error() != error(EEXIST)) {
        return linked;
    }
    const std::string made = fresh_name();
    if (linked = link_whiteout(dir_.get(), made); !linked) {
        return linked;
    }
    auto moved = move_out(made, dir, name);
    if (!moved && moved.error() == error(EISDIR)) {
        moved = swap_out(made, dir, name);
    }
    // Also when it moved: rename(2) leaves both names if they are already the same file.
    ::unlinkat(dir_.get(), made.c_str(), 0);
    return moved;
}

Result<> OverlayWork::link_whiteout(int dir, const std::string& name) {
    for (bool fresh = false;;) {
        if (whiteout_.empty()) {
            if (auto made = make_whiteout(); !made) {
                return made;
            }
            fresh = true;
        }
        if (::linkat(dir_.get(), whiteout_.c_str(), dir, name.c_str(), 0) == 0) {
            return success();
        }
        if (errno != EMLINK || fresh) {
            return last_error();
        }
        ::unlinkat(dir_.get(), whiteout_.c_str(), 0);
        whiteout_.clear();
    }
}

Result<> OverlayWork::make_whiteout() {
    std::string name = fresh_name();
    auto fd = open_in(dir_.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!fd) {
        return fd.error();
    }
    if (auto set = set_xattr(fd.value().get(), kAttrXattr, kWhiteoutText); !set) {
        discard(name);
        return set;
    }
    whiteout_ = std::move(name);
    return success();
}

// A tree of any depth goes with a few descriptors: what is below a directory is moved up here
// first.
void OverlayWork::discard(const std::string& made) {
    std::vector<std::string> doomed{made};
    while (!doomed.empty()) {
        const std::string name = std::move(doomed.back());
        doomed.pop_back();
        if (::unlinkat(dir_.get(), name.c_str(), 0) == 0 || errno != EISDIR ||
            ::unlinkat(dir_.get(), name.c_str(), AT_REMOVEDIR) == 0) {
            continue;
        }
        const auto dir = open_in(dir_.get(), name, O_PATH | O_DIRECTORY);
        if (!dir) {
            continue;
        }
        std::vector<std::string> below;
        (void)list_in(dir.value().get(), [&](std::string entry, unsigned char, std::uint64_t) {
            below.push_back(std::move(entry));
            return true;
        });
        for (const std::string& entry : below) {
            if (::unlinkat(dir.value().get(), entry.c_str(), 0) != 0 && errno == EISDIR) {
                std::string up = fresh_name();
                if (rename_in(dir.value().get(), entry, dir_.get(), up)) {
                    doomed.push_back(std::move(up));
                }
            }
        }
        ::unlinkat(dir_.get(), name.c_str(), AT_REMOVEDIR);
    }
}

void OverlayWork::clear() {
    std::vector<std::string> left;
    (void)list_in(dir_.get(), [&](std::string name, unsigned char, std::uint64_t) {
        left.push_back(std::move(name));
        return true;
    });
    for (const std::string& name : left) {
        // What is moved up meanwhile must not meet a name that is still to go.
        if (name.size() > 1 && name.front() == 't') {
            const std::uint64_t number = std::strtoull(name.c_str() + 1, nullptr, 10);
            last_ = number > last_ ? number : last_;
        }
    }
    for (const std::string& name : left) {
        discard(name);
    }
}

}  // namespace ennead::synthfs
