// SPDX-License-Identifier: MIT
// Blocks before and after.
#include "synthfs/host_quota.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "synthfs/host_node.h"

namespace ennead::synthfs {

namespace {

std::int64_t difference(std::uint64_t now, std::uint64_t before) {
    return static_cast<std::int64_t>(now - before);
}

}  // namespace

std::uint64_t block_bytes(const struct stat& st) {
    constexpr std::uint64_t kUnit = 512;  // stat(2), whatever the file system's blocks are
    return static_cast<std::uint64_t>(st.st_blocks) * kUnit;
}

BlockTally::BlockTally(HostTree& tree)
    : quota_(tree.quota && tree.quota->on() ? tree.quota.get() : nullptr),
      kind_(tree.quota_kind()) {}

BlockTally::~BlockTally() {
    for (const Watched& each : watched_) {
        settle(each);
    }
}

Result<> BlockTally::want(std::uint64_t bytes) const {
    if (quota_ != nullptr && quota_->room() < bytes) {
        return quota_->refuse();
    }
    return success();
}

void BlockTally::watch(HostNode& node) {
    const bool known =
        std::ranges::any_of(watched_, [&node](const Watched& each) { return each.node == &node; });
    if (quota_ == nullptr || !node.upper_ || known) {
        return;
    }
    auto fd = node.is_dir()  ? node.dir_fd(0)
              : node.pinned_ ? node.pinned_
                             : node.open_place(O_PATH);
    if (!fd) {
        return;
    }
    if (const auto st = stat_fd(fd.value()->get())) {
        watched_.push_back({&node, std::move(fd.value()), block_bytes(st.value())});
    }
}

void BlockTally::made(HostNode& node) {
    const std::size_t before = watched_.size();
    watch(node);
    if (watched_.size() != before) {
        watched_.back().before = 0;
    }
}

void BlockTally::settle(const Watched& watched) const {
    const auto st = stat_fd(watched.fd->get());
    if (!st) {
        return;
    }
    HostNode& node = *watched.node;
    const bool named = st.value().st_nlink != 0;
    const std::uint64_t now = !named && !node.pinned_ ? 0 : block_bytes(st.value());
    if (node.unlinked_bytes_ && named) {
        quota_->add(kind_, -static_cast<std::int64_t>(*node.unlinked_bytes_), true);
        quota_->add(kind_, static_cast<std::int64_t>(now));
        node.unlinked_bytes_.reset();
        return;
    }
    node.count(difference(now, watched.before));
    if (!named && node.pinned_ && !node.unlinked_bytes_) {
        node.unlinked_bytes_ = quota_->unlink(kind_, now);
    }
}

// The file has so much more, or less.
void HostNode::count(std::int64_t bytes) {
    if (tree_->quota) {
        tree_->quota->add(tree_->quota_kind(), bytes, unlinked_bytes_.has_value());
        if (unlinked_bytes_) {
            *unlinked_bytes_ = static_cast<std::uint64_t>(
                std::max<std::int64_t>(static_cast<std::int64_t>(*unlinked_bytes_) + bytes, 0));
        }
    }
}

Result<HostNode::Claim> HostNode::claim(int fd, std::uint64_t offset, std::uint64_t size,
                                        bool append) {
    Quota* const quota = tree_->quota.get();
    if (quota == nullptr || !quota->on() || size == 0) {
        return Claim{size};
    }
    const auto st = stat_fd(fd);
    if (!st) {
        return st.error();
    }
    const auto block = static_cast<std::uint64_t>(std::max<blksize_t>(st.value().st_blksize, 512));
    const auto down = [block](std::uint64_t at) { return at / block * block; };
    const auto up = [block](std::uint64_t at) { return (at + block - 1) / block * block; };
    if (append) {
        offset = static_cast<std::uint64_t>(st.value().st_size);
    }
    std::uint64_t room = quota->room(), at = down(offset);
    const std::uint64_t end = offset + size, had = room;
    if (up(end) - at <= room) {
        room -= up(end) - at;
        at = end;
    }
    // Not all may be new: what has blocks already costs nothing.
    while (at < end) {
        const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
        const std::uint64_t next =
            data < 0 ? up(end) : std::min(up(end), down(static_cast<std::uint64_t>(data)));
        if (next > at) {
            const std::uint64_t taken = std::min(next - at, down(room));
            room -= taken;
            if (taken < next - at) {
                at += taken;
                break;
            }
            at = next;
            continue;
        }
        const off_t hole = ::lseek(fd, static_cast<off_t>(at), SEEK_HOLE);
        at = hole < 0 ? up(end) : std::max(up(static_cast<std::uint64_t>(hole)), at + block);
    }
    if (at <= offset) {
        return quota->refuse();
    }
    if (claims_++ == 0) {
        counted_ = block_bytes(st.value());
    }
    quota->reserve(had - room);
    return Claim{std::min(at, end) - offset, had - room, true};
}

void HostNode::settle(int fd, const Claim& claim) {
    if (!claim.counted) {
        return;
    }
    --claims_;
    tree_->quota->release(claim.reserved);
    if (const auto st = stat_fd(fd)) {
        count(difference(block_bytes(st.value()), counted_));
        counted_ = block_bytes(st.value());
    }
}

std::uint64_t count_blocks(int dir) {
    // Down by names and up by "..", with one descriptor, whatever depth a guest has made.
    std::uint64_t sum = 0;
    std::set<std::pair<dev_t, ino_t>> seen;
    std::vector<std::vector<std::string>> below;
    HostFd at;
    const auto enter = [&](HostFd next) {
        at = std::move(next);
        std::vector<std::string> directories;
        (void)list_in(at.get(), [&](std::string name, unsigned char, std::uint64_t) {
            const auto st = stat_in(at.get(), name);
            if (st && (S_ISDIR(st.value().st_mode) || st.value().st_nlink == 1 ||
                       seen.emplace(st.value().st_dev, st.value().st_ino).second)) {
                sum += block_bytes(st.value());
            }
            if (st && S_ISDIR(st.value().st_mode)) {
                directories.push_back(std::move(name));
            }
            return true;
        });
        below.push_back(std::move(directories));
    };
    if (auto top = open_in(dir, ".", O_PATH | O_DIRECTORY)) {
        enter(std::move(top.value()));
    }
    while (!below.empty()) {
        if (below.back().empty()) {
            below.pop_back();
            if (!below.empty()) {
                at = HostFd(::openat(at.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
            }
            continue;
        }
        const std::string name = std::move(below.back().back());
        below.back().pop_back();
        if (auto next = open_in(at.get(), name, O_PATH | O_DIRECTORY)) {
            enter(std::move(next.value()));
        }
    }
    return sum;
}

}  // namespace ennead::synthfs
