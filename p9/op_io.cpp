// SPDX-License-Identifier: MIT
// Open files: lopen, lcreate, read, write, fsync, record locks.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "p9/open_flags.h"
#include "p9/session.h"

namespace ennead::p9 {
namespace {

using synthfs::Lock;

// A blocked read holds its reply buffer; a stream's reader gets by with this much at a time.
constexpr std::size_t kMaxStreamRead = 64 * 1024;

// Nodes reckon in off_t, as the host's calls do: no position lies past this.
constexpr std::uint64_t kMaxOffset = std::numeric_limits<std::int64_t>::max();

std::optional<Lock::Kind> lock_kind(std::uint8_t type) {
    switch (type) {
        case kLockRead:
            return Lock::Kind::read;
        case kLockWrite:
            return Lock::Kind::write;
        case kLockUnlock:
            return Lock::Kind::unlock;
        default:
            return std::nullopt;
    }
}

std::uint8_t lock_type(Lock::Kind kind) {
    return kind == Lock::Kind::read    ? kLockRead
           : kind == Lock::Kind::write ? kLockWrite
                                       : kLockUnlock;
}

}  // namespace

template <class R>
void Session::open(const OpPtr& op, std::uint32_t number, std::optional<int> flags,
                   bool remove_on_close) {
    const FidPtr fid = use(op, number);
    if (!fid) {
        return;
    }
    if (fid->use != Fid::Use::node || fid->busy || !flags) {
        op->fail(EINVAL);
        return;
    }
    const auto node = fid->place->node;
    if ((*flags & O_DIRECTORY) != 0 && !S_ISDIR(node->type())) {
        op->fail(ENOTDIR);
        return;
    }
    if (S_ISDIR(node->type()) && (*flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY) {
        op->fail(EISDIR);
        return;
    }
    const auto ticket = open_.take();
    if (!ticket) {
        op->fail(ENFILE);
        return;
    }
    fid->busy = true;
    const int host = *flags & ~O_EXCL;  // means nothing without O_CREAT
    node->open(op->request(), host,
               when<synthfs::HandlePtr>(
                   op,
                   [this, op, fid, node, host, remove_on_close, ticket](synthfs::HandlePtr handle) {
                       fid->busy = false;
                       fid->use = Fid::Use::file;
                       fid->ticket = ticket;
                       fid->handle = std::move(handle);
                       fid->flags = host;
                       fid->remove_on_close = remove_on_close;
                       op->answer(R{qid(*node), msize() - std::uint32_t{kIoHeaderSize}});
                   },
                   [fid] { fid->busy = false; }));
}
template void Session::open<Ropen>(const OpPtr&, std::uint32_t, std::optional<int>, bool);

void Session::on(const OpPtr& op, const Tlopen& m) {
    open<Rlopen>(op, m.fid, host_open_flags(m.flags), false);
}

template <class R>
void Session::create(const OpPtr& op, std::uint32_t number, std::string_view name_view,
                     std::optional<int> flags, mode_t mode, gid_t gid, bool remove_on_close) {
    const FidPtr fid = use_dir(op, number, name_view, false);
    if (!fid) {
        return;
    }
    if (fid->use != Fid::Use::node || fid->busy || !flags) {
        op->fail(EINVAL);
        return;
    }
    const auto ticket = open_.take();
    if (!ticket) {
        op->fail(ENFILE);
        return;
    }
    fid->busy = true;
    const std::string name(name_view);
    const auto directory = fid->place->node;
    directory->create(
        op->request(), name, *flags | O_CREAT, mode & 07777, gid,
        when<synthfs::Created>(
            op,
            [this, op, fid, name, host = *flags, remove_on_close,
             ticket](synthfs::Created created) {
                fid->busy = false;
                fid->use = Fid::Use::file;
                fid->ticket = ticket;
                fid->handle = std::move(created.handle);
                fid->flags = host;
                fid->remove_on_close = remove_on_close;
                fid->place = std::make_shared<Place>(created.node, fid->place, name);
                op->answer(R{qid(*created.node), msize() - std::uint32_t{kIoHeaderSize}});
            },
            [fid] { fid->busy = false; }));
}
template void Session::create<Rcreate>(const OpPtr&, std::uint32_t, std::string_view,
                                       std::optional<int>, mode_t, gid_t, bool);

void Session::on(const OpPtr& op, const Tlcreate& m) {
    create<Rlcreate>(op, m.fid, m.name, host_open_flags(m.flags), m.mode, m.gid, false);
}

// Reads to where the transport wants the reply in the end. False: nothing was done.
bool Session::read_in_place(const OpPtr& op, const Fid& fid, std::uint64_t offset,
                            std::size_t count) {
    const auto places = op->places();
    std::size_t left = std::min<std::size_t>(count, msize() - kDataHeaderSize);
    std::size_t before = kDataHeaderSize;
    places_.clear();
    for (std::span<std::byte> place : places) {
        const std::size_t skipped = std::min(before, place.size());
        before -= skipped;
        place = place.subspan(skipped);
        place = place.first(std::min(left, place.size()));
        left -= place.size();
        if (!place.empty()) {
            places_.push_back(place);
        }
    }
    if (places_.empty()) {
        return false;
    }
    const auto size = fid.handle->read_at_once(*op->request(), offset, places_);
    if (!size) {
        return false;
    }
    if (!*size) {
        op->fail(size->error());
        return true;
    }
    std::array<std::byte, kDataHeaderSize> header;
    const auto data = static_cast<std::uint32_t>(size->value());
    Writer fields(header);
    fields(static_cast<std::uint32_t>(kDataHeaderSize + data),
           static_cast<std::uint8_t>(Rread::kType), op->tag(), data);
    std::span<const std::byte> rest = header;
    for (const std::span<std::byte> place : places) {
        const std::size_t n = std::min(rest.size(), place.size());
        std::memcpy(place.data(), rest.data(), n);
        rest = rest.subspan(n);
    }
    op->answered_in_place(kDataHeaderSize + data);
    return true;
}

void Session::on(const OpPtr& op, const Tread& m) {
    const FidPtr fid = use(op, m.fid, true);
    if (!fid) {
        return;
    }
    if (fid->use == Fid::Use::xattr_read) {
        read_xattr(op, *fid, m);
        return;
    }
    if (fid->use != Fid::Use::file || (fid->flags & O_ACCMODE) == O_WRONLY) {
        op->fail(EBADF);
        return;
    }
    const synthfs::Node& node = *fid->place->node;
    if (S_ISDIR(node.type())) {
        if (dialect_ == Dialect::plain) {
            read_directory(op, fid, m);
        } else {
            op->fail(EISDIR);
        }
        return;
    }
    if (m.offset > kMaxOffset) {
        op->fail(EINVAL);  // pread(2)
        return;
    }
    if (read_in_place(op, *fid, m.offset, m.count)) {
        return;
    }
    const std::size_t count =
        node.is_stream() ? std::min<std::size_t>(m.count, kMaxStreamRead) : m.count;
    // The file's bytes go straight to where the reply will be sent from.
    const auto room = op->data_room(count);
    if (room.empty()) {
        count == 0 ? op->answer_data<Rread>({}) : op->fail(EMSGSIZE);
        return;
    }
    const auto handle = fid->handle;
    const auto give = [op, room](std::size_t size) {
        size <= room.size() ? op->answer_data<Rread>(room.first(size)) : op->fail(EIO);
    };
    if (!options_.reads_on || !node.is_stream() || (fid->flags & O_NONBLOCK) != 0) {
        handle->read(op->request(), m.offset, room, when<std::size_t>(op, give));
        return;
    }
    const bool rest = fid->read_on.is_rest(m.offset, m.count);
    if (rest) {
        op->act_on(fid, true);
    }
    handle->read(op->request(), m.offset, room,
                 [give = when<std::size_t>(op, give), fid, rest, offset = m.offset, count = m.count,
                  most = msize() - std::uint32_t{kIoHeaderSize}](synthfs::Result<std::size_t> got) {
                     if (got) {
                         fid->read_on.answered(offset, count, got.value(), most);
                     } else if (rest && got.error() == synthfs::error(EAGAIN)) {
                         got = synthfs::error(EINTR);
                     }
                     give(std::move(got));
                 });
}

void Session::on(const OpPtr& op, const Twrite& m) {
    const FidPtr fid = use(op, m.fid, true);
    if (!fid) {
        return;
    }
    const bool is_xattr = fid->use == Fid::Use::xattr_write;
    if (!is_xattr && (fid->use != Fid::Use::file || (fid->flags & O_ACCMODE) == O_RDONLY)) {
        op->fail(EBADF);
        return;
    }
    const auto rest = op->data_rest();
    const std::size_t most = total(m.data, rest);
    if (!is_xattr && m.offset > kMaxOffset - most) {
        op->fail(EFBIG);  // pwrite(2)
        return;
    }
    const auto reply = when<std::size_t>(op, [op, most](std::size_t size) {
        op->answer(Rwrite{static_cast<std::uint32_t>(std::min(size, most))});
    });
    Bytes data = m.data;
    if (!rest.empty()) {
        if (!is_xattr) {
            pieces_.assign(1, data);
            pieces_.insert(pieces_.end(), rest.begin(), rest.end());
            if (auto done = fid->handle->write_at_once(*op->request(), m.offset, pieces_)) {
                reply(std::move(*done));
                return;
            }
        }
        Buffer joined = join(data, rest);
        data = joined.span();
        op->keep(std::move(joined));
    }
    if (is_xattr) {
        write_xattr(op, *fid, m.offset, data);
        return;
    }
    const auto handle = fid->handle;
    handle->write(op->request(), m.offset, data, reply);
}

void Session::on(const OpPtr& op, const Tfsync& m) {
    const FidPtr fid = use_open(op, m.fid);
    if (!fid) {
        return;
    }
    const auto handle = fid->handle;
    handle->fsync(op->request(), m.datasync != 0, when<void>(op, [op] { op->answer(Rfsync{}); }));
}

// Two clients may both call themselves "localhost": the connection's name keeps them apart.
std::string Session::lock_owner(std::string_view client_id) const {
    return options_.client + '/' + std::string(client_id);
}

void Session::on(const OpPtr& op, const Tlock& m) {
    const FidPtr fid = use_open(op, m.fid);
    if (!fid) {
        return;
    }
    const auto kind = lock_kind(m.type);
    if (!kind || (m.flags & ~std::uint32_t{kLockFlagBlock | kLockFlagReclaim}) != 0 ||
        m.start > kMaxOffset || m.length > kMaxOffset - m.start) {
        op->fail(EINVAL);
        return;
    }
    const Lock lock{*kind, m.start, m.length, m.proc_id, lock_owner(m.client_id)};
    const auto handle = fid->handle;
    // Never waits, even with the BLOCK flag: the client is told "blocked" and asks again, as Linux
    // does.
    handle->lock(op->request(), lock, [op](synthfs::Result<> result) {
        guarded(op, [&] {
            const int errnum = result ? 0 : synthfs::to_errno(result.error());
            switch (errnum) {
                case 0:
                    op->answer(Rlock{kLockSuccess});
                    break;
                case EAGAIN:
                case EACCES:
                    op->answer(Rlock{kLockBlocked});
                    break;
                case ENOLCK:
                    op->answer(Rlock{kLockError});
                    break;
                default:
                    op->fail(errnum);
            }
        });
    });
}

void Session::on(const OpPtr& op, const Tgetlock& m) {
    const FidPtr fid = use_open(op, m.fid);
    if (!fid) {
        return;
    }
    const auto kind = lock_kind(m.type);
    if (!kind || m.start > kMaxOffset || m.length > kMaxOffset - m.start) {
        op->fail(EINVAL);
        return;
    }
    // Linux asks with UNLCK, meaning "whatever would stop a writer".
    const Lock lock{*kind == Lock::Kind::unlock ? Lock::Kind::write : *kind, m.start, m.length,
                    m.proc_id, lock_owner(m.client_id)};
    const auto handle = fid->handle;
    handle->getlock(op->request(), lock, when<Lock>(op, [this, op](const Lock& found) {
                        std::string_view owner = found.client;
                        if (owner.starts_with(options_.client + '/')) {
                            owner.remove_prefix(options_.client.size() + 1);
                        }
                        op->answer(Rgetlock{lock_type(found.kind), found.start, found.length,
                                            found.pid, owner});
                    }));
}

}  // namespace ennead::p9
