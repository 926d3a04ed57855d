// SPDX-License-Identifier: MIT
// Keeps one open file description's locks equal to the union of the owners'.
#include "synthfs/shared_locks.h"

#include <fcntl.h>

#include <limits>
#include <utility>

namespace ennead::synthfs {

namespace {

constexpr auto kMaxOffset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());

// What fcntl(2) takes; a range that ends past its reach ends at the end.
struct flock host_lock(short type, std::uint64_t start, std::uint64_t length) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(start);
    range.l_len = length > kMaxOffset - start ? 0 : static_cast<off_t>(length);
    return range;
}

short host_type(Lock::Kind kind) {
    return kind == Lock::Kind::write ? F_WRLCK : kind == Lock::Kind::read ? F_RDLCK : F_UNLCK;
}

}  // namespace

Result<> SharedLocks::prepare(const Open& open) {
    if (file_) {
        return success();
    }
    auto file = open(O_RDWR);
    writable_ = file.has_value();
    if (!file) {
        const int errnum = to_errno(file.error());
        if (errnum == EACCES || errnum == EPERM || errnum == EROFS) {
            file = open(O_RDONLY);
        }
    }
    if (!file) {
        return file.error();
    }
    file_ = std::move(file.value());
    return success();
}

Result<> SharedLocks::take(const Lock& lock) {
    if (lock.start > kMaxOffset || (lock.kind == Lock::Kind::write && !writable_)) {
        return success();
    }
    struct flock range = host_lock(host_type(lock.kind), lock.start, lock.length);
    while (::fcntl(file_->get(), F_OFD_SETLK, &range) != 0) {
        if (errno == EAGAIN || errno == EACCES) {
            return error(EAGAIN);
        }
        if (errno != EINTR) {
            return success();  // no locks on this file system, or no more of them
        }
    }
    return success();
}

// Closing would be enough, but for a file without names, whose descriptor others have too.
void SharedLocks::drop() {
    struct flock all = host_lock(F_UNLCK, 0, 0);
    (void)::fcntl(file_->get(), F_OFD_SETLK, &all);
    file_.reset();
}

// An owner has let go of a range; what others here still have of it stays.
void SharedLocks::give_back(std::uint64_t start, std::uint64_t length) {
    if (table_.empty()) {
        drop();
        return;
    }
    for (const auto& [kind, first, last] : table_.strongest(start, length)) {
        if (first > kMaxOffset) {
            break;
        }
        struct flock range = host_lock(host_type(kind), first, last - first + 1);
        // Less is asked for than is held, which nobody can stand in the way of.
        while (::fcntl(file_->get(), F_OFD_SETLK, &range) != 0 && errno == EINTR) {
        }
    }
}

Result<> SharedLocks::set(const Lock& lock, const Open& open) {
    if (lock.kind == Lock::Kind::unlock) {
        const auto done = table_.set(lock);
        if (done && file_) {
            give_back(lock.start, lock.length);
        }
        return done;
    }
    if (auto ready = prepare(open); !ready) {
        return ready;
    }
    LockTable before = table_;
    auto done = table_.set(lock);
    if (done) {
        done = take(lock);
    }
    if (!done) {
        table_ = std::move(before);
        if (table_.empty()) {
            drop();
        }
    }
    return done;
}

Lock SharedLocks::blocking(const Lock& lock, const Open& open) {
    Lock found = table_.blocking(lock);
    if (found.kind != Lock::Kind::unlock || lock.kind == Lock::Kind::unlock ||
        lock.start > kMaxOffset || !prepare(open)) {
        return found;
    }
    struct flock range = host_lock(host_type(lock.kind), lock.start, lock.length);
    if (::fcntl(file_->get(), F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK) {
        found.kind = range.l_type == F_WRLCK ? Lock::Kind::write : Lock::Kind::read;
        found.start = static_cast<std::uint64_t>(range.l_start);
        found.length = static_cast<std::uint64_t>(range.l_len);
        found.pid = 0;
        found.client = "host";
    }
    if (table_.empty()) {
        drop();
    }
    return found;
}

void SharedLocks::release(const std::string& client, std::uint32_t pid) {
    table_.release(client, pid);
    if (file_) {
        give_back(0, 0);
    }
}

}  // namespace ennead::synthfs
