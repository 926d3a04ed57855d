// SPDX-License-Identifier: MIT
// Copy-up: a lower file or directory gets its counterpart in the upper layer before it is first
// changed.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "synthfs/host_node.h"
#include "synthfs/host_quota.h"
#include "synthfs/overlay_copy.h"

namespace ennead::synthfs {

namespace {

Result<> set_times(int fd, const struct stat& st) {
    const timespec times[2] = {st.st_atim, st.st_mtim};
    if (::futimens(fd, times) != 0) {
        return last_error();
    }
    return success();
}

// A copy-up does not change the directory it happens in, as the guest sees it.
class KeepTimes {
  public:
    explicit KeepTimes(FdRef dir) : dir_(std::move(dir)), st_(stat_fd(dir_->get())) {}
    ~KeepTimes() {
        if (st_) {
            const timespec times[2] = {st_.value().st_atim, st_.value().st_mtim};
            // Refused before Linux 5.8; then the directory looks changed.
            (void)::utimensat(dir_->get(), "", times, AT_EMPTY_PATH);
        }
    }
    KeepTimes(const KeepTimes&) = delete;
    KeepTimes& operator=(const KeepTimes&) = delete;

  private:
    FdRef dir_;
    Result<struct stat> st_;
};

}  // namespace

Result<> HostNode::copy_up(std::uint64_t keep) {
    if (!tree_->upper) {
        return error(EROFS);
    }
    if (upper_) {
        return success();
    }
    if (removed_) {
        return error(ENOENT);
    }
    // From the top down, without recursion: a guest chooses the depth.
    std::vector<HostNodePtr> lower;
    for (HostNode* at = this; !at->upper_; at = at->places_.front().parent.get()) {
        lower.push_back(at->self());
        if (at->places_.empty()) {
            break;
        }
    }
    for (; !lower.empty(); lower.pop_back()) {
        HostNode& next = *lower.back();
        if (auto copied = next.copy_up_here(&next == this ? keep : kWhole); !copied) {
            return copied;
        }
    }
    return success();
}

Result<> HostNode::copy_up_here(std::uint64_t keep) {
    return is_dir() ? copy_up_dir() : copy_up_file(keep);
}

Result<> HostNode::copy_up_dir() {
    const Place place = places_.front();
    const auto st = host_stat();
    const auto from = xattr_fd();
    const auto parent = place.parent->dir_fd(0);
    if (!st || !from || !parent) {
        return !st ? st.error() : !from ? from.error() : parent.error();
    }
    BlockTally tally(*tree_);
    if (auto room = tally.want(); !room) {
        return room;
    }
    GuestAttr attr = attr_;
    attr.path = path_;
    OverlayWork& work = *tree_->work;
    auto made = work.make_dir(attr, false);
    if (!made) {
        return made.error();
    }
    const int fd = made.value().fd.get();
    auto done = copy_user_xattrs(from.value()->get(), fd);
    if (done) {
        done = set_times(fd, st.value());
    }
    const auto copy = stat_fd(fd);
    if (done && copy) {
        const KeepTimes keep(parent.value());
        done = work.move_out(made.value().name, parent.value()->get(), place.name);
    }
    if (!done || !copy) {
        work.discard(made.value().name);
        return done ? copy.error() : done.error();
    }
    place.parent->touch();
    touch();
    attr_ = attr;
    upper_ = true;
    layer_ = 0;
    set_id(copy.value());
    layers_[0].put(tree_->fds, share(std::move(made.value().fd)));
    tally.made(*this);
    return success();
}

Result<> HostNode::copy_up_file(std::uint64_t keep) {
    const auto st = host_stat();
    if (!st) {
        return st.error();
    }
    BlockTally tally(*tree_);
    const std::uint64_t copied = std::min(keep, block_bytes(st.value()));
    if (auto room = tally.want(std::max<std::uint64_t>(copied, 1)); !room) {
        return room;
    }
    GuestAttr attr = attr_;
    attr.path = path_;
    OverlayWork& work = *tree_->work;
    auto made = work.make_file(attr);
    if (!made) {
        return made.error();
    }
    const int fd = made.value().fd.get();
    auto done = copy_contents(fd, keep);
    if (done) {
        done = set_times(fd, st.value());
    }
    if (done && tree_->sync_copies && ::fsync(fd) != 0) {
        done = last_error();
    }
    if (done && !places_.empty()) {
        const Place& place = places_.front();
        const auto parent = place.parent->dir_fd(0);
        if (parent) {
            const KeepTimes times(parent.value());
            done = work.move_out(made.value().name, parent.value()->get(), place.name);
        } else {
            done = parent.error();
        }
        place.parent->touch();
    } else {
        work.discard(made.value().name);  // on failure, or because the file has no name (any more)
    }
    const auto copy = stat_fd(fd);
    if (!done || !copy) {
        work.discard(made.value().name);
        return done ? copy.error() : done.error();
    }
    touch();
    attr_ = attr;
    upper_ = true;
    layer_ = 0;
    host_type_ = S_IFREG;
    set_id(copy.value());
    read_fd_.drop();
    FdRef shared = share(std::move(made.value().fd));
    if (places_.empty()) {
        pin(std::move(shared));
    } else {
        write_fd_.put(tree_->fds, std::move(shared));
    }
    tally.made(*this);
    return success();
}

Result<> HostNode::copy_contents(int to, std::uint64_t keep) {
    if (S_ISLNK(type_)) {
        const auto target = read_link();
        if (!target) {
            return target.error();
        }
        const std::string& text = target.value();
        const ssize_t put = ::pwrite(to, text.data(), text.size(), 0);
        if (put < 0) {
            return last_error();
        }
        return static_cast<std::size_t>(put) == text.size() ? Result<>(success()) : error(ENOSPC);
    }
    if (type_ != S_IFREG) {
        return success();
    }
    const auto from = contents(false);
    if (!from) {
        return from.error();
    }
    if (auto copied = copy_data(from.value()->get(), to, keep); !copied) {
        return copied;
    }
    return copy_user_xattrs(from.value()->get(), to);
}

// Copies up all that shows below a directory, in place, so that it depends on no lower layer and
// can be moved. What shows stays the same at each step. EXDEV if that is more than a rename should
// take; mv(1) then copies.
Result<> HostNode::copy_up_tree() {
    std::vector<HostNodePtr> nodes{self()};
    std::uint64_t files = 0, bytes = 0;
    for (std::size_t at = 0; at < nodes.size(); ++at) {
        HostNode& dir = *nodes[at];
        if (!dir.is_dir() || (dir.layers_.size() == 1 && dir.upper_)) {
            continue;
        }
        const auto entries = dir.list(std::numeric_limits<std::size_t>::max());
        if (!entries) {
            return entries.error();
        }
        for (const DirEntry& entry : entries.value()) {
            auto child = dir.lookup(entry.name);
            if (!child) {
                return child.error();
            }
            if (!child.value()->upper_) {
                const auto st = child.value()->host_stat();
                ++files;
                bytes += st ? static_cast<std::uint64_t>(st.value().st_blocks) * 512 : 0;
            }
            if (files > tree_->rename_copy_files || bytes > tree_->rename_copy_bytes) {
                return error(EXDEV);
            }
            nodes.push_back(std::move(child.value()));
        }
    }
    for (const HostNodePtr& node : nodes) {
        if (auto copied = node->copy_up(); !copied) {
            return copied;
        }
    }
    if (layers_.size() == 1) {
        return success();
    }
    const auto fd = xattr_fd();
    if (!fd) {
        return fd.error();
    }
    if (auto opaque = set_xattr(fd.value()->get(), kOpaqueXattr, "y"); !opaque) {
        return opaque;
    }
    for (const HostNodePtr& node : nodes) {
        for (auto lower = node->layers_.upper_bound(0); lower != node->layers_.end();) {
            lower = node->layers_.erase(lower);
        }
        node->touch();
    }
    return success();
}

}  // namespace ennead::synthfs
