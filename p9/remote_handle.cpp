// SPDX-License-Identifier: MIT
// Reads and writes in pieces of msize, directories entry by entry, and streams with their
// read-ahead.
#include "p9/remote_handle.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "synthfs/node.h"

namespace ennead::p9 {
namespace {

using synthfs::Lock;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;

// The block that is read ahead for whoever polls a stream.
constexpr std::uint32_t kAheadSize = 16 * 1024;

bool is_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
           name.find('/') == name.npos && name.find('\0') == name.npos;
}

mode_t type_of(const DirRecord& record) {
    if (record.type != DT_UNKNOWN) {
        return DTTOIF(record.type) & S_IFMT;
    }
    return (record.qid.type & kQtDir) != 0       ? S_IFDIR
           : (record.qid.type & kQtSymlink) != 0 ? S_IFLNK
                                                 : S_IFREG;
}

}  // namespace

// A read or write in as many messages as it takes.
struct RemoteHandle::Transfer {
    RequestPtr request;
    std::uint64_t offset = 0;
    std::span<std::byte> into;
    std::span<const std::byte> data;
    std::size_t done = 0;
    Reply<std::size_t> reply;

    // POSIX: what was transferred before a failure is told, and the failure only by the next call.
    void fail(const std::error_code& code) const { done > 0 ? reply(done) : reply(code); }
};

RemoteHandle::~RemoteHandle() {
    for (const Waiter& waiter : std::exchange(waiters_, {})) {
        waiter.request->settle();
        waiter.reply(synthfs::error(EINTR));
    }
}

void RemoteHandle::read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
                        Reply<std::size_t> reply) {
    if (into.empty()) {
        reply(std::size_t{0});
    } else if (stream_) {
        read_stream(std::move(request), into, std::move(reply));
    } else {
        read_more(std::make_shared<Transfer>(
            Transfer{std::move(request), offset, into, {}, 0, std::move(reply)}));
    }
}

void RemoteHandle::read_more(std::shared_ptr<Transfer> transfer) {
    const auto rest = transfer->into.subspan(transfer->done);
    const auto count =
        static_cast<std::uint32_t>(std::min<std::size_t>(rest.size(), core_->max_data()));
    core_->call<Rread>(transfer->request,
                       Tread{fid_->number(), transfer->offset + transfer->done, count},
                       [self = shared_from_this(), transfer, rest, count](Result<Rread> result) {
                           if (!result) {
                               transfer->fail(result.error());
                               return;
                           }
                           const Bytes data = result.value().data;
                           if (data.size() > count) {
                               transfer->fail(self->core_->broken(Error::bad_reply));
                               return;
                           }
                           std::copy(data.begin(), data.end(), rest.begin());
                           transfer->done += data.size();
                           if (data.empty() || data.size() == rest.size()) {
                               transfer->reply(transfer->done);
                           } else {
                               self->read_more(transfer);  // a server may give less before the end
                           }
                       });
}

void RemoteHandle::write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
                         Reply<std::size_t> reply) {
    write_more(std::make_shared<Transfer>(
        Transfer{std::move(request), offset, {}, data, 0, std::move(reply)}));
}

void RemoteHandle::write_more(std::shared_ptr<Transfer> transfer) {
    const auto rest = transfer->data.subspan(transfer->done);
    const auto piece = rest.first(std::min<std::size_t>(rest.size(), core_->max_data()));
    core_->call<Rwrite>(transfer->request,
                        Twrite{fid_->number(), transfer->offset + transfer->done, piece},
                        [self = shared_from_this(), transfer, piece,
                         last = piece.size() == rest.size()](Result<Rwrite> result) {
                            if (!result) {
                                transfer->fail(result.error());
                                return;
                            }
                            const std::size_t count = result.value().count;
                            if (count > piece.size()) {
                                transfer->fail(self->core_->broken(Error::bad_reply));
                                return;
                            }
                            transfer->done += count;
                            if (last || count < piece.size()) {
                                transfer->reply(transfer->done);
                            } else {
                                self->write_more(transfer);
                            }
                        });
}

void RemoteHandle::readdir(RequestPtr request, std::uint64_t offset, std::size_t max_entries,
                           Reply<std::vector<synthfs::DirEntry>> reply) {
    // Room for as many entries as are wanted, with names of usual length, and for any single one.
    constexpr std::size_t kUsualEntry = DirRecord::kFixedSize + 24;
    const std::size_t most = core_->max_data();
    const auto count = static_cast<std::uint32_t>(std::clamp(
        std::min(max_entries, most) * kUsualEntry, std::min<std::size_t>(8192, most), most));
    core_->call<Rreaddir>(
        request, Treaddir{fid_->number(), offset, count},
        [self = shared_from_this(), request, max_entries, count, reply](Result<Rreaddir> result) {
            if (!result) {
                reply(result.error());
                return;
            }
            const Bytes data = result.value().data;
            Reader reader(data);
            std::vector<synthfs::DirEntry> entries;
            std::uint64_t next = 0;
            bool sane = data.size() <= count;
            while (sane && reader.left() > 0 && entries.size() < max_entries) {
                DirRecord record;
                DirRecord::fields(record, reader);
                next = record.offset;
                sane = reader.ok() && next != 0;
                // "." and ".." are the faces' business; other names that are none are nobody's.
                if (sane && is_name(record.name)) {
                    entries.push_back(
                        {std::string(record.name), record.qid.path, type_of(record), next});
                }
            }
            if (!sane) {
                reply(self->core_->broken(Error::bad_reply));
            } else if (entries.empty() && !data.empty() && max_entries > 0) {
                self->readdir(request, next, max_entries, reply);  // only such names: not the end
            } else {
                reply(std::move(entries));
            }
        });
}

void RemoteHandle::fsync(RequestPtr request, bool data_only, Reply<> reply) {
    core_->call<Rfsync>(request, Tfsync{fid_->number(), data_only ? 1u : 0u},
                        [self = shared_from_this(), reply](Result<Rfsync> result) {
                            result ? reply(synthfs::success()) : reply(result.error());
                        });
}

namespace {

std::uint8_t wire_kind(Lock::Kind kind) {
    return kind == Lock::Kind::read    ? kLockRead
           : kind == Lock::Kind::write ? kLockWrite
                                       : kLockUnlock;
}

}  // namespace

void RemoteHandle::lock(RequestPtr request, const Lock& lock, Reply<> reply) {
    core_->call<Rlock>(request,
                       Tlock{fid_->number(), wire_kind(lock.kind), 0, lock.start, lock.length,
                             lock.pid, lock.client},
                       [self = shared_from_this(), reply](Result<Rlock> result) {
                           if (!result) {
                               reply(result.error());
                               return;
                           }
                           switch (result.value().status) {
                               case kLockSuccess:
                                   reply(synthfs::success());
                                   break;
                               case kLockBlocked:
                                   reply(synthfs::error(EAGAIN));
                                   break;
                               default:
                                   reply(synthfs::error(ENOLCK));
                           }
                       });
}

void RemoteHandle::getlock(RequestPtr request, const Lock& lock, Reply<Lock> reply) {
    core_->call<Rgetlock>(
        request,
        Tgetlock{fid_->number(), wire_kind(lock.kind), lock.start, lock.length, lock.pid,
                 lock.client},
        [self = shared_from_this(), reply](Result<Rgetlock> result) {
            if (!result) {
                reply(result.error());
                return;
            }
            const Rgetlock& r = result.value();
            const auto kind = r.type == kLockRead    ? Lock::Kind::read
                              : r.type == kLockWrite ? Lock::Kind::write
                                                     : Lock::Kind::unlock;
            reply(Lock{kind, r.start, r.length, r.proc_id, std::string(r.client_id)});
        });
}

void RemoteHandle::read_stream(RequestPtr request, std::span<std::byte> into,
                               Reply<std::size_t> reply) {
    const bool nonblocking = request->nonblocking() || (flags_ & O_NONBLOCK) != 0;
    if (ahead_ == Ahead::none && nonblocking && reads_under_way_ == 0) {
        read_ahead();
    }
    if (ahead_ == Ahead::ready && waiters_.empty()) {
        serve(into, reply);
    } else if (nonblocking) {
        reply(synthfs::error(EAGAIN));
    } else if (ahead_ == Ahead::none) {
        read_through(std::move(request), into, std::move(reply));
    } else {
        // The block asked for is the next one, so this reader must wait for it.
        const std::uint64_t id = ++last_waiter_;
        waiters_.push_back({id, request, into, std::move(reply)});
        request->on_cancel([weak = weak_from_this(), id] {
            if (const auto self = weak.lock()) {
                self->cancel_waiter(id);
            }
        });
    }
}

// A read that nothing stands before goes to the server with the reader's own size.
void RemoteHandle::read_through(RequestPtr request, std::span<std::byte> into,
                                Reply<std::size_t> reply) {
    const auto count =
        static_cast<std::uint32_t>(std::min<std::size_t>(into.size(), core_->max_data()));
    ++reads_under_way_;
    core_->call<Rread>(
        request, Tread{fid_->number(), 0, count},
        [self = shared_from_this(), into, count, reply](Result<Rread> result) {
            --self->reads_under_way_;
            if (!result) {
                reply(result.error());
            } else if (result.value().data.size() > count) {
                reply(self->core_->broken(Error::bad_reply));
            } else {
                const Bytes data = result.value().data;
                std::copy(data.begin(), data.end(), into.begin());
                reply(data.size());
            }
            self->wake();
        },
        true);
}

// Nobody cancels it: what it brings is kept for the next reader. A clunk ends it.
void RemoteHandle::read_ahead() {
    ahead_ = Ahead::asked;
    const std::uint32_t count = std::min(kAheadSize, core_->max_data());
    core_->call<Rread>(
        nullptr, Tread{fid_->number(), 0, count},
        [weak = weak_from_this(), count](Result<Rread> result) {
            const auto self = weak.lock();
            if (!self) {
                return;
            }
            if (result && result.value().data.size() > count) {
                self->arrived(self->core_->broken(Error::bad_reply));
            } else {
                self->arrived(std::move(result));
            }
        },
        true);
}

void RemoteHandle::arrived(Result<Rread> result) {
    ahead_ = Ahead::ready;
    served_ = 0;
    block_.clear();
    block_error_ = result ? std::error_code{} : result.error();
    if (result) {
        block_.assign(result.value().data.begin(), result.value().data.end());
    }
    while (ahead_ == Ahead::ready && !waiters_.empty()) {
        const Waiter waiter = std::move(waiters_.front());
        waiters_.pop_front();
        waiter.request->settle();
        serve(waiter.into, waiter.reply);
    }
    wake();
}

// Gives the block, or as much of it as fits. The end and a failure are given once; then the server
// is asked anew.
void RemoteHandle::serve(std::span<std::byte> into, const Reply<std::size_t>& reply) {
    const std::size_t size = std::min(into.size(), block_.size() - served_);
    std::copy_n(block_.begin() + static_cast<std::ptrdiff_t>(served_), size, into.begin());
    served_ += size;
    const std::error_code failure = std::exchange(block_error_, {});
    if (served_ == block_.size()) {
        ahead_ = Ahead::none;
        block_.clear();
        served_ = 0;
    }
    failure ? reply(failure) : reply(size);
}

// Keeps what was promised to those who wait: with a block there, pollers are told; without one, it
// is asked for.
void RemoteHandle::wake() {
    const auto self = shared_from_this();
    if (ahead_ == Ahead::ready) {
        for (const auto& notify : std::exchange(notify_, {})) {
            notify();
        }
    } else if (ahead_ == Ahead::none && reads_under_way_ == 0 &&
               (!waiters_.empty() || !notify_.empty())) {
        read_ahead();
    }
}

void RemoteHandle::cancel_waiter(std::uint64_t id) {
    const auto found = std::find_if(waiters_.begin(), waiters_.end(),
                                    [id](const Waiter& waiter) { return waiter.id == id; });
    if (found != waiters_.end()) {
        const Waiter waiter = std::move(*found);
        waiters_.erase(found);
        waiter.reply(synthfs::error(EINTR));
    }
}

unsigned RemoteHandle::poll(std::function<void()> notify) {
    if (!stream_) {
        return POLLIN | POLLOUT;
    }
    const int access = flags_ & O_ACCMODE;
    unsigned ready = access == O_RDONLY ? 0 : POLLOUT;
    if (access == O_WRONLY) {
        return ready;
    }
    if (ahead_ == Ahead::none && reads_under_way_ == 0) {
        read_ahead();
    }
    if (ahead_ == Ahead::ready) {
        ready |= POLLIN;
        ready |= block_error_ ? POLLERR : block_.empty() ? POLLHUP : 0;
    } else if (notify) {
        notify_.push_back(std::move(notify));
    }
    return ready;
}

}  // namespace ennead::p9
