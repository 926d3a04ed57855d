// SPDX-License-Identifier: MIT
// A live file or directory of a host tree: where it is now, and the descriptors that reach it.
#include "synthfs/host_node.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace ennead::synthfs {

namespace {

constexpr int kPlainOpen = O_NONBLOCK | O_NOCTTY;

}  // namespace

HostNode::HostNode(std::shared_ptr<HostTree> tree, const Found& found, std::uint64_t path)
    : tree_(std::move(tree)),
      type_((tree_->mode == HostMode::mapped ? found.attr.mode : found.st.st_mode) & S_IFMT),
      path_(path),
      host_type_(found.st.st_mode & S_IFMT),
      layer_(found.layer),
      upper_(tree_->upper && found.layer == 0),
      attr_(found.attr) {
    for (const int layer : found.layers) {
        layers_.try_emplace(layer);
    }
    if (mapped()) {
        tree_->by_path.emplace(path_, this);
        stat_ = found.st;
        stat_valid_ = true;
    }
    set_id(found.st);
}

HostNode::~HostNode() {
    if (unlinked_bytes_) {
        count(-static_cast<std::int64_t>(*unlinked_bytes_));
    }
    tree_->pinned_files -= pinned_ ? 1 : 0;
    const auto by_id = tree_->by_id.find(id_);
    if (by_id != tree_->by_id.end() && by_id->second == this) {
        tree_->by_id.erase(by_id);
    }
    const auto by_path = tree_->by_path.find(path_);
    if (by_path != tree_->by_path.end() && by_path->second == this) {
        tree_->by_path.erase(by_path);
    }
    for (Place& place : places_) {
        auto& children = place.parent->children_;
        const auto child = children.find(place.name);
        if (child != children.end() && child->second == this) {
            children.erase(child);
        }
        tree_->release(std::move(place.parent));
    }
}

Result<HostNodePtr> HostNode::make_root(std::shared_ptr<HostTree> tree) {
    Found found;
    const auto st = stat_fd(tree->layers.front()->get());
    if (!st) {
        return st.error();
    }
    found.st = st.value();
    found.attr = attr_from_host(found.st);
    bool opaque = false;
    if (tree->mode == HostMode::mapped && tree->upper) {
        const auto info = read_upper(tree->layers.front()->get(), ".");
        if (!info) {
            return info.error();
        }
        found.attr = info.value().attr;
        opaque = info.value().opaque;
    }
    const std::size_t count = opaque ? 1 : tree->layers.size();
    for (std::size_t layer = 0; layer < count; ++layer) {
        found.layers.push_back(static_cast<int>(layer));
    }
    const HostId id{found.st.st_dev, found.st.st_ino};
    const std::uint64_t path = found.attr.path != 0 ? found.attr.path : tree->number(id);
    return std::make_shared<HostNode>(std::move(tree), found, path);
}

Identity HostNode::identity() const {
    // Logically constant: a fresh look at the host at most refreshes what is remembered of it.
    const auto st = const_cast<HostNode*>(this)->host_stat();
    return {tree_->source, path_, version(st ? st.value() : stat_)};
}

std::uint32_t HostNode::version(const struct stat& now) const {
    const auto fold = [](const timespec& time) {
        return static_cast<std::uint64_t>(time.tv_sec) * 1000000007u +
               static_cast<std::uint64_t>(time.tv_nsec);
    };
    std::uint64_t hash = fold(now.st_mtim) * 31 + fold(now.st_ctim);
    hash = hash * 31 + static_cast<std::uint64_t>(now.st_size);
    hash = (hash + changes_) * 0x9e3779b97f4a7c15u;
    const auto folded = static_cast<std::uint32_t>(hash >> 32);
    return folded != 0 ? folded : 1;
}

int HostNode::refuse_change(const std::string& name) const {
    if (tree_->revoked) {
        return ESTALE;
    }
    if (!is_dir()) {
        return ENOTDIR;
    }
    if (const int bad = bad_name(name); bad != 0) {
        return bad;
    }
    if (removed_) {
        return ENOENT;
    }
    return tree_->upper ? 0 : EROFS;
}

void HostNode::set_id(const struct stat& st) {
    const auto known = tree_->by_id.find(id_);
    if (known != tree_->by_id.end() && known->second == this) {
        tree_->by_id.erase(known);
    }
    id_ = {st.st_dev, st.st_ino};
    if (!is_dir() && (upper_ || !mapped())) {
        tree_->by_id.insert_or_assign(id_, this);
    }
}

bool HostNode::same_id(const struct stat& st) const {
    return id_ == HostId{st.st_dev, st.st_ino} && (st.st_mode & S_IFMT) == host_type_;
}

void HostNode::add_place(HostNodePtr parent, const std::string& name) {
    parent->children_.insert_or_assign(name, this);
    const bool known = std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
        return place.parent == parent && place.name == name;
    });
    if (!known) {
        places_.push_back({std::move(parent), name});
    }
    settle_pin();
}

void HostNode::drop_place(HostNode& parent, const std::string& name) {
    const auto child = parent.children_.find(name);
    if (child != parent.children_.end() && child->second == this) {
        parent.children_.erase(child);
    }
    const auto place = std::find_if(places_.begin(), places_.end(), [&](const Place& known) {
        return known.parent.get() == &parent && known.name == name;
    });
    if (place != places_.end()) {
        tree_->release(std::move(place->parent));
        places_.erase(place);
    }
}

// Opens downward from the nearest directory above whose descriptor is still at hand.
Result<FdRef> HostNode::dir_fd(int layer) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    std::vector<HostNode*> closed;
    FdRef fd;
    for (HostNode* at = this; !fd; at = at->places_.front().parent.get()) {
        const auto slot = at->layers_.find(layer);
        if (at->removed_ || slot == at->layers_.end()) {
            return error(ENOENT);
        }
        fd = slot->second.get();
        if (!fd && at->places_.empty()) {
            fd = tree_->layers[static_cast<std::size_t>(layer)];
        } else if (!fd) {
            closed.push_back(at);
        }
        if (fd) {
            break;
        }
    }
    for (; !closed.empty(); closed.pop_back()) {
        HostNode& next = *closed.back();
        auto opened = open_in(fd->get(), next.places_.front().name, O_PATH | O_DIRECTORY);
        if (!opened) {
            return opened.error();
        }
        if (!mapped()) {
            // Somebody on the host may have put another directory there.
            const auto st = stat_fd(opened.value().get());
            if (!st || !next.same_id(st.value())) {
                return error(ESTALE);
            }
        }
        fd = share(std::move(opened.value()));
        next.layers_.find(layer)->second.put(tree_->fds, fd);
    }
    return fd;
}

// Opens the file by one of its names. Names that somebody on the host has given to another file are
// forgotten.
Result<FdRef> HostNode::open_place(int flags) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    while (!places_.empty()) {
        const Place place = places_.front();
        const auto dir = place.parent->dir_fd(layer_);
        if (!dir) {
            return dir.error();
        }
        // Looked at first: a device must not even be opened, and what is swapped in between is seen
        // after.
        auto st = stat_in(dir.value()->get(), place.name);
        if (st && same_id(st.value())) {
            auto fd = open_in(dir.value()->get(), place.name,
                              (flags & O_PATH) != 0 ? flags : flags | kPlainOpen);
            if (!fd) {
                return fd.error();
            }
            st = stat_fd(fd.value().get());
            if (st && same_id(st.value())) {
                return share(std::move(fd.value()));
            }
        }
        if (mapped() || is_dir()) {
            return error(st ? ESTALE : to_errno(st.error()));
        }
        drop_place(*place.parent, place.name);
    }
    return error(ESTALE);
}

Result<struct stat> HostNode::host_stat() {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (stat_valid_) {
        return stat_;
    }
    const auto keep = [this](const struct stat& st) {
        stat_ = st;
        stat_valid_ = mapped();
        return st;
    };
    FdRef fd = pinned_;
    if (!fd && is_dir() && places_.empty()) {
        fd = tree_->layers[static_cast<std::size_t>(layer_)];
    } else if (!fd && is_dir()) {
        fd = layers_.find(layer_)->second.get();
    } else if (!fd && !(fd = write_fd_.get())) {
        fd = read_fd_.get();
    }
    if (fd) {
        const auto st = stat_fd(fd->get());
        return st ? Result<struct stat>(keep(st.value())) : st;
    }
    while (!places_.empty()) {
        const Place place = places_.front();
        const auto dir = place.parent->dir_fd(layer_);
        if (!dir) {
            return dir.error();
        }
        const auto st = stat_in(dir.value()->get(), place.name);
        if (st && same_id(st.value())) {
            return keep(st.value());
        }
        if (mapped() || is_dir()) {
            return error(st ? ESTALE : to_errno(st.error()));
        }
        drop_place(*place.parent, place.name);
    }
    return error(ESTALE);
}

Result<FdRef> HostNode::contents(bool write) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (write) {
        if (auto up = copy_up(); !up) {
            return up.error();
        }
    }
    if (host_type_ != S_IFREG) {
        return error(ENXIO);
    }
    if (pinned_) {
        return pinned_;
    }
    const bool both = mapped() && upper_;
    FdSlot& slot = write || both ? write_fd_ : read_fd_;
    if (FdRef fd = slot.get()) {
        return fd;
    }
    auto fd = open_place(both ? O_RDWR : write ? O_WRONLY : O_RDONLY);
    if (fd) {
        slot.put(tree_->fds, fd.value());
    }
    return fd;
}

Result<FdRef> HostNode::attr_fd() {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (pinned_) {
        return pinned_;
    }
    if (is_dir()) {
        return dir_fd(layer_);
    }
    if (mapped()) {
        return contents(true);
    }
    return open_place(O_PATH);
}

Result<FdRef> HostNode::xattr_fd() {
    if (!is_dir()) {
        return contents(false);
    }
    const auto dir = dir_fd(layer_);
    if (!dir) {
        return dir.error();
    }
    // Extended attributes cannot be reached by an O_PATH descriptor.
    auto fd = open_in(dir.value()->get(), ".", O_RDONLY | O_DIRECTORY);
    if (!fd) {
        return fd.error();
    }
    return share(std::move(fd.value()));
}

void HostNode::sync(bool data_only, Reply<> reply) {
    if (tree_->revoked) {
        reply(error(ESTALE));
        return;
    }
    if (!upper_) {
        reply(success());
        return;
    }
    auto fd = is_dir() ? xattr_fd() : contents(false);
    if (!fd) {
        reply(fd.error());
        return;
    }
    const auto failure = std::make_shared<std::error_code>();
    tree_->aside(
        [fd = std::move(fd.value()), data_only, failure] {
            if ((data_only ? ::fdatasync(fd->get()) : ::fsync(fd->get())) != 0) {
                *failure = last_error();
            }
        },
        [failure, reply = std::move(reply)] {
            reply(*failure ? Result<>(*failure) : Result<>(success()));
        });
}

// A name of this node is about to go. If it is the last known one, and others than the
// `spare_references` of the caller will go on using the node, what they need is put by.
Result<> HostNode::prepare_removal(long spare_references) {
    if (weak_from_this().use_count() <= spare_references) {
        return success();
    }
    if (is_dir()) {
        auto attr = get_attr();
        if (!attr) {
            return attr.error();
        }
        attr.value().nlink = 0;
        last_attr_ = attr.value();
        return success();
    }
    if (places_.size() > 1 || pinned_) {
        return success();
    }
    // A guest that removes what it keeps open must not take the last descriptor.
    if (tree_->pinned_files >= tree_->most_pinned) {
        return error(ENFILE);
    }
    Result<FdRef> fd = error(ENXIO);
    if (host_type_ == S_IFREG) {
        // A lower file is copied up from it, should it still be written.
        fd = mapped() || !upper_ ? contents(false) : open_place(O_RDWR);
        if (!fd) {
            fd = open_place(O_RDONLY);
        }
    }
    if (!fd) {
        fd = open_place(O_PATH);  // enough for attributes and a link's target
    }
    if (!fd) {
        return fd.error();
    }
    pin(std::move(fd.value()));
    return success();
}

void HostNode::pin(FdRef fd) {
    tree_->pinned_files += pinned_ ? 0 : 1;
    pinned_ = std::move(fd);
}

// A descriptor put by is not needed while the file has a name.
void HostNode::settle_pin() {
    if (!places_.empty() && pinned_) {
        pinned_.reset();
        --tree_->pinned_files;
    }
}

void HostNode::removed_from(HostNode& parent, const std::string& name) {
    touch();
    parent.touch();
    drop_place(parent, name);
    if (is_dir()) {
        removed_ = true;
        for (auto& [layer, slot] : layers_) {
            slot.drop();
        }
    }
}

}  // namespace ennead::synthfs
