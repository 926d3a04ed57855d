// SPDX-License-Identifier: MIT
// What is in a directory of a host tree: one name looked up, or all listed, over the layers.
#include <dirent.h>
#include <fcntl.h>

#include <unordered_set>
#include <utility>

#include "synthfs/host_node.h"

namespace ennead::synthfs {

namespace {

bool absent(const std::error_code& code) {
    return code == error(ENOENT) || code == error(ENOTDIR);
}

}  // namespace

// The host is asked by its name alone, and what it had to fetch is in its memory afterwards: so
// what may wait is asked for by another thread first, for nothing, and then looked up as ever.
void HostNode::walk(RequestPtr, std::string name, Reply<NodePtr> reply) {
    const auto answer = [](HostNode& self, const std::string& wanted, bool cold) {
        auto found = self.lookup(wanted);
        if (!found) {
            return Result<NodePtr>(found.error());
        }
        found.value()->cold_ |= cold && found.value()->is_dir();
        return Result<NodePtr>(NodePtr(std::move(found.value())));
    };
    std::vector<FdRef> cold = layers_without(name);
    if (cold.empty()) {
        reply(answer(*this, name, false));
        return;
    }
    tree_->aside(
        [cold = std::move(cold), name] {
            for (const FdRef& dir : cold) {
                (void)stat_in(dir->get(), name);
            }
        },
        [self = self(), name, answer, reply = std::move(reply)] {
            reply(answer(*self, name, true));
        });
}

// The layers whose host would have to look on its disk for `name`.
std::vector<FdRef> HostNode::layers_without(const std::string& name) {
    std::vector<FdRef> cold;
    if (!tree_->offload || tree_->revoked || !is_dir() || removed_ || bad_name(name) != 0 ||
        (mapped() && children_.contains(name))) {
        return cold;
    }
    for (auto& [layer, slot] : layers_) {
        if (auto dir = dir_fd(layer); dir && !is_at_hand(dir.value()->get(), name)) {
            cold.push_back(std::move(dir.value()));
        }
    }
    return cold;
}

Result<HostNodePtr> HostNode::lookup(const std::string& name) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (!is_dir()) {
        return error(ENOTDIR);
    }
    if (const int bad = bad_name(name); bad != 0) {
        return error(bad);
    }
    if (removed_) {
        return error(ENOENT);
    }
    if (mapped()) {
        if (const auto live = children_.find(name); live != children_.end()) {
            return live->second->self();
        }
    }
    const auto found = find(name);
    if (!found) {
        return found.error();
    }
    return adopt(name, found.value());
}

Result<HostNode::Found> HostNode::find(const std::string& name) {
    Found found;
    bool have = false;
    for (auto& [layer, slot] : layers_) {
        const auto dir = dir_fd(layer);
        if (!dir) {
            return dir.error();
        }
        bool opaque = false;
        if (mapped() && tree_->upper && layer == 0) {
            const auto info = read_upper(dir.value()->get(), name);
            if (!info && absent(info.error())) {
                continue;
            }
            if (!info) {
                return info.error();
            }
            if (info.value().whiteout) {
                return error(ENOENT);
            }
            found.st = info.value().st;
            found.attr = info.value().attr;
            opaque = info.value().opaque;
        } else {
            const auto st = stat_in(dir.value()->get(), name);
            if (!st && absent(st.error())) {
                continue;
            }
            if (!st) {
                return st.error();
            }
            if (have && !S_ISDIR(st.value().st_mode)) {
                break;  // hidden, and hides what is below it
            }
            if (tree_->hides(st.value())) {
                return error(EACCES);
            }
            if (!have) {
                found.st = st.value();
                found.attr = attr_from_host(found.st);
            }
        }
        if (!have) {
            found.layer = layer;
            have = true;
        }
        if (!S_ISDIR(found.st.st_mode)) {
            return found;
        }
        found.layers.push_back(layer);
        if (opaque) {
            break;
        }
    }
    if (!have) {
        return error(ENOENT);
    }
    return found;
}

// Of a file that has no live node.
std::uint64_t HostNode::path_of(const std::string& name, const Found& found) const {
    const HostId id{found.st.st_dev, found.st.st_ino};
    if (!mapped()) {
        return tree_->number(id);
    }
    // The links of a lower file part when one is copied up, so each is a file of its own from the
    // start.
    const bool lower = !(tree_->upper && found.layer == 0);
    const bool parts = lower && !S_ISDIR(found.st.st_mode) && found.st.st_nlink > 1;
    std::uint64_t path = found.attr.path != 0 ? found.attr.path
                         : parts              ? HostTree::number(path_, name)
                                              : tree_->number(id);
    // The host gave the inode of a removed directory to a new file while the node of the former
    // lives; or a lower tree shows a directory twice.
    while (tree_->by_path.contains(path)) {
        path = HostTree::number(path, name);
    }
    return path;
}

HostNodePtr HostNode::adopt(const std::string& name, const Found& found) {
    if (const auto live = children_.find(name); live != children_.end()) {
        if (live->second->same_id(found.st)) {
            return live->second->self();
        }
        // Somebody on the host put another file there.
        HostNode& old = *live->second;
        if (old.is_dir()) {
            children_.erase(live);
        } else {
            old.drop_place(*this, name);
        }
    }
    const bool shared_inode = !mapped() || (tree_->upper && found.layer == 0);
    if (shared_inode && !S_ISDIR(found.st.st_mode)) {
        const auto known = tree_->by_id.find({found.st.st_dev, found.st.st_ino});
        if (known != tree_->by_id.end() && known->second->same_id(found.st)) {
            const HostNodePtr node = known->second->self();
            node->add_place(self(), name);
            return node;
        }
    }
    auto node = std::make_shared<HostNode>(tree_, found, path_of(name, found));
    node->add_place(self(), name);
    return node;
}

Result<bool> HostNode::lower_has(const std::string& name) {
    for (auto& [layer, slot] : layers_) {
        if (tree_->upper && layer == 0) {
            continue;
        }
        const auto dir = dir_fd(layer);
        if (!dir) {
            return dir.error();
        }
        const auto st = stat_in(dir.value()->get(), name);
        if (st) {
            return true;
        }
        if (!absent(st.error())) {
            return st.error();
        }
    }
    return false;
}

// The entry as a directory shows it; nothing for a whiteout, or if it went meanwhile.
Result<std::optional<DirEntry>> HostNode::describe(int layer, int dir, std::string name,
                                                   unsigned char type, HostId id) {
    DirEntry entry;
    if (mapped()) {
        if (const auto live = children_.find(name); live != children_.end()) {
            entry.path = live->second->path_;
            entry.type = live->second->type_;
            entry.name = std::move(name);
            return std::optional(std::move(entry));
        }
    }
    Found found;
    found.layer = layer;
    found.st.st_dev = id.device;
    found.st.st_ino = id.inode;
    found.st.st_mode = DTTOIF(type);
    if (mapped() && tree_->upper && layer == 0) {
        const auto info = read_upper(dir, name);
        if (!info && absent(info.error())) {
            return std::optional<DirEntry>();
        }
        if (!info) {
            return info.error();
        }
        if (info.value().whiteout) {
            return std::optional<DirEntry>();
        }
        found.st = info.value().st;
        found.attr = info.value().attr;
        const auto known = tree_->by_id.find({found.st.st_dev, found.st.st_ino});
        if (known != tree_->by_id.end() && known->second->same_id(found.st)) {
            entry.path = known->second->path_;  // another link of it is in use
        }
    } else if (type == DT_UNKNOWN || (mapped() && type != DT_DIR)) {
        // The number of a lower file depends on whether it has other links.
        const auto st = stat_in(dir, name);
        if (!st) {
            return std::optional<DirEntry>();
        }
        found.st = st.value();
    }
    entry.type = (found.attr.mode != 0 ? found.attr.mode : found.st.st_mode) & S_IFMT;
    if (entry.path == 0) {
        entry.path = path_of(name, found);
    }
    entry.name = std::move(name);
    return std::optional(std::move(entry));
}

void HostNode::list_all(Reply<std::vector<DirEntry>> reply) {
    constexpr auto kAll = std::numeric_limits<std::size_t>::max();
    std::vector<FdRef> dirs;
    if (std::exchange(cold_, false)) {
        for (auto& [layer, slot] : layers_) {
            if (auto dir = dir_fd(layer)) {
                dirs.push_back(std::move(dir.value()));
            }
        }
    }
    if (dirs.empty()) {
        reply(list(kAll));
        return;
    }
    tree_->aside(
        [dirs = std::move(dirs)] {
            for (const FdRef& dir : dirs) {
                (void)list_in(dir->get(), [](auto&&...) { return true; });
            }
        },
        [self = self(), reply = std::move(reply)] { reply(self->list(kAll)); });
}

Result<std::vector<DirEntry>> HostNode::list(std::size_t limit) {
    if (tree_->revoked) {
        return error(ESTALE);
    }
    std::vector<DirEntry> entries;
    if (removed_) {
        return entries;
    }
    std::unordered_set<std::string> seen;
    for (auto at = layers_.begin(); at != layers_.end() && entries.size() < limit; ++at) {
        const int layer = at->first;
        const auto dir = dir_fd(layer);
        if (!dir) {
            return dir.error();
        }
        const auto st = stat_fd(dir.value()->get());
        if (!st) {
            return st.error();
        }
        const bool last = std::next(at) == layers_.end();
        std::error_code failure;
        auto listed = list_in(dir.value()->get(),
                              [&](std::string name, unsigned char type, std::uint64_t inode) {
                                  if (last ? seen.contains(name) : !seen.insert(name).second) {
                                      return true;
                                  }
                                  auto entry = describe(layer, dir.value()->get(), std::move(name),
                                                        type, {st.value().st_dev, inode});
                                  if (!entry) {
                                      failure = entry.error();
                                  } else if (entry.value()) {
                                      entries.push_back(std::move(*entry.value()));
                                  }
                                  return !failure && entries.size() < limit;
                              });
        if (!listed || failure) {
            return listed ? failure : listed.error();
        }
    }
    return entries;
}

}  // namespace ennead::synthfs
