// SPDX-License-Identifier: MIT
// One open of a host tree's file or directory.
#include "synthfs/host_handle.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <limits>
#include <memory>
#include <utility>

namespace ennead::synthfs {

namespace {

constexpr auto kMaxOffset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());

bool readable(int flags) {
    return (flags & O_ACCMODE) != O_WRONLY;
}
bool writable(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY;
}

std::span<iovec> without_first(std::span<iovec> places, std::size_t size) {
    while (!places.empty() && size >= places.front().iov_len) {
        size -= places.front().iov_len;
        places = places.subspan(1);
    }
    if (!places.empty()) {
        places.front().iov_base = static_cast<std::byte*>(places.front().iov_base) + size;
        places.front().iov_len -= size;
    }
    return places;
}

// The places for the first `size` bytes, the last of them cut.
std::span<iovec> first_of(std::span<iovec> places, std::uint64_t size) {
    std::size_t count = 0;
    for (; count < places.size() && size != 0; ++count) {
        places[count].iov_len = std::min<std::uint64_t>(places[count].iov_len, size);
        size -= places[count].iov_len;
    }
    return places.first(count);
}

// A read under way.
struct Reading {
    FdRef fd;
    std::uint64_t offset;
    std::span<std::byte> into;
    std::size_t done = 0;
    std::error_code failure{};

    // False: what is left cannot be had without waiting, which `flags` forbid (RWF_NOWAIT).
    bool go_on(int flags) {
        while (done < into.size()) {
            const iovec rest{into.data() + done, into.size() - done};
            const ssize_t got =
                ::preadv2(fd->get(), &rest, 1, static_cast<off_t>(offset + done), flags);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0 && flags != 0 && (errno == EAGAIN || errno == EOPNOTSUPP)) {
                return false;
            }
            if (got < 0) {
                failure = last_error();
            }
            if (got <= 0) {
                break;
            }
            done += static_cast<std::size_t>(got);
        }
        return true;
    }
    [[nodiscard]] Result<std::size_t> result() const {
        return done == 0 && failure ? Result<std::size_t>(failure) : Result<std::size_t>(done);
    }
};

// What is to be known of a write afterwards, on the tree's thread.
Result<std::size_t> conclude(HostNode& node, const HostWrite& write, const Caller& caller) {
    node.tree().pace.took(write.begun, write.ended);
    node.settle(write.fd->get(), write.claim);
    if (write.done == 0) {
        return write.failure;
    }
    if (auto noted = node.note_write(caller); !noted) {
        return noted.error();
    }
    return write.done;
}

// With O_SYNC, only when it is on the disk.
void reply_written(const HostNodePtr& node, int flags, Result<std::size_t> done,
                   Reply<std::size_t> reply) {
    if (!done || (flags & (O_SYNC | O_DSYNC)) == 0) {
        reply(done);
        return;
    }
    node->sync((flags & O_SYNC) != O_SYNC,
               [node, size = done.value(), reply = std::move(reply)](Result<> synced) {
                   reply(synced ? Result<std::size_t>(size) : synced.error());
               });
}

}  // namespace

HostFileHandle::HostFileHandle(HostNodePtr node, int flags)
    : node_(std::move(node)), flags_(flags) {}

HostFileHandle::~HostFileHandle() {
    for (const auto& [client, pid] : lock_owners_) {
        node_->release_locks(client, pid);
    }
    node_->tree().kept_descriptors -= (kept_read_ ? 1u : 0u) + (kept_write_ ? 1u : 0u);
}

Result<> HostFileHandle::prepare() {
    const bool direct = node_->tree().mode == HostMode::direct;
    if (readable(flags_) || !direct) {
        if (auto fd = contents(false); !fd) {
            return fd.error();
        }
    }
    if (writable(flags_) && direct) {
        if (auto fd = contents(true); !fd) {
            return fd.error();
        }
    }
    return success();
}

Result<FdRef> HostFileHandle::contents(bool write) {
    return keep(write ? kept_write_ : kept_read_, write);
}

Result<FdRef> HostFileHandle::keep(FdRef& kept, bool write) {
    if (node_->tree().revoked) {
        if (kept) {
            kept.reset();
            --node_->tree().kept_descriptors;
        }
        return error(ESTALE);
    }
    if (kept) {
        return kept;
    }
    auto fd = node_->contents(write);
    HostTree& tree = node_->tree();
    if (fd && tree.mode == HostMode::direct && tree.kept_descriptors < tree.fds.limit()) {
        kept = fd.value();
        ++tree.kept_descriptors;
    }
    return fd;
}

void HostFileHandle::read(RequestPtr, std::uint64_t offset, std::span<std::byte> into,
                          Reply<std::size_t> reply) {
    if (!readable(flags_)) {
        reply(error(EBADF));
        return;
    }
    if (offset >= kMaxOffset) {
        reply(std::size_t{0});
        return;
    }
    const auto fd = contents(false);
    if (!fd) {
        reply(fd.error());
        return;
    }
    const auto size = std::min<std::uint64_t>(into.size(), kMaxOffset - offset);
    Reading reading{fd.value(), offset, into.first(static_cast<std::size_t>(size))};
    if (!reading.go_on(may_wait(fd.value()->get()) ? RWF_NOWAIT : 0)) {
        const auto rest = std::make_shared<Reading>(std::move(reading));
        node_->tree().aside([rest] { rest->go_on(0); },
                            [rest, node = node_, reply = std::move(reply)] {
                                node->note_read();
                                reply(rest->result());
                            });
        return;
    }
    node_->note_read();
    reply(reading.result());
}

std::optional<Result<std::size_t>> HostFileHandle::read_at_once(
    const Request&, std::uint64_t offset, std::span<const std::span<std::byte>> into) {
    constexpr std::size_t kMaxPlaces = IOV_MAX;
    std::array<iovec, kMaxPlaces> places;
    std::uint64_t want = 0;
    for (std::size_t i = 0; i < into.size() && i < kMaxPlaces; ++i) {
        places[i] = {into[i].data(), into[i].size()};
        want += into[i].size();
    }
    if (!readable(flags_) || into.size() > kMaxPlaces || offset >= kMaxOffset - want) {
        return std::nullopt;
    }
    const auto fd = contents(false);
    if (!fd) {
        return fd.error();
    }
    const int flags = may_wait(fd.value()->get()) ? RWF_NOWAIT : 0;
    const auto read_to = [&](std::span<const iovec> where, std::uint64_t at) {
        return ::preadv2(fd.value()->get(), where.data(), static_cast<int>(where.size()),
                         static_cast<off_t>(at), flags);
    };
    const ssize_t got = read_to(std::span(places).first(into.size()), offset);
    if (got < 0) {
        return std::nullopt;
    }
    const auto size = static_cast<std::size_t>(got);
    if (size < want) {
        // Is it the end of the file, or of what is at hand?
        std::byte next;
        const iovec there{&next, 1};
        if (read_to({&there, 1}, offset + size) != 0) {
            return std::nullopt;
        }
    }
    node_->note_read();
    return size;
}

// Whether a read may keep others waiting for a disk. A file system in memory does not know
// RWF_NOWAIT, and needs none.
bool HostFileHandle::may_wait(int fd) {
    if (!node_->tree().offload) {
        return false;
    }
    if (!on_disk_) {
        struct statfs medium {};
        on_disk_ = ::fstatfs(fd, &medium) != 0 ||
                   (medium.f_type != TMPFS_MAGIC && medium.f_type != RAMFS_MAGIC);
    }
    return *on_disk_;
}

void HostWrite::run(std::span<iovec> from, const HostPace& pace) {
    begun = pace.now();
    while (!from.empty()) {
        const ssize_t put =
            ::pwritev2(fd->get(), from.data(), static_cast<int>(from.size()),
                       static_cast<off_t>(append ? 0 : offset + done), append ? RWF_APPEND : 0);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            failure = put < 0 ? last_error() : error(EIO);
            break;
        }
        done += static_cast<std::size_t>(put);
        from = without_first(from, static_cast<std::size_t>(put));
    }
    ended = pace.now();
}

Result<HostWrite> HostFileHandle::prepare_write(std::uint64_t offset, std::uint64_t size) {
    if (!writable(flags_)) {
        return error(EBADF);
    }
    auto fd = contents(true);
    if (!fd) {
        return fd.error();
    }
    // The host finds the end: others, in other guests too, may append at the same time.
    const bool append = (flags_ & O_APPEND) != 0;
    if (!append && offset >= kMaxOffset) {
        return error(EFBIG);
    }
    const auto claim = node_->claim(fd.value()->get(), offset, size, append);
    if (!claim) {
        return claim.error();
    }
    return HostWrite{
        .fd = std::move(fd.value()), .offset = offset, .append = append, .claim = claim.value()};
}

void HostFileHandle::write(RequestPtr request, std::uint64_t offset,
                           std::span<const std::byte> data, Reply<std::size_t> reply) {
    if (writable(flags_) && data.empty()) {
        reply(std::size_t{0});
        return;
    }
    if ((flags_ & O_APPEND) == 0 && offset < kMaxOffset) {
        data = data.first(std::min<std::uint64_t>(data.size(), kMaxOffset - offset));
    }
    auto write = prepare_write(offset, data.size());
    if (!write) {
        reply(write.error());
        return;
    }
    data = data.first(write.value().claim.bytes);
    const Caller caller = request ? request->caller() : Caller{};
    HostTree& tree = node_->tree();
    iovec from{const_cast<std::byte*>(data.data()), data.size()};
    if (!tree.pace.slow() || !may_wait(write.value().fd->get())) {
        write.value().run({&from, 1}, tree.pace);
        reply_written(node_, flags_, conclude(*node_, write.value(), caller), std::move(reply));
        return;
    }
    const auto under_way = std::make_shared<HostWrite>(std::move(write.value()));
    tree.aside(
        [under_way, from, pace = tree.pace]() mutable {
            under_way->run({&from, 1}, pace);
        },
        [node = node_, flags = flags_, under_way, caller, reply = std::move(reply)]() mutable {
            reply_written(node, flags, conclude(*node, *under_way, caller), std::move(reply));
        });
}

std::optional<Result<std::size_t>> HostFileHandle::write_at_once(
    const Request& request, std::uint64_t offset,
    std::span<const std::span<const std::byte>> data) {
    constexpr std::size_t kMaxPlaces = IOV_MAX;
    std::array<iovec, kMaxPlaces> places;
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < data.size() && i < kMaxPlaces; ++i) {
        places[i] = {const_cast<std::byte*>(data[i].data()), data[i].size()};
        size += data[i].size();
    }
    if (size == 0 || data.size() > kMaxPlaces || offset >= kMaxOffset - size ||
        (flags_ & (O_SYNC | O_DSYNC)) != 0 || node_->tree().pace.slow()) {
        return std::nullopt;
    }
    auto write = prepare_write(offset, size);
    if (!write) {
        return write.error();
    }
    const auto all = std::span(places).first(data.size());
    write.value().run(first_of(all, write.value().claim.bytes), node_->tree().pace);
    return conclude(*node_, write.value(), request.caller());
}

void HostFileHandle::fsync(RequestPtr, bool data_only, Reply<> reply) {
    node_->sync(data_only,
                [node = node_, reply = std::move(reply)](Result<> done) { reply(done); });
}

void HostFileHandle::lock(RequestPtr, const Lock& lock, Reply<> reply) {
    auto set = node_->set_lock(lock);
    if (set && lock.kind != Lock::Kind::unlock) {
        lock_owners_.emplace(lock.client, lock.pid);
    }
    reply(set);
}

void HostFileHandle::getlock(RequestPtr, const Lock& lock, Reply<Lock> reply) {
    reply(node_->blocking_lock(lock));
}

void HostDirHandle::readdir(RequestPtr, std::uint64_t offset, std::size_t max_entries,
                            Reply<std::vector<DirEntry>> reply) {
    if (node_->tree().revoked) {
        reply(error(ESTALE));
        return;
    }
    if (offset != 0 && listed_->whole) {
        reply(listed_->part(offset, max_entries));
        return;
    }
    node_->list_all([listed = listed_, offset, max_entries,
                     reply = std::move(reply)](Result<std::vector<DirEntry>> entries) {
        if (!entries) {
            reply(entries.error());
            return;
        }
        listed->entries = std::move(entries.value());
        listed->whole = true;
        for (std::size_t i = 0; i < listed->entries.size(); ++i) {
            listed->entries[i].next_offset = i + 1;
        }
        reply(listed->part(offset, max_entries));
    });
}

std::vector<DirEntry> HostDirHandle::Listing::part(std::uint64_t offset,
                                                   std::size_t max_entries) const {
    const std::size_t first =
        static_cast<std::size_t>(std::min<std::uint64_t>(offset, entries.size()));
    const std::size_t count = std::min(max_entries, entries.size() - first);
    const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

void HostDirHandle::fsync(RequestPtr, bool data_only, Reply<> reply) {
    node_->sync(data_only,
                [node = node_, reply = std::move(reply)](Result<> done) { reply(done); });
}

}  // namespace ennead::synthfs
