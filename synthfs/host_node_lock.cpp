// SPDX-License-Identifier: MIT
// Which locks a node's are: a direct tree shares its files with others, a mapped one with nobody.
#include "synthfs/host_node.h"

namespace ennead::synthfs {

namespace {

// A guest that locks one file after the other must not take the last descriptor.
constexpr std::size_t kMaxLockedFiles = 1024;

}  // namespace

Result<FdRef> HostNode::open_for_locks(int flags) {
    if (pinned_) {
        return pinned_;  // nobody can open it any more
    }
    return open_place(flags);
}

Result<> HostNode::set_lock(const Lock& lock) {
    if (mapped() || is_dir()) {
        return locks_.set(lock);
    }
    if (shared_locks_.empty() && lock.kind != Lock::Kind::unlock &&
        tree_->locked_files >= kMaxLockedFiles) {
        return error(ENOLCK);
    }
    tree_->locked_files -= shared_locks_.empty() ? 0 : 1;
    const auto done = shared_locks_.set(lock, [this](int flags) { return open_for_locks(flags); });
    tree_->locked_files += shared_locks_.empty() ? 0 : 1;
    return done;
}

Lock HostNode::blocking_lock(const Lock& lock) {
    if (mapped() || is_dir()) {
        return locks_.blocking(lock);
    }
    return shared_locks_.blocking(lock, [this](int flags) { return open_for_locks(flags); });
}

void HostNode::release_locks(const std::string& client, std::uint32_t pid) {
    if (mapped() || is_dir()) {
        locks_.release(client, pid);
        return;
    }
    tree_->locked_files -= shared_locks_.empty() ? 0 : 1;
    shared_locks_.release(client, pid);
    tree_->locked_files += shared_locks_.empty() ? 0 : 1;
}

}  // namespace ennead::synthfs
