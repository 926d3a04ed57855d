// SPDX-License-Identifier: MIT
// Walking, listing and changing synthetic directories.
#include "synthfs/tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace ennead::synthfs {

template <class T>
CheckedReply<T> Directory::answer(RequestPtr request, Reply<T> reply) {
    return [self = std::static_pointer_cast<Directory>(shared_from_this()),
            request = std::move(request), reply = std::move(reply)](Checked<T> done) {
        if (!done && done.error().text.empty()) {
            reply(error(done.error().errnum));
        } else if (!done) {
            reply(self->refuse(*request, done.error()));
        } else if constexpr (std::is_void_v<T>) {
            reply(success());
        } else {
            reply(std::move(done.value()));
        }
    };
}

class DirectoryHandle final : public SynthHandle {
  public:
    DirectoryHandle(std::shared_ptr<Directory> directory, int flags)
        : SynthHandle(directory, flags), directory_(*directory) {}

    void readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                 Reply<std::vector<DirEntry>> reply) override {
        if (directory_.retired()) {
            reply(error(ENODEV));
        } else if (!directory_.hooks_.names_later || (names_ && offset != 0)) {
            reply(entries(offset, max_entries));
        } else {
            auto self = std::static_pointer_cast<DirectoryHandle>(shared_from_this());
            directory_.hooks_.names_later(
                request, directory_.answer<std::vector<std::string>>(
                             request, [self, offset, max_entries,
                                       reply](Result<std::vector<std::string>> names) {
                                 if (!names) {
                                     reply(names.error());
                                     return;
                                 }
                                 self->names_ = std::move(names.value());
                                 reply(self->entries(offset, max_entries));
                             }));
        }
    }

  private:
    // Where the names of names_later have their offsets: far above all that are added.
    static constexpr std::uint64_t kFirstName = std::uint64_t{1} << 40;

    [[nodiscard]] std::vector<DirEntry> entries(std::uint64_t offset, std::size_t max_entries) {
        std::vector<DirEntry> all;
        if (offset < kFirstName) {
            all = directory_.list(offset, max_entries);
            offset = kFirstName;
        }
        const std::size_t count = names_ ? names_->size() : 0;
        // Their files may never have been looked at: they show the directory's number.
        const std::uint64_t path = directory_.identity().path;
        for (std::size_t n = offset - kFirstName; n < count && all.size() < max_entries; ++n) {
            all.push_back({(*names_)[n], path, S_IFREG, kFirstName + n + 1});
        }
        return all;
    }

    Directory& directory_;
    std::optional<std::vector<std::string>> names_;
};

namespace {

class SymlinkNode final : public SynthNode {
  public:
    explicit SymlinkNode(std::function<std::string()> target)
        : SynthNode(S_IFLNK, {0777, {}, {}}), target_(std::move(target)) {}

    void readlink(RequestPtr, Reply<std::string> reply) override {
        if (retired()) {
            reply(error(ENODEV));
            return;
        }
        reply(target_());
    }

  protected:
    // POSIX lstat(): the size of a symbolic link is the length of its target.
    [[nodiscard]] std::uint64_t size() const override { return target_().size(); }
    Checked<HandlePtr> open_handle(RequestPtr, int) override {
        return make_fault(ELOOP, "a symbolic link is not opened");
    }

  private:
    std::function<std::string()> target_;
};

}  // namespace

std::shared_ptr<Directory> Directory::make(Options options) {
    return std::make_shared<Directory>(std::move(options));
}

Directory::Directory(Options options)
    : SynthNode(S_IFDIR, {options.mode, options.name, options.errors}),
      hooks_(std::move(options.hooks)),
      next_offset_(options.entries.size() + 1) {
    fixed_.reserve(options.entries.size());
    for (Entry& entry : options.entries) {
        fixed_.push_back({std::move(entry), nullptr});
    }
}

bool Directory::is_fixed(const std::string& name) const {
    return std::ranges::any_of(fixed_, [&](const Fixed& row) { return row.entry.name == name; });
}

bool Directory::add(const std::string& name, NodePtr node) {
    if (is_fixed(name) || offsets_.contains(name)) {
        return false;
    }
    added_directories_ += S_ISDIR(node->type()) ? 1 : 0;
    offsets_.emplace(name, next_offset_);
    added_.emplace(next_offset_, Added{name, std::move(node)});
    ++next_offset_;
    touch();
    return true;
}

NodePtr Directory::remove(const std::string& name) {
    const auto found = offsets_.find(name);
    if (found == offsets_.end()) {
        return nullptr;
    }
    const auto place = added_.find(found->second);
    NodePtr node = std::move(place->second.node);
    added_.erase(place);
    offsets_.erase(found);
    added_directories_ -= S_ISDIR(node->type()) ? 1 : 0;
    touch();
    return node;
}

bool Directory::rename_child(const std::string& from, const std::string& to) {
    if (from == to) {
        return offsets_.contains(from);
    }
    if (!offsets_.contains(from) || is_fixed(to)) {
        return false;
    }
    remove(to);
    return add(to, remove(from));
}

NodePtr Directory::fixed_node(Fixed& fixed) {
    if (fixed.entry.fresh) {
        return fixed.entry.make(fixed.entry.mode);
    }
    if (!fixed.node) {
        fixed.node = fixed.entry.make(fixed.entry.mode);
    }
    return fixed.node;
}

NodePtr Directory::find(const std::string& name) {
    if (const auto found = offsets_.find(name); found != offsets_.end()) {
        return added_.at(found->second).node;
    }
    for (Fixed& row : fixed_) {
        if (row.entry.name == name) {
            return fixed_node(row);
        }
    }
    return hooks_.find ? hooks_.find(name) : nullptr;
}

std::vector<std::string> Directory::added_names() const {
    std::vector<std::string> names;
    names.reserve(added_.size());
    for (const auto& [offset, added] : added_) {
        names.push_back(added.name);
    }
    return names;
}

std::vector<DirEntry> Directory::list(std::uint64_t offset, std::size_t max_entries) {
    std::vector<DirEntry> entries;
    for (std::uint64_t i = offset; i < fixed_.size() && entries.size() < max_entries; ++i) {
        if (const NodePtr node = fixed_node(fixed_[i])) {
            const Identity file = node->identity();
            entries.push_back({fixed_[i].entry.name, file.path, node->type(), i + 1, file.source});
        }
    }
    for (auto at = added_.upper_bound(offset); at != added_.end() && entries.size() < max_entries;
         ++at) {
        const NodePtr& node = at->second.node;
        entries.push_back({at->second.name, node->identity().path, node->type(), at->first});
    }
    return entries;
}

Checked<HandlePtr> Directory::open_handle(RequestPtr, int flags) {
    return std::make_shared<DirectoryHandle>(
        std::static_pointer_cast<Directory>(shared_from_this()), flags);
}

// Itself, its ".", and the ".." of each directory in it, as find(1) expects.
std::uint64_t Directory::link_count() const {
    const auto directories =
        std::ranges::count_if(fixed_, [](const Fixed& row) { return S_ISDIR(row.entry.mode); });
    return 2 + static_cast<std::uint64_t>(directories) + added_directories_;
}

void Directory::on_retire() {
    std::vector<NodePtr> below;
    for (const Fixed& row : fixed_) {
        below.push_back(row.node);
    }
    for (const auto& [offset, added] : added_) {
        below.push_back(added.node);
    }
    for (const NodePtr& node : below) {
        if (const auto synthetic = std::dynamic_pointer_cast<SynthNode>(node)) {
            synthetic->retire();
        }
    }
}

void Directory::walk(RequestPtr request, std::string name, Reply<NodePtr> reply) {
    if (retired()) {
        reply(error(ENODEV));
    } else if (NodePtr node = find(name)) {
        reply(std::move(node));
    } else if (hooks_.find_later) {
        hooks_.find_later(request, std::move(name),
                          answer<NodePtr>(request, [reply](Result<NodePtr> node) {
                              reply(node && !node.value() ? error(ENOENT) : std::move(node));
                          }));
    } else {
        reply(error(ENOENT));
    }
}

void Directory::create(RequestPtr request, std::string name, int, mode_t, gid_t,
                       Reply<Created> reply) {
    if (retired()) {
        reply(error(ENODEV));
    } else if (find(name)) {
        reply(error(EEXIST));
    } else {
        reply(refuse(*request, make_fault(EPERM, "no file can be made here")));
    }
}

void Directory::mkdir(RequestPtr request, std::string name, mode_t, gid_t, Reply<NodePtr> reply) {
    if (retired()) {
        reply(error(ENODEV));
    } else if (find(name)) {
        reply(error(EEXIST));
    } else if (!hooks_.mkdir) {
        reply(refuse(*request, make_fault(EPERM, "no directory can be made here")));
    } else {
        hooks_.mkdir(request, std::move(name), answer<NodePtr>(request, std::move(reply)));
    }
}

void Directory::symlink(RequestPtr request, std::string name, std::string target, gid_t,
                        Reply<NodePtr> reply) {
    if (retired()) {
        reply(error(ENODEV));
    } else if (find(name)) {
        reply(error(EEXIST));
    } else if (!hooks_.symlink) {
        reply(refuse(*request, make_fault(EPERM, "no link can be made here")));
    } else {
        hooks_.symlink(request, std::move(name), std::move(target),
                       answer<NodePtr>(request, std::move(reply)));
    }
}

void Directory::unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) {
    const NodePtr node = retired() ? nullptr : find(name);
    const auto& hook = directory ? hooks_.rmdir : hooks_.unlink;
    if (retired()) {
        reply(error(ENODEV));
    } else if (!node && !hooks_.find_later) {
        reply(error(ENOENT));
    } else if (!node) {
        reply(refuse(*request, make_fault(EPERM, "%s cannot be removed", name.c_str())));
    } else if (directory && !S_ISDIR(node->type()) && !S_ISLNK(node->type())) {
        reply(error(ENOTDIR));
    } else if (!directory && S_ISDIR(node->type())) {
        reply(error(EISDIR));
    } else if (is_fixed(name) || !hook) {
        reply(refuse(*request, make_fault(EPERM, "%s cannot be removed", name.c_str())));
    } else {
        // A link made by mkdir (see DirectoryHooks) may be removed as a directory too.
        hook(request, std::move(name), answer<void>(request, std::move(reply)));
    }
}

void Directory::rename(RequestPtr request, std::string name, NodePtr new_parent,
                       std::string new_name, Reply<> reply) {
    if (retired()) {
        reply(error(ENODEV));
    } else if (!find(name)) {
        reply(error(ENOENT));
    } else if (new_parent.get() != this) {
        reply(error(EXDEV));
    } else if (is_fixed(name) || is_fixed(new_name) || !hooks_.rename) {
        reply(refuse(*request, make_fault(EPERM, "%s cannot be renamed to %s", name.c_str(),
                                          new_name.c_str())));
    } else if (name == new_name) {
        reply(success());
    } else {
        hooks_.rename(request, std::move(name), std::move(new_name),
                      answer<void>(request, std::move(reply)));
    }
}

SynthNodePtr make_symlink(std::function<std::string()> target) {
    return std::make_shared<SymlinkNode>(std::move(target));
}

SynthNodePtr make_symlink(std::string target) {
    return make_symlink([target = std::move(target)] { return target; });
}

}  // namespace ennead::synthfs
