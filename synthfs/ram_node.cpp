// SPDX-License-Identifier: MIT
// The files of a tree in memory: names and attributes.
#include "synthfs/ram_node.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "synthfs/host_fd.h"

namespace ennead::synthfs {

namespace {

constexpr mode_t kPermissions = 07777;
const std::string kCapability = "security.capability";

std::timespec now() {
    std::timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

Caller caller_of(const RequestPtr& request) {
    return request ? request->caller() : Caller{};
}

Result<NodePtr> as_node(Result<RamNodePtr> node) {
    if (!node) {
        return node.error();
    }
    return NodePtr(std::move(node.value()));
}

// chown(2): set-user-ID ends with a change of owner or contents, and set-group-ID where group
// execution gives it that meaning.
mode_t without_set_id(mode_t mode) {
    mode &= ~static_cast<mode_t>(S_ISUID);
    return (mode & S_IXGRP) != 0 ? mode & ~static_cast<mode_t>(S_ISGID) : mode;
}

}  // namespace

RamNode::RamNode(std::shared_ptr<RamTree> tree, mode_t mode, const Caller& owner, gid_t gid,
                 std::uint64_t rdev, std::string target)
    : tree_(std::move(tree)),
      path_(++tree_->last_path),
      contents_(tree_),
      target_(std::move(target)) {
    ++tree_->files;
    attr_.mode = mode;
    attr_.uid = owner.uid;
    attr_.gid = gid;
    attr_.rdev = rdev;
    attr_.nlink = S_ISDIR(mode) ? 2 : 0;
    attr_.atime = attr_.mtime = attr_.ctime = now();
}

RamNode::~RamNode() {
    for (auto& [offset, entry] : entries_) {
        entry.node->above_ = nullptr;
        tree_->give_back(entry.name.size());
        tree_->release(std::move(entry.node));
    }
    for (const auto& [name, value] : xattrs_) {
        tree_->give_back(name.size() + value.size());
    }
    tree_->give_back(std::min(kRamNodeCost + target_.size(), tree_->used));
    --tree_->files;
}

// --- names ---------------------------------------------------------------------------------------

int RamNode::refuse_look(const std::string& name) const {
    if (tree_->revoked) {
        return ESTALE;
    }
    return is_dir() ? bad_name(name) : ENOTDIR;
}

int RamNode::refuse_change(const std::string& name) const {
    if (const int refused = refuse_look(name); refused != 0) {
        return refused;
    }
    if (attr_.nlink == 0) {
        return ENOENT;  // removed
    }
    return tree_->options.read_only ? EROFS : 0;
}

Result<RamNodePtr> RamNode::lookup(const std::string& name) const {
    if (const int refused = refuse_look(name); refused != 0) {
        return error(refused);
    }
    const auto offset = offsets_.find(name);
    if (offset == offsets_.end()) {
        return error(ENOENT);
    }
    return entries_.at(offset->second).node;
}

void RamNode::add_name(const std::string& name, RamNodePtr node) {
    if (node->is_dir()) {
        node->above_ = this;
        ++attr_.nlink;
    } else {
        ++node->attr_.nlink;
    }
    offsets_.emplace(name, ++last_offset_);
    entries_.emplace(last_offset_, Names{name, std::move(node)});
    changed();
}

RamNodePtr RamNode::drop_name(const std::string& name) {
    const auto offset = offsets_.find(name);
    const auto entry = entries_.find(offset->second);
    RamNodePtr node = std::move(entry->second.node);
    entries_.erase(entry);
    offsets_.erase(offset);
    if (node->is_dir()) {
        node->above_ = nullptr;
        --attr_.nlink;
    } else {
        --node->attr_.nlink;
    }
    node->touched();
    changed();
    return node;
}

std::vector<DirEntry> RamNode::list(std::uint64_t offset, std::size_t max_entries) const {
    std::vector<DirEntry> found;
    for (auto at = entries_.upper_bound(offset); at != entries_.end() && found.size() < max_entries;
         ++at) {
        const RamNode& node = *at->second.node;
        found.push_back({.name = at->second.name,
                         .path = node.path_,
                         .type = node.type(),
                         .next_offset = at->first});
    }
    return found;
}

void RamNode::walk(RequestPtr, std::string name, Reply<NodePtr> reply) {
    reply(as_node(lookup(name)));
}

Result<RamNodePtr> RamNode::make(const Caller& caller, const std::string& name, mode_t mode,
                                 std::uint64_t rdev, gid_t gid, std::string target) {
    if (lookup(name)) {
        return error(EEXIST);
    }
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused);
    }
    if (!tree_->take(kRamNodeCost + target.size() + name.size())) {
        return error(ENOSPC);
    }
    if ((attr_.mode & S_ISGID) != 0) {
        // inode(7): group, and for directories the bit itself, come from the directory.
        gid = attr_.gid;
        mode |= S_ISDIR(mode) ? S_ISGID : 0;
    }
    auto node = std::make_shared<RamNode>(tree_, mode, caller, gid, rdev, std::move(target));
    add_name(name, node);
    return node;
}

void RamNode::create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                     Reply<Created> reply) {
    auto node = lookup(name);
    if (node && (flags & O_EXCL) != 0) {
        reply(error(EEXIST));
        return;
    }
    if (!node && node.error() == error(ENOENT)) {
        node = make(caller_of(request), name, S_IFREG | (mode & kPermissions), 0, gid, {});
        flags &= ~O_TRUNC;
    }
    if (!node) {
        reply(node.error());
        return;
    }
    auto handle = node.value()->open_handle(caller_of(request), flags);
    if (handle) {
        reply(Created{std::move(node.value()), std::move(handle.value())});
    } else {
        reply(handle.error());
    }
}

void RamNode::mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
                    Reply<NodePtr> reply) {
    reply(as_node(
        make(caller_of(request), name, S_IFDIR | (mode & kPermissions), 0, gid, std::string())));
}

void RamNode::symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                      Reply<NodePtr> reply) {
    if (target.empty() || target.find('\0') != target.npos) {
        reply(error(target.empty() ? ENOENT : EINVAL));
    } else if (target.size() >= PATH_MAX) {
        reply(error(ENAMETOOLONG));
    } else {
        reply(as_node(make(caller_of(request), name, S_IFLNK | 0777, 0, gid, std::move(target))));
    }
}

void RamNode::mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
                    gid_t gid, Reply<NodePtr> reply) {
    const mode_t type = (mode & S_IFMT) != 0 ? mode & S_IFMT : S_IFREG;  // mknod(2)
    const bool device = type == S_IFCHR || type == S_IFBLK;
    if (!device && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) {
        reply(error(type == S_IFDIR ? EPERM : EINVAL));
        return;
    }
    reply(as_node(make(caller_of(request), name, type | (mode & kPermissions), device ? rdev : 0,
                       gid, std::string())));
}

void RamNode::link(RequestPtr, std::string name, NodePtr target, Reply<> reply) {
    const auto file = std::dynamic_pointer_cast<RamNode>(target);
    if (!file || file->tree_ != tree_) {
        reply(error(EXDEV));
    } else if (file->is_dir()) {
        reply(error(EPERM));
    } else if (lookup(name)) {
        reply(error(EEXIST));
    } else if (const int refused = refuse_change(name); refused != 0) {
        reply(error(refused));
    } else if (file->attr_.nlink == 0) {
        reply(error(ENOENT));  // link(2): a file without names stays so
    } else if (!tree_->take(name.size())) {
        reply(error(ENOSPC));
    } else {
        add_name(name, file);
        file->touched();
        reply(success());
    }
}

void RamNode::unlink(RequestPtr, std::string name, bool directory, Reply<> reply) {
    if (const int refused = refuse_change(name); refused != 0) {
        reply(error(refused));
        return;
    }
    const auto found = lookup(name);
    if (!found) {
        reply(found.error());
    } else if (found.value()->is_dir() != directory) {
        reply(error(directory ? ENOTDIR : EISDIR));
    } else if (!found.value()->entries_.empty()) {
        reply(error(ENOTEMPTY));
    } else {
        const RamNodePtr gone = drop_name(name);
        tree_->give_back(name.size());
        if (directory) {
            gone->attr_.nlink = 0;
        }
        reply(success());
    }
}

void RamNode::rename(RequestPtr, std::string name, NodePtr new_parent, std::string new_name,
                     Reply<> reply) {
    const auto to = std::dynamic_pointer_cast<RamNode>(new_parent);
    if (!to || to->tree_ != tree_) {
        reply(error(EXDEV));
        return;
    }
    reply(rename_child(name, *to, new_name));
}

Result<> RamNode::rename_child(const std::string& name, RamNode& to, const std::string& new_name) {
    if (const int refused = refuse_change(name); refused != 0) {
        return error(refused);
    }
    if (const int refused = to.refuse_change(new_name); refused != 0) {
        return error(refused);
    }
    const auto found = lookup(name);
    if (!found) {
        return found.error();
    }
    const RamNodePtr& moved = found.value();
    const auto target = to.lookup(new_name);
    if (target && target.value() == moved) {
        return success();  // rename(2): two links to the same file both stay
    }
    if (moved->is_dir()) {
        for (const RamNode* above = &to; above != nullptr; above = above->above_) {
            if (above == moved.get()) {
                return error(EINVAL);
            }
        }
    }
    if (target && moved->is_dir() != target.value()->is_dir()) {
        return error(moved->is_dir() ? ENOTDIR : EISDIR);
    }
    if (target && !target.value()->entries_.empty()) {
        return error(ENOTEMPTY);
    }
    if (!target && new_name.size() > name.size() && !tree_->take(new_name.size() - name.size())) {
        return error(ENOSPC);
    }
    if (target) {
        const RamNodePtr gone = to.drop_name(new_name);
        if (gone->is_dir()) {
            gone->attr_.nlink = 0;
        }
        tree_->give_back(name.size());
    } else if (new_name.size() < name.size()) {
        tree_->give_back(name.size() - new_name.size());
    }
    to.add_name(new_name, drop_name(name));
    return success();
}

// --- attributes ----------------------------------------------------------------------------------

void RamNode::changed() {
    attr_.mtime = attr_.ctime = now();
    ++version_;
    version_ += version_ == 0 ? 1 : 0;  // 0 would say that it is synthetic
}

void RamNode::touched() {
    attr_.ctime = now();
}

// Contents and owner are what a capability was given to.
void RamNode::drop_capability() {
    if (const auto known = xattrs_.find(kCapability); known != xattrs_.end()) {
        tree_->give_back(known->first.size() + known->second.size());
        xattrs_.erase(known);
    }
}

void RamNode::note_read() {
    attr_.atime = now();
}

void RamNode::note_write(const Caller& caller) {
    changed();
    drop_capability();
    if (caller.uid != 0) {  // root keeps CAP_FSETID
        attr_.mode = without_set_id(attr_.mode);
    }
}

void RamNode::getattr(RequestPtr, Reply<Attr> reply) {
    if (tree_->revoked) {
        reply(error(ESTALE));
        return;
    }
    Attr attr = attr_;
    attr.identity = identity();
    attr.size = S_ISREG(attr_.mode)   ? contents_.size()
                : S_ISLNK(attr_.mode) ? target_.size()
                                      : entries_.size();
    attr.block_size = RamContents::kPage;
    attr.blocks = contents_.pages() * (RamContents::kPage / 512);
    reply(attr);
}

void RamNode::setattr(RequestPtr request, SetAttr change, Reply<> reply) {
    reply(set_attr(caller_of(request), change));
}

Result<> RamNode::set_attr(const Caller& caller, const SetAttr& change) {
    if (tree_->revoked || tree_->options.read_only) {
        return error(tree_->revoked ? ESTALE : EROFS);
    }
    if (change.size && !S_ISREG(attr_.mode)) {
        return error(is_dir() ? EISDIR : EINVAL);
    }
    if (change.size &&
        *change.size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
        return error(EFBIG);
    }
    if (change.mode && S_ISLNK(attr_.mode)) {
        return error(EOPNOTSUPP);
    }
    const bool owner = change.uid || change.gid;
    if (change.size) {
        contents_.resize(*change.size);
        changed();
    }
    attr_.uid = change.uid.value_or(attr_.uid);
    attr_.gid = change.gid.value_or(attr_.gid);
    if (!is_dir() && (owner || (change.size && caller.uid != 0))) {
        attr_.mode = without_set_id(attr_.mode);
    }
    if (change.size || owner) {
        drop_capability();
    }
    if (change.mode) {
        attr_.mode = type() | (*change.mode & kPermissions);
    }
    for (const auto& [wanted, time] :
         {std::pair{&change.atime, &attr_.atime}, {&change.mtime, &attr_.mtime}}) {
        if (*wanted) {
            *time = (*wanted)->now ? now() : (*wanted)->value;
        }
    }
    touched();
    return success();
}

void RamNode::open(RequestPtr request, int flags, Reply<HandlePtr> reply) {
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    if (writes && tree_->options.read_only && !is_dir()) {
        reply(error(EROFS));
        return;
    }
    reply(open_handle(caller_of(request), flags));
}

void RamNode::readlink(RequestPtr, Reply<std::string> reply) {
    if (tree_->revoked || !S_ISLNK(attr_.mode)) {
        reply(error(tree_->revoked ? ESTALE : EINVAL));
        return;
    }
    reply(target_);
}

void RamNode::statfs(RequestPtr, Reply<StatFs> reply) {
    if (tree_->revoked) {
        reply(error(ESTALE));
        return;
    }
    StatFs figures;
    const std::uint64_t left = tree_->options.limit - std::min(tree_->used, tree_->options.limit);
    figures.block_size = RamContents::kPage;
    figures.blocks = tree_->options.limit / RamContents::kPage;
    figures.blocks_free = figures.blocks_available = left / RamContents::kPage;
    figures.files_free = left / kRamNodeCost;
    figures.files = tree_->files + figures.files_free;
    figures.fsid = tree_->source;
    figures.name_max = NAME_MAX;
    reply(figures);
}

// --- extended attributes -------------------------------------------------------------------------

int RamNode::bad_xattr(const std::string& name, bool write) const {
    if (tree_->revoked) {
        return ESTALE;
    }
    if (name.find('\0') != name.npos) {
        return EINVAL;
    }
    const bool capability = name == kCapability && S_ISREG(attr_.mode);
    if (!capability && (!name.starts_with("user.") || name.size() == 5)) {
        return EOPNOTSUPP;
    }
    if (name.size() > XATTR_NAME_MAX) {
        return ERANGE;
    }
    // xattr(7): user attributes belong to regular files and directories only.
    if (!S_ISREG(attr_.mode) && !is_dir()) {
        return write ? EPERM : ENODATA;
    }
    return 0;
}

void RamNode::getxattr(RequestPtr, std::string name, Reply<std::string> reply) {
    if (const int bad = bad_xattr(name, false); bad != 0) {
        reply(error(bad));
        return;
    }
    const auto found = xattrs_.find(name);
    if (found == xattrs_.end()) {
        reply(error(ENODATA));
        return;
    }
    reply(found->second);
}

void RamNode::listxattr(RequestPtr, Reply<std::vector<std::string>> reply) {
    if (tree_->revoked) {
        reply(error(ESTALE));
        return;
    }
    std::vector<std::string> names;
    for (const auto& [name, value] : xattrs_) {
        names.push_back(name);
    }
    reply(std::move(names));
}

void RamNode::setxattr(RequestPtr, std::string name, std::string value, int flags, Reply<> reply) {
    const bool there = xattrs_.contains(name);
    if ((flags & XATTR_CREATE) != 0 && there) {
        reply(error(EEXIST));
    } else if ((flags & XATTR_REPLACE) != 0 && !there) {
        reply(error(ENODATA));
    } else {
        reply(change_xattr(name, &value));
    }
}

void RamNode::removexattr(RequestPtr, std::string name, Reply<> reply) {
    reply(change_xattr(name, nullptr));
}

Result<> RamNode::change_xattr(const std::string& name, const std::string* value) {
    if (const int bad = bad_xattr(name, true); bad != 0) {
        return error(bad);
    }
    if (tree_->options.read_only) {
        return error(EROFS);
    }
    const auto known = xattrs_.find(name);
    if (value == nullptr && known == xattrs_.end()) {
        return error(ENODATA);
    }
    constexpr std::size_t kMaxValue = 65536;  // Linux: XATTR_SIZE_MAX
    if (value != nullptr && value->size() > kMaxValue) {
        return error(E2BIG);
    }
    const std::uint64_t had = known == xattrs_.end() ? 0 : name.size() + known->second.size();
    tree_->give_back(had);
    if (value == nullptr) {
        xattrs_.erase(known);
    } else if (!tree_->take(name.size() + value->size())) {
        (void)tree_->take(had);
        return error(ENOSPC);
    } else {
        xattrs_[name] = *value;
    }
    touched();
    return success();
}

// Everything that hangs below goes; what others still hold is empty and answers ESTALE.
void RamNode::revoke() {
    tree_->revoked = true;
    const auto root = tree_->root.lock();
    std::vector<RamNodePtr> left;
    if (root) {
        left.push_back(root);
    }
    while (!left.empty()) {
        const RamNodePtr node = std::move(left.back());
        left.pop_back();
        node->contents_.resize(0);
        for (auto& [offset, entry] : node->entries_) {
            entry.node->above_ = nullptr;
            tree_->give_back(entry.name.size());
            left.push_back(std::move(entry.node));
        }
        node->entries_.clear();
        node->offsets_.clear();
    }
}

}  // namespace ennead::synthfs
