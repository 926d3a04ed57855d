// SPDX-License-Identifier: MIT
// Attributes of a host tree's files: what the guest sees, and what becomes of its changes.
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "synthfs/host_node.h"
#include "synthfs/host_quota.h"

namespace ennead::synthfs {

namespace {

constexpr mode_t kPermissions = 07777;
const std::string kCapability = "security.capability";

timespec host_time(const std::optional<SetTime>& time) {
    if (!time) {
        return {0, UTIME_OMIT};
    }
    return time->now ? timespec{0, UTIME_NOW} : time->value;
}

// chmod of what an O_PATH descriptor stands for, so that no link put there meanwhile is followed.
Result<> change_mode(int fd, mode_t mode) {
#ifndef SYS_fchmodat2
    constexpr long SYS_fchmodat2 = 452;  // Linux 6.6
#endif
    if (::syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) {
        return success();
    }
    if (errno != ENOSYS && errno != EINVAL && errno != EPERM) {
        return last_error();
    }
    if (::fchmod(fd, mode) == 0) {
        return success();  // not an O_PATH descriptor
    }
    if (errno != EBADF) {
        return last_error();
    }
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (::chmod(link.c_str(), mode) != 0) {
        return error(errno == ENOENT ? EOPNOTSUPP : errno);
    }
    return success();
}

Result<> change_times(int fd, const SetAttr& change) {
    const timespec times[2] = {host_time(change.atime), host_time(change.mtime)};
    if (::utimensat(fd, "", times, AT_EMPTY_PATH) == 0) {
        return success();
    }
    // Before Linux 5.8 there was no AT_EMPTY_PATH here.
    if (errno == EINVAL && ::futimens(fd, times) == 0) {
        return success();
    }
    return last_error();
}

// chown(2): a change of owner ends set-user-ID, and set-group-ID where group execution gives it
// that meaning.
mode_t without_set_id(mode_t mode) {
    mode &= ~static_cast<mode_t>(S_ISUID);
    return (mode & S_IXGRP) != 0 ? mode & ~static_cast<mode_t>(S_ISGID) : mode;
}

bool has_set_id(mode_t mode) {
    return without_set_id(mode) != mode;
}

}  // namespace

void HostNode::getattr(RequestPtr, Reply<Attr> reply) {
    reply(get_attr());
}

void HostNode::setattr(RequestPtr request, SetAttr change, Reply<> reply) {
    reply(set_attr(request ? request->caller() : Caller{}, change));
}

Result<Attr> HostNode::get_attr() {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (removed_ && last_attr_) {
        return *last_attr_;
    }
    if (removed_) {
        return error(ENOENT);
    }
    const auto found = host_stat();
    if (!found) {
        return found.error();
    }
    const struct stat& st = found.value();
    Attr attr;
    attr.mode = mapped() ? attr_.mode : st.st_mode;
    attr.uid = mapped() ? attr_.uid : st.st_uid;
    attr.gid = mapped() ? attr_.gid : st.st_gid;
    attr.rdev = mapped() ? attr_.rdev : S_ISCHR(type_) || S_ISBLK(type_) ? st.st_rdev : 0;
    attr.nlink = st.st_nlink;
    if (mapped() && is_dir()) {
        attr.nlink = 1;  // the number of merged subdirectories is not known; 1 says so, as on btrfs
    } else if (mapped() && !upper_) {
        attr.nlink = places_.empty() ? 0 : 1;
    }
    attr.size = static_cast<std::uint64_t>(st.st_size);
    attr.block_size = static_cast<std::uint64_t>(st.st_blksize);
    attr.blocks = static_cast<std::uint64_t>(st.st_blocks);
    attr.atime = st.st_atim;
    attr.mtime = st.st_mtim;
    attr.ctime = st.st_ctim;
    attr.identity = {tree_->source, path_, version(st)};
    return attr;
}

Result<> HostNode::set_attr(const Caller& caller, const SetAttr& change) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (!tree_->upper) {
        return error(EROFS);
    }
    if (removed_) {
        return error(ENOENT);
    }
    if (change.size && type_ != S_IFREG) {
        return error(is_dir() ? EISDIR : EINVAL);
    }
    if (change.size &&
        *change.size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
        return error(EFBIG);
    }
    if (change.mode && S_ISLNK(type_)) {
        return error(EOPNOTSUPP);
    }
    if (auto up = copy_up(change.size ? *change.size : kWhole); !up) {
        return up;
    }
    BlockTally tally(*tree_);
    if (change.size) {
        tally.watch(*this);
    }
    touch();
    const bool owner = change.uid || change.gid;
    const bool strip = !is_dir() && !change.mode && (owner || (change.size && caller.uid != 0));
    const GuestAttr before = attr_;
    if (change.mode || owner || strip) {
        auto set = mapped() ? set_owner_mode(change, strip) : set_owner_mode_direct(change, strip);
        if (!set) {
            return set;
        }
    }
    if (change.size) {
        const auto fd = contents(true);
        if (!fd || ::ftruncate(fd.value()->get(), static_cast<off_t>(*change.size)) != 0) {
            const auto failure = fd ? last_error() : fd.error();
            if (mapped()) {
                (void)store_attr(before);
            }
            return failure;
        }
        ++changes_;
    }
    if (change.size || owner) {
        strip_capability();
    }
    if (change.atime || change.mtime) {
        const auto fd = attr_fd();
        if (!fd) {
            return fd.error();
        }
        return change_times(fd.value()->get(), change);
    }
    return success();
}

Result<> HostNode::set_owner_mode(const SetAttr& change, bool strip) {
    GuestAttr attr = attr_;
    if (change.mode) {
        attr.mode = type_ | (*change.mode & kPermissions);
    }
    attr.uid = change.uid.value_or(attr.uid);
    attr.gid = change.gid.value_or(attr.gid);
    if (strip) {
        attr.mode = without_set_id(attr.mode);
    }
    return store_attr(attr);
}

Result<> HostNode::set_owner_mode_direct(const SetAttr& change, bool strip) {
    const auto st = host_stat();
    if (!st) {
        return st.error();
    }
    mode_t mode = change.mode ? *change.mode & kPermissions : st.value().st_mode & kPermissions;
    if (strip) {
        mode = without_set_id(mode);
    }
    const bool gains = !is_dir() && (mode & ~st.value().st_mode & (S_ISUID | S_ISGID)) != 0;
    if (gains && !tree_->allow_set_id) {
        return error(EPERM);
    }
    const auto fd = attr_fd();
    if (!fd) {
        return fd.error();
    }
    const bool owner = change.uid || change.gid;
    if (owner && ::fchownat(fd.value()->get(), "", change.uid.value_or(static_cast<uid_t>(-1)),
                            change.gid.value_or(static_cast<gid_t>(-1)), AT_EMPTY_PATH) != 0) {
        return last_error();
    }
    // A privileged server's chown or truncation leaves bits that the guest expects to go.
    if (!change.mode && !has_set_id(st.value().st_mode)) {
        return success();
    }
    auto changed = change_mode(fd.value()->get(), mode);
    if (!changed && owner) {
        (void)::fchownat(fd.value()->get(), "", st.value().st_uid, st.value().st_gid,
                         AT_EMPTY_PATH);
    }
    return changed;
}

Result<> HostNode::store_attr(const GuestAttr& attr) {
    const auto fd = xattr_fd();
    if (!fd) {
        // What was put into the upper layer by hand and is no plain file cannot carry our record.
        return fd.error() == error(ENXIO) ? error(EPERM) : fd.error();
    }
    auto set = set_xattr(fd.value()->get(), kAttrXattr, to_text(attr));
    if (set) {
        attr_ = attr;
        touch();
    }
    return set;
}

void HostNode::strip_capability() {
    if (!mapped() || type_ != S_IFREG || !may_have_capability_) {
        return;
    }
    if (const auto fd = xattr_fd()) {
        ::fremovexattr(fd.value()->get(), (kGuestXattrPrefix + kCapability).c_str());
        may_have_capability_ = false;
    }
}

Result<> HostNode::note_write(const Caller& caller) {
    touch();
    ++changes_;
    strip_capability();
    if (caller.uid == 0) {
        return success();  // CAP_FSETID
    }
    if (mapped()) {
        return has_set_id(attr_.mode) ? set_owner_mode({}, true) : success();
    }
    const auto st = host_stat();
    return st && has_set_id(st.value().st_mode) ? set_owner_mode_direct({}, true) : success();
}

void HostNode::statfs(RequestPtr, Reply<StatFs> reply) {
    if (tree_->revoked) {
        reply(error(ESTALE));
        return;
    }
    struct statfs host {};
    if (::fstatfs(tree_->layers.front()->get(), &host) != 0) {
        reply(last_error());
        return;
    }
    StatFs result;
    result.block_size = static_cast<std::uint32_t>(host.f_bsize);
    result.blocks = host.f_blocks;
    result.blocks_free = host.f_bfree;
    result.blocks_available = host.f_bavail;
    result.files = host.f_files;
    result.files_free = host.f_ffree;
    result.fsid = tree_->source;
    if (tree_->upper && tree_->quota && tree_->quota->on() && result.block_size != 0) {
        // df(1) in the guest tells what it may have.
        const std::uint64_t room = tree_->quota->room() / result.block_size;
        result.blocks = std::min(result.blocks, tree_->quota->counters().limit / result.block_size);
        result.blocks_free = std::min(result.blocks_free, room);
        result.blocks_available = std::min(result.blocks_available, room);
    }
    result.name_max = static_cast<std::uint32_t>(host.f_namelen);
    reply(result);
}

void HostNode::getxattr(RequestPtr, std::string name, Reply<std::string> reply) {
    reply(get_guest_xattr(name));
}

void HostNode::listxattr(RequestPtr, Reply<std::vector<std::string>> reply) {
    reply(list_guest_xattrs());
}

void HostNode::setxattr(RequestPtr, std::string name, std::string value, int flags, Reply<> reply) {
    reply(change_xattr(name, &value, flags));
}

void HostNode::removexattr(RequestPtr, std::string name, Reply<> reply) {
    reply(change_xattr(name, nullptr, 0));
}

int HostNode::bad_xattr(const std::string& name, bool write) const {
    if (tree_->revoked) {
        return ESTALE;
    }
    if (removed_) {
        return ENOENT;
    }
    if (name.find('\0') != std::string::npos) {
        return EINVAL;
    }
    const bool capability = mapped() && name == kCapability && S_ISREG(type_);
    if (!capability && (!name.starts_with("user.") || name.size() == 5)) {
        return EOPNOTSUPP;
    }
    if (host_xattr(name).size() > XATTR_NAME_MAX) {
        return ERANGE;
    }
    // xattr(7): user attributes belong to regular files and directories only.
    if (!S_ISREG(type_) && !is_dir()) {
        return write ? EPERM : ENODATA;
    }
    return 0;
}

std::string HostNode::host_xattr(const std::string& name) const {
    return mapped() && tree_->upper ? kGuestXattrPrefix + name : name;
}

Result<std::string> HostNode::get_guest_xattr(const std::string& name) {
    if (const int bad = bad_xattr(name, false); bad != 0) {
        return error(bad);
    }
    const bool own = name.starts_with(kOwnXattrPrefix) || name == kCapability;
    if (mapped() && !upper_ && own) {
        return error(ENODATA);
    }
    const auto fd = xattr_fd();
    if (!fd) {
        return fd.error();
    }
    const auto value = get_xattr(fd.value()->get(), upper_ ? host_xattr(name) : name);
    if (!value) {
        return value.error();
    }
    if (!value.value()) {
        return error(ENODATA);
    }
    return *value.value();
}

Result<std::vector<std::string>> HostNode::list_guest_xattrs() {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    std::vector<std::string> names;
    if (removed_) {
        return error(ENOENT);
    }
    if (!S_ISREG(type_) && !is_dir()) {
        return names;
    }
    const auto fd = xattr_fd();
    if (!fd) {
        return fd.error();
    }
    const auto host = list_xattrs(fd.value()->get());
    if (!host) {
        return host.error();
    }
    for (const std::string& name : host.value()) {
        if (mapped() && upper_) {
            if (name.starts_with(kGuestXattrPrefix)) {
                names.push_back(name.substr(kGuestXattrPrefix.size()));
            }
        } else if (name.starts_with("user.") && !(mapped() && name.starts_with(kOwnXattrPrefix))) {
            names.push_back(name);
        }
    }
    return names;
}

Result<> HostNode::change_xattr(const std::string& name, const std::string* value, int flags) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (!tree_->upper) {
        return error(EROFS);
    }
    if (const int bad = bad_xattr(name, true); bad != 0) {
        return error(bad);
    }
    if (auto up = copy_up(); !up) {
        return up;
    }
    const auto fd = xattr_fd();
    if (!fd) {
        return fd.error();
    }
    BlockTally tally(*tree_);
    if (auto room = tally.want(value != nullptr ? value->size() : 0); !room) {
        return room;
    }
    tally.watch(*this);
    touch();
    if (value != nullptr) {
        may_have_capability_ = may_have_capability_ || name == kCapability;
        return set_xattr(fd.value()->get(), host_xattr(name), *value, flags);
    }
    if (::fremovexattr(fd.value()->get(), host_xattr(name).c_str()) != 0) {
        return last_error();
    }
    return success();
}

}  // namespace ennead::synthfs
