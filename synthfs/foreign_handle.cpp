// SPDX-License-Identifier: MIT
// Reads that wait on a descriptor which does not.
#include "synthfs/foreign_handle.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace ennead::synthfs {

namespace {

constexpr auto kMaxOffset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
// A file that polls as readable and never is, is not waited for.
constexpr int kMostInVain = 3;

template <class Call>
Result<std::size_t> transfer(Call call) {
    ssize_t count = 0;
    do {
        count = call();
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return last_error();
    }
    return static_cast<std::size_t>(count);
}

}  // namespace

bool HostNode::is_foreign() {
    if (mapped() || places_.empty()) {
        return false;
    }
    const auto known = tree_->on_fuse.find(id_.device);
    bool on_fuse = known != tree_->on_fuse.end() && known->second;
    if (known == tree_->on_fuse.end()) {
        const auto dir = places_.front().parent->dir_fd(layer_);
        struct statfs found {};
        if (!dir || ::fstatfs(dir.value()->get(), &found) != 0) {
            return false;
        }
        on_fuse = found.f_type == FUSE_SUPER_MAGIC;
        tree_->on_fuse.emplace(id_.device, on_fuse);
    }
    if (!on_fuse) {
        return false;
    }
    const auto st = host_stat();
    return st && st.value().st_size == 0;
}

Result<HandlePtr> HostNode::open_foreign(int flags) {
    auto fd = open_place(flags & (O_ACCMODE | O_TRUNC | O_APPEND));
    if (!fd) {
        return fd.error();
    }
    stream_ = ::lseek(fd.value()->get(), 0, SEEK_CUR) < 0 && errno == ESPIPE;
    return HandlePtr(std::make_shared<ForeignHandle>(self(), std::move(fd.value()), stream_));
}

ForeignHandle::ForeignHandle(HostNodePtr node, FdRef fd, bool stream)
    : node_(std::move(node)),
      fd_(std::move(fd)),
      stream_(stream),
      reads_([this] { waiting_ = nullptr; }) {
    node_->tree().on_revoke.emplace(this, [this] {
        fd_ = nullptr;
        end(ESTALE);
    });
}

ForeignHandle::~ForeignHandle() {
    node_->tree().on_revoke.erase(this);
    end(EINTR);
}

void ForeignHandle::end(int errnum) {
    waiting_ = nullptr;
    reads_.fail_all(errnum);
}

Result<std::size_t> ForeignHandle::read_now(std::uint64_t offset, std::span<std::byte> into) {
    if (stream_) {
        return transfer([&] { return ::read(fd_->get(), into.data(), into.size()); });
    }
    return transfer(
        [&] { return ::pread(fd_->get(), into.data(), into.size(), static_cast<off_t>(offset)); });
}

void ForeignHandle::read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
                         Reply<std::size_t> reply) {
    if (!fd_) {
        reply(error(ESTALE));
        return;
    }
    if (offset >= kMaxOffset || into.empty()) {
        reply(std::size_t{0});
        return;
    }
    const bool first = reads_.empty();
    auto got = first ? read_now(offset, into) : error(EAGAIN);
    if (got || got.error() != error(EAGAIN) || request->nonblocking() ||
        !node_->tree().when_readable) {
        reply(std::move(got));
        return;
    }
    reads_.add({std::move(request), offset, into, std::move(reply)});
    if (first) {
        in_vain_ = 0;
        wait();
    }
}

void ForeignHandle::wait() {
    // It may have been called off meanwhile.
    if (!reads_.empty()) {
        waiting_ = node_->tree().when_readable(fd_->get(), [this] { readable(); });
    }
}

void ForeignHandle::readable() {
    waiting_ = nullptr;
    auto read = reads_.take();
    if (!read) {
        return;
    }
    const auto keep = node_;  // the answer may end this handle
    auto got = read_now(read->offset, read->into);
    if (!got && got.error() == error(EAGAIN) && ++in_vain_ < kMostInVain) {
        reads_.add(std::move(*read));
        wait();
        return;
    }
    in_vain_ = 0;
    wait();
    read->reply(std::move(got));
}

void ForeignHandle::write(RequestPtr, std::uint64_t offset, std::span<const std::byte> data,
                          Reply<std::size_t> reply) {
    if (!fd_) {
        reply(error(ESTALE));
        return;
    }
    if (offset >= kMaxOffset) {
        reply(error(EFBIG));
        return;
    }
    auto put = transfer([&] {
        return stream_ ? ::write(fd_->get(), data.data(), data.size())
                       : ::pwrite(fd_->get(), data.data(), data.size(), static_cast<off_t>(offset));
    });
    node_->note_read();  // what is known of the file is not any more
    reply(std::move(put));
}

void ForeignHandle::fsync(RequestPtr, bool data_only, Reply<> reply) {
    if (!fd_) {
        reply(error(ESTALE));
    } else if ((data_only ? ::fdatasync(fd_->get()) : ::fsync(fd_->get())) != 0) {
        reply(last_error());
    } else {
        reply(success());
    }
}

}  // namespace ennead::synthfs
