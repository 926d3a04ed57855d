// SPDX-License-Identifier: MIT
// rename(2) in a host tree: what it may replace, and how the layers come to show it in as few steps
// as can be.
#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <utility>

#include "synthfs/host_node.h"
#include "synthfs/host_quota.h"

namespace ennead::synthfs {

namespace {

// References to a replaced node that the operation itself holds.
constexpr long kOwnReference = 1;

}  // namespace

void HostNode::rename(RequestPtr, std::string name, NodePtr new_parent, std::string new_name,
                      Reply<> reply) {
    auto* const to = dynamic_cast<HostNode*>(new_parent.get());
    if (to == nullptr || to->tree_ != tree_) {
        reply(error(EXDEV));
        return;
    }
    reply(rename_child(name, *to, new_name));
}

Result<> HostNode::rename_child(const std::string& name, HostNode& to,
                                const std::string& new_name) {
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused);
    }
    if (const int refused = to.refuse_change(new_name); refused != 0) {
        return error(refused);
    }
    const auto source = lookup(name);
    if (!source) {
        return source.error();
    }
    HostNode& moved = *source.value();
    const auto target = to.lookup(new_name);
    if (!target && target.error() != error(ENOENT)) {
        return target.error();
    }
    HostNode* const replaced = target ? target.value().get() : nullptr;
    if (replaced == &moved) {
        return success();  // rename(2): two links to the same file both stay
    }
    if (auto may = check_replace(moved, replaced, to); !may) {
        return may;
    }
    if (replaced != nullptr) {
        if (auto ready = replaced->prepare_removal(kOwnReference); !ready) {
            return ready;
        }
    }
    BlockTally tally(*tree_);
    tally.watch(*this);
    tally.watch(to);
    if (replaced != nullptr) {
        tally.watch(*replaced);
    }
    Result<> done = success();
    if (mapped()) {
        done = move_mapped(name, moved, to, new_name, replaced);
    } else {
        const auto from_dir = dir_fd(0);
        const auto to_dir = to.dir_fd(0);
        done = !from_dir ? from_dir.error()
               : !to_dir
                   ? Result<>(to_dir.error())
                   : rename_in(from_dir.value()->get(), name, to_dir.value()->get(), new_name);
    }
    if (!done) {
        if (replaced != nullptr) {
            replaced->settle_pin();
        }
        return done;
    }
    if (replaced != nullptr) {
        replaced->removed_from(to, new_name);
    }
    touch();
    to.touch();
    moved.touch();
    // The new place first: a node is never without one meanwhile.
    moved.add_place(to.self(), new_name);
    moved.drop_place(*this, name);
    return success();
}

Result<> HostNode::check_replace(HostNode& moved, HostNode* replaced, HostNode& to) {
    if (moved.is_dir()) {
        for (const HostNode* above = &to; above != nullptr;
             above = above->places_.empty() ? nullptr : above->places_.front().parent.get()) {
            if (above == &moved) {
                return error(EINVAL);
            }
        }
    }
    if (replaced == nullptr) {
        return success();
    }
    if (moved.is_dir() != replaced->is_dir()) {
        return error(moved.is_dir() ? ENOTDIR : EISDIR);
    }
    if (mapped() && replaced->is_dir()) {
        const auto entries = replaced->list(1);
        if (!entries) {
            return entries.error();
        }
        if (!entries.value().empty()) {
            return error(ENOTEMPTY);
        }
    }
    return success();
}

// Steps are ordered so that a crash between two of them loses nothing: at worst the old name shows
// again what a lower layer has there.
Result<> HostNode::move_mapped(const std::string& name, HostNode& moved, HostNode& to,
                               const std::string& new_name, HostNode* replaced) {
    if (auto up = to.copy_up(); !up) {
        return up;
    }
    if (auto up = moved.is_dir() ? moved.copy_up_tree() : moved.copy_up(); !up) {
        return up;
    }
    const auto covered = lower_has(name);
    const auto covers = to.lower_has(new_name);
    const auto from_dir = dir_fd(0);
    const auto to_dir = to.dir_fd(0);
    if (!covered || !covers || !from_dir || !to_dir) {
        return !covered    ? covered.error()
               : !covers   ? covers.error()
               : !from_dir ? from_dir.error()
                           : to_dir.error();
    }
    const int from_fd = from_dir.value()->get();
    const int to_fd = to_dir.value()->get();
    if (moved.is_dir() && covers.value()) {
        // Nothing of the lower directory that had the new name may show through.
        const auto fd = moved.xattr_fd();
        if (!fd) {
            return fd.error();
        }
        if (auto opaque = set_xattr(fd.value()->get(), kOpaqueXattr, "y"); !opaque) {
            return opaque;
        }
    }
    if (replaced != nullptr && replaced->is_dir() && replaced->upper_) {
        if (auto cleared = replaced->clear_for_replacement(); !cleared) {
            return cleared;
        }
    }
    OverlayWork& work = *tree_->work;
    if (replaced == nullptr) {
        bool whiteout = static_cast<bool>(stat_in(to_fd, new_name));
        if (!whiteout && covered.value()) {
            whiteout = static_cast<bool>(work.white_out(to_fd, new_name));
        }
        // A whiteout changes places with what moves, so both names are right at the same moment.
        if (whiteout && (covered.value() || moved.is_dir()) &&
            rename_in(from_fd, name, to_fd, new_name, RENAME_EXCHANGE)) {
            if (!covered.value()) {
                ::unlinkat(from_fd, name.c_str(), 0);
            }
            return success();
        }
        if (whiteout && moved.is_dir()) {
            ::unlinkat(to_fd, new_name.c_str(), 0);
        }
    }
    if (auto done = rename_in(from_fd, name, to_fd, new_name); !done) {
        return done;
    }
    if (covered.value()) {
        // The move is done; failing now would be the greater lie.
        (void)work.white_out(from_fd, name);
    }
    return success();
}

// Makes the host directory of one that shows as empty truly empty. It stays right at each step.
Result<> HostNode::clear_for_replacement() {
    const auto fd = xattr_fd();
    if (!fd) {
        return fd.error();
    }
    if (auto opaque = set_xattr(fd.value()->get(), kOpaqueXattr, "y"); !opaque) {
        return opaque;
    }
    for (auto lower = layers_.upper_bound(0); lower != layers_.end();) {
        lower = layers_.erase(lower);
    }
    std::vector<std::string> whiteouts;
    auto listed = list_in(fd.value()->get(), [&](std::string name, unsigned char, std::uint64_t) {
        whiteouts.push_back(std::move(name));
        return true;
    });
    for (const std::string& name : whiteouts) {
        ::unlinkat(fd.value()->get(), name.c_str(), 0);
    }
    return listed;
}

}  // namespace ennead::synthfs
