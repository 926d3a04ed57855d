// SPDX-License-Identifier: MIT
// Making and removing files in a directory of a host tree, and opening them.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <utility>

#include "synthfs/host_handle.h"
#include "synthfs/host_node.h"
#include "synthfs/host_quota.h"

namespace ennead::synthfs {

namespace {

constexpr mode_t kPermissions = 07777;
// References to a node that an operation itself holds: its own pointer.
constexpr long kOwnReference = 1;

Caller caller_of(const RequestPtr& request) {
    return request ? request->caller() : Caller{};
}

Result<NodePtr> as_node(Result<HostNodePtr> made) {
    if (!made) {
        return made.error();
    }
    return NodePtr(std::move(made.value()));
}

bool wants_write(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

Result<> write_all(int fd, const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t put =
            ::pwrite(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (put < 0 && errno != EINTR) {
            return last_error();
        }
        done += put > 0 ? static_cast<std::size_t>(put) : 0;
    }
    return success();
}

}  // namespace

void HostNode::open(RequestPtr request, int flags, Reply<HandlePtr> reply) {
    reply(open_handle(caller_of(request), flags));
}

void HostNode::readlink(RequestPtr, Reply<std::string> reply) {
    reply(read_link());
}

void HostNode::create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                      Reply<Created> reply) {
    reply(create_file(caller_of(request), name, flags, mode, gid));
}

void HostNode::mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
                     Reply<NodePtr> reply) {
    reply(as_node(make(caller_of(request), name, {S_IFDIR | (mode & kPermissions), 0, {}, gid})));
}

void HostNode::symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                       Reply<NodePtr> reply) {
    if (target.empty() || target.find('\0') != std::string::npos) {
        reply(error(target.empty() ? ENOENT : EINVAL));
        return;
    }
    if (target.size() >= PATH_MAX) {
        reply(error(ENAMETOOLONG));
        return;
    }
    reply(as_node(make(caller_of(request), name, {S_IFLNK | 0777, 0, std::move(target), gid})));
}

void HostNode::mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
                     gid_t gid, Reply<NodePtr> reply) {
    if ((mode & S_IFMT) == 0) {
        mode |= S_IFREG;  // mknod(2)
    }
    const mode_t type = mode & S_IFMT;
    if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
        type != S_IFSOCK) {
        reply(error(type == S_IFDIR ? EPERM : EINVAL));
        return;
    }
    const bool device = type == S_IFCHR || type == S_IFBLK;
    reply(as_node(make(caller_of(request), name,
                       {type | (mode & kPermissions), device ? rdev : 0, {}, gid})));
}

void HostNode::link(RequestPtr, std::string name, NodePtr target, Reply<> reply) {
    auto* const file = dynamic_cast<HostNode*>(target.get());
    if (file == nullptr || file->tree_ != tree_) {
        reply(error(EXDEV));
        return;
    }
    reply(add_link(name, *file));
}

void HostNode::unlink(RequestPtr, std::string name, bool directory, Reply<> reply) {
    reply(remove(name, directory));
}

Result<HandlePtr> HostNode::open_handle(const Caller& caller, int flags) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (is_dir()) {
        if (wants_write(flags)) {
            return error(EISDIR);
        }
        return HandlePtr(std::make_shared<HostDirHandle>(self()));
    }
    if ((flags & O_DIRECTORY) != 0) {
        return error(ENOTDIR);
    }
    if (S_ISLNK(type_)) {
        return error(ELOOP);
    }
    if (type_ != S_IFREG) {
        return error(ENXIO);  // opened inside the guest, by its own drivers
    }
    if (wants_write(flags) && !tree_->upper) {
        return error(EROFS);
    }
    if (is_foreign()) {
        return open_foreign(flags);
    }
    if ((flags & O_TRUNC) != 0) {
        SetAttr empty;
        empty.size = 0;
        if (auto cut = set_attr(caller, empty); !cut) {
            return cut.error();
        }
    }
    auto handle = std::make_shared<HostFileHandle>(self(), flags);
    if (auto ready = handle->prepare(); !ready) {
        return ready.error();
    }
    return HandlePtr(std::move(handle));
}

Result<std::string> HostNode::read_link() {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (!S_ISLNK(type_)) {
        return error(EINVAL);
    }
    std::string target(PATH_MAX, '\0');
    ssize_t got = 0;
    if (host_type_ == S_IFREG) {
        const auto fd = contents(false);
        if (!fd) {
            return fd.error();
        }
        got = ::pread(fd.value()->get(), target.data(), target.size(), 0);
    } else {
        // readlink(2): an O_PATH descriptor of the link itself and an empty name.
        const auto fd = pinned_ ? Result<FdRef>(pinned_) : open_place(O_PATH);
        if (!fd) {
            return fd.error();
        }
        got = ::readlinkat(fd.value()->get(), "", target.data(), target.size());
    }
    if (got < 0) {
        return last_error();
    }
    target.resize(static_cast<std::size_t>(got));
    return target;
}

Result<Created> HostNode::create_file(const Caller& caller, const std::string& name, int flags,
                                      mode_t mode, gid_t gid) {
    auto node = lookup(name);
    if (node && (flags & O_EXCL) != 0) {
        return error(EEXIST);
    }
    if (!node && node.error() == error(ENOENT)) {
        node = make(caller, name, {S_IFREG | (mode & kPermissions), 0, {}, gid});
        flags &= ~O_TRUNC;
    }
    if (!node) {
        return node.error();
    }
    auto handle = node.value()->open_handle(caller, flags);
    if (!handle) {
        return handle.error();
    }
    return Created{std::move(node.value()), std::move(handle.value())};
}

Result<HostNodePtr> HostNode::make(const Caller& caller, const std::string& name, NewFile file) {
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused == EROFS && lookup(name) ? EEXIST : refused);
    }
    const auto there = lookup(name);
    if (there || there.error() != error(ENOENT)) {
        return there ? error(EEXIST) : there.error();
    }
    if (auto up = mapped() ? copy_up() : Result<>(success()); !up) {
        return up.error();
    }
    BlockTally tally(*tree_);
    if (auto room = tally.want(); !room) {
        return room.error();
    }
    tally.watch(*this);
    auto node = mapped() ? make_mapped(name, attr_of_new(caller, file), file.target)
                         : make_direct(caller, name, file);
    if (node) {
        tally.made(*node.value());
    }
    return node;
}

GuestAttr HostNode::attr_of_new(const Caller& caller, const NewFile& file) const {
    GuestAttr attr{file.mode, caller.uid, file.gid, file.rdev, 0};
    if ((attr_.mode & S_ISGID) != 0) {
        // inode_init_owner in Linux: group, and for directories the bit itself, come from the
        // directory.
        attr.gid = attr_.gid;
        attr.mode |= S_ISDIR(file.mode) ? S_ISGID : 0;
    }
    return attr;
}

Result<HostNodePtr> HostNode::make_mapped(const std::string& name, const GuestAttr& attr,
                                          const std::string& contents) {
    const auto dir = dir_fd(0);
    if (!dir) {
        return dir.error();
    }
    const int to = dir.value()->get();
    const bool directory = S_ISDIR(attr.mode);
    // What the upper layer has here, if anything, is a whiteout, so a lower layer may have the name
    // too.
    const bool whiteout = directory && stat_in(to, name);
    OverlayWork& work = *tree_->work;
    auto made = directory ? work.make_dir(attr, whiteout) : work.make_file(attr);
    if (!made) {
        return made.error();
    }
    Result<> placed = success();
    if (!contents.empty()) {
        placed = write_all(made.value().fd.get(), contents);
    }
    if (placed) {
        placed = whiteout ? work.swap_out(made.value().name, to, name)
                          : work.move_out(made.value().name, to, name);
    }
    const auto st = stat_fd(made.value().fd.get());
    if (!placed || !st) {
        work.discard(made.value().name);
        return placed ? st.error() : placed.error();
    }
    touch();
    Found found;
    found.st = st.value();
    found.attr = attr;
    if (directory) {
        found.layers.push_back(0);
    }
    HostNodePtr node = adopt(name, found);
    FdSlot& slot = directory ? node->layers_.begin()->second : node->write_fd_;
    slot.put(tree_->fds, share(std::move(made.value().fd)));
    node->may_have_capability_ = false;
    return node;
}

Result<HostNodePtr> HostNode::make_direct(const Caller& caller, const std::string& name,
                                          const NewFile& file) {
    const auto dir = dir_fd(0);
    if (!dir) {
        return dir.error();
    }
    const int at = dir.value()->get();
    mode_t mode = file.mode;
    if (!S_ISDIR(mode) && !tree_->allow_set_id) {
        mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);
    }
    int made = -1;
    if (S_ISREG(mode)) {
        auto fd = open_in(at, name, O_WRONLY | O_CREAT | O_EXCL, mode & kPermissions);
        if (!fd) {
            return fd.error();
        }
        made = 0;
    } else if (S_ISDIR(mode)) {
        made = ::mkdirat(at, name.c_str(), mode & kPermissions);
    } else if (S_ISLNK(mode)) {
        made = ::symlinkat(file.target.c_str(), at, name.c_str());
    } else if (S_ISFIFO(mode) || S_ISSOCK(mode)) {
        made = ::mknodat(at, name.c_str(), mode, 0);
    } else {
        return error(EPERM);  // a device node would be one of the host's
    }
    if (made != 0) {
        return last_error();
    }
    auto node = lookup(name);
    if (!node || (node.value()->type_ != (mode & S_IFMT))) {
        return node ? error(ESTALE) : node.error();
    }
    // The server's umask and identity took part so far. One without privileges keeps its own
    // identity.
    const auto st = node.value()->host_stat();
    if (!st) {
        return st.error();
    }
    SetAttr wanted;
    if (::geteuid() == 0 && st.value().st_uid != caller.uid) {
        wanted.uid = caller.uid;
    }
    const auto parent = host_stat();
    const bool inherits = parent && (parent.value().st_mode & S_ISGID) != 0;
    if (::geteuid() == 0 && !inherits && st.value().st_gid != file.gid) {
        wanted.gid = file.gid;
    }
    mode |= inherits && S_ISDIR(mode) ? S_ISGID : 0;
    if (!S_ISLNK(mode) && (st.value().st_mode & kPermissions) != (mode & kPermissions)) {
        wanted.mode = mode & kPermissions;
    }
    if (wanted.uid || wanted.gid || wanted.mode) {
        if (auto set = node.value()->set_owner_mode_direct(wanted, false); !set) {
            ::unlinkat(at, name.c_str(), S_ISDIR(mode) ? AT_REMOVEDIR : 0);
            return set.error();
        }
    }
    return node;
}

Result<> HostNode::add_link(const std::string& name, HostNode& target) {
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused);
    }
    if (target.is_dir()) {
        return error(EPERM);
    }
    const auto there = lookup(name);
    if (there || there.error() != error(ENOENT)) {
        return there ? error(EEXIST) : there.error();
    }
    if (target.places_.empty()) {
        const auto st = target.host_stat();
        if (!st || st.value().st_nlink == 0 || (mapped() && !target.upper_)) {
            return error(ENOENT);  // link(2): a file without names stays so
        }
    }
    if (auto up = target.copy_up(); !up) {
        return up;
    }
    if (auto up = copy_up(); !up) {
        return up;
    }
    BlockTally tally(*tree_);
    tally.watch(*this);
    tally.watch(target);
    if (auto linked = link_host(name, target); !linked) {
        return linked;
    }
    touch();
    target.touch();
    target.add_place(self(), name);
    return success();
}

Result<> HostNode::link_host(const std::string& name, HostNode& target) {
    const auto dir = dir_fd(0);
    if (!dir) {
        return dir.error();
    }
    const auto link_to = [&](int to, const std::string& new_name) -> Result<> {
        if (target.places_.empty()) {
            // It has names that are not known here. Needs CAP_DAC_READ_SEARCH, or else /proc.
            const int fd = target.pinned_->get();
            const std::string link = "/proc/self/fd/" + std::to_string(fd);
            if (::linkat(fd, "", to, new_name.c_str(), AT_EMPTY_PATH) != 0 &&
                ::linkat(AT_FDCWD, link.c_str(), to, new_name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
                return last_error();
            }
            return success();
        }
        const Place& place = target.places_.front();
        const auto from = place.parent->dir_fd(0);
        if (!from) {
            return from.error();
        }
        if (::linkat(from.value()->get(), place.name.c_str(), to, new_name.c_str(), 0) != 0) {
            return last_error();
        }
        return success();
    };
    auto linked = link_to(dir.value()->get(), name);
    if (linked || !mapped() || linked.error() != error(EEXIST)) {
        return linked;
    }
    // A whiteout has the name.
    const std::string made = tree_->work->fresh_name();
    if (linked = link_to(tree_->work->fd(), made); !linked) {
        return linked;
    }
    linked = tree_->work->move_out(made, dir.value()->get(), name);
    if (!linked) {
        tree_->work->discard(made);
    }
    return linked;
}

Result<> HostNode::remove(const std::string& name, bool directory) {
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused);
    }
    const auto found = lookup(name);
    if (!found) {
        return found.error();
    }
    HostNode& child = *found.value();
    if (child.is_dir() != directory) {
        return error(directory ? ENOTDIR : EISDIR);
    }
    if (directory && mapped()) {
        const auto entries = child.list(1);
        if (!entries) {
            return entries.error();
        }
        if (!entries.value().empty()) {
            return error(ENOTEMPTY);
        }
    }
    if (auto ready = child.prepare_removal(kOwnReference); !ready) {
        return ready;
    }
    BlockTally tally(*tree_);
    tally.watch(*this);
    tally.watch(child);
    Result<> removed = success();
    if (mapped()) {
        removed = remove_mapped(name, child);
    } else {
        const auto dir = dir_fd(0);
        if (!dir) {
            removed = dir.error();
        } else if (::unlinkat(dir.value()->get(), name.c_str(), directory ? AT_REMOVEDIR : 0) !=
                   0) {
            removed = last_error();
        }
    }
    if (!removed) {
        child.settle_pin();
        return removed;
    }
    child.removed_from(*this, name);
    touch();
    return success();
}

Result<> HostNode::remove_mapped(const std::string& name, HostNode& child) {
    const auto lower = lower_has(name);
    if (!lower) {
        return lower.error();
    }
    if (auto up = copy_up(); !up) {
        return up;
    }
    const auto dir = dir_fd(0);
    if (!dir) {
        return dir.error();
    }
    const int at = dir.value()->get();
    if (lower.value()) {
        return tree_->work->white_out(at, name);
    }
    if (::unlinkat(at, name.c_str(), child.is_dir() ? AT_REMOVEDIR : 0) == 0) {
        return success();
    }
    if (!child.is_dir() || (errno != ENOTEMPTY && errno != EEXIST)) {
        return last_error();
    }
    // Whiteouts are left in it.
    const std::string away = tree_->work->fresh_name();
    auto moved = rename_in(at, name, tree_->work->fd(), away);
    if (moved) {
        tree_->work->discard(away);
    }
    return moved;
}

}  // namespace ennead::synthfs
