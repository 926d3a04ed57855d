// SPDX-License-Identifier: MIT
// One open of a file in memory, and the tree's beginning.
#include "synthfs/ram_tree.h"

#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "synthfs/ram_node.h"

namespace ennead::synthfs {

namespace {

constexpr auto kMaxOffset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());

class RamFileHandle final : public Handle {
  public:
    RamFileHandle(RamNodePtr node, int flags) : node_(std::move(node)), flags_(flags) {}
    ~RamFileHandle() override {
        for (const auto& [client, pid] : lock_owners_) {
            node_->locks().release(client, pid);
        }
    }

    void read(RequestPtr, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (node_->revoked() || (flags_ & O_ACCMODE) == O_WRONLY) {
            reply(error(node_->revoked() ? ESTALE : EBADF));
            return;
        }
        node_->note_read();
        reply(node_->contents().read(offset, into));
    }

    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (node_->revoked() || (flags_ & O_ACCMODE) == O_RDONLY) {
            reply(error(node_->revoked() ? ESTALE : EBADF));
            return;
        }
        if (data.empty()) {
            reply(std::size_t{0});
            return;
        }
        if ((flags_ & O_APPEND) != 0) {
            offset = node_->contents().size();
        }
        if (offset >= kMaxOffset) {
            reply(error(EFBIG));
            return;
        }
        const std::size_t done = node_->contents().write(
            offset, data.first(static_cast<std::size_t>(
                        std::min<std::uint64_t>(data.size(), kMaxOffset - offset))));
        if (done == 0) {
            reply(error(ENOSPC));
            return;
        }
        node_->note_write(request ? request->caller() : Caller{});
        reply(done);
    }

    void lock(RequestPtr, const Lock& lock, Reply<> reply) override {
        auto set = node_->locks().set(lock);
        if (set && lock.kind != Lock::Kind::unlock) {
            lock_owners_.emplace(lock.client, lock.pid);
        }
        reply(set);
    }
    void getlock(RequestPtr, const Lock& lock, Reply<Lock> reply) override {
        reply(node_->locks().blocking(lock));
    }

  private:
    const RamNodePtr node_;
    const int flags_;
    std::set<std::pair<std::string, std::uint32_t>> lock_owners_;
};

class RamDirHandle final : public Handle {
  public:
    explicit RamDirHandle(RamNodePtr node) : node_(std::move(node)) {}

    void readdir(RequestPtr, std::uint64_t offset, std::size_t max_entries,
                 Reply<std::vector<DirEntry>> reply) override {
        if (node_->revoked()) {
            reply(error(ESTALE));
            return;
        }
        node_->note_read();
        reply(node_->list(offset, max_entries));
    }

  private:
    const RamNodePtr node_;
};

}  // namespace

Result<HandlePtr> RamNode::open_handle(const Caller& caller, int flags) {
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    if (tree_->revoked) {
        return error(ESTALE);
    }
    if (is_dir()) {
        if (writes) {
            return error(EISDIR);
        }
        return HandlePtr(std::make_shared<RamDirHandle>(self()));
    }
    if ((flags & O_DIRECTORY) != 0) {
        return error(ENOTDIR);
    }
    if (!S_ISREG(attr_.mode)) {
        // Devices, FIFOs and sockets are opened by the guest's own drivers.
        return error(S_ISLNK(attr_.mode) ? ELOOP : ENXIO);
    }
    if ((flags & O_TRUNC) != 0) {
        SetAttr empty;
        empty.size = 0;
        if (auto cut = set_attr(caller, empty); !cut) {
            return cut.error();
        }
    }
    return HandlePtr(std::make_shared<RamFileHandle>(self(), flags));
}

NodePtr make_ram_tree(RamTreeOptions options) {
    auto tree = std::make_shared<RamTree>(options);
    (void)tree->take(std::min(kRamNodeCost, options.limit));
    auto root = std::make_shared<RamNode>(tree, S_IFDIR | 0755, Caller{}, 0, 0, std::string());
    tree->root = root;
    return root;
}

}  // namespace ennead::synthfs
