// SPDX-License-Identifier: MIT
// What is known about files: attributes, file system figures, link targets, extended attributes.
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "p9/session.h"

namespace ennead::p9 {
namespace {

// Linux: XATTR_NAME_MAX, XATTR_SIZE_MAX.
constexpr std::size_t kMaxXattrName = 255, kMaxXattrSize = 65536;

constexpr std::uint64_t kNanoseconds = 1'000'000'000;

bool is_xattr(const Fid& fid) {
    return fid.use == Fid::Use::xattr_read || fid.use == Fid::Use::xattr_write;
}

std::uint64_t seconds(const std::timespec& time) {
    return static_cast<std::uint64_t>(time.tv_sec);
}
std::uint64_t nanoseconds(const std::timespec& time) {
    return static_cast<std::uint64_t>(time.tv_nsec);
}

// One of the two times of a Tsetattr, if it is to change.
std::optional<synthfs::SetTime> set_time(std::uint32_t valid, std::uint32_t bit,
                                         std::uint32_t value_bit, std::uint64_t sec,
                                         std::uint64_t nsec) {
    if ((valid & bit) == 0) {
        return std::nullopt;
    }
    if ((valid & value_bit) == 0) {
        return synthfs::SetTime{.now = true};
    }
    return synthfs::SetTime{.now = false,
                            .value = {static_cast<std::time_t>(sec), static_cast<long>(nsec)}};
}

}  // namespace

void Session::on(const OpPtr& op, const Tgetattr& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    if (is_xattr(*fid)) {
        op->fail(EBADF);
        return;
    }
    const auto node = fid->place->node;
    node->getattr(op->request(), when<synthfs::Attr>(op, [this, op, node](const synthfs::Attr& a) {
                      Rgetattr r;
                      // All the basic ones, asked for or not; no birth time, generation or version.
                      r.valid = kAttrBasic;
                      r.qid = qid(a.identity, a.mode, node->is_stream());
                      r.mode = a.mode;
                      r.uid = a.uid;
                      r.gid = a.gid;
                      r.nlink = a.nlink;
                      r.rdev = a.rdev;  // Linux decodes makedev()'s form (new_decode_dev)
                      r.size = a.size;
                      r.blksize = a.block_size;
                      r.blocks = a.blocks;
                      r.atime_sec = seconds(a.atime);
                      r.atime_nsec = nanoseconds(a.atime);
                      r.mtime_sec = seconds(a.mtime);
                      r.mtime_nsec = nanoseconds(a.mtime);
                      r.ctime_sec = seconds(a.ctime);
                      r.ctime_nsec = nanoseconds(a.ctime);
                      op->answer(r);
                  }));
}

void Session::on(const OpPtr& op, const Tsetattr& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    if (is_xattr(*fid)) {
        op->fail(EBADF);
        return;
    }
    synthfs::SetAttr change;
    if (m.valid & kSetMode) {
        change.mode = m.mode & 07777;
    }
    if (m.valid & kSetUid) {
        change.uid = m.uid;
    }
    if (m.valid & kSetGid) {
        change.gid = m.gid;
    }
    if (m.valid & kSetSize) {
        change.size = m.size;
    }
    change.atime = set_time(m.valid, kSetAtime, kSetAtimeValue, m.atime_sec, m.atime_nsec);
    change.mtime = set_time(m.valid, kSetMtime, kSetMtimeValue, m.mtime_sec, m.mtime_nsec);
    if ((change.atime && !change.atime->now && m.atime_nsec >= kNanoseconds) ||
        (change.mtime && !change.mtime->now && m.mtime_nsec >= kNanoseconds)) {
        op->fail(EINVAL);
        return;
    }
    if (change.size && *change.size > std::numeric_limits<std::int64_t>::max()) {
        op->fail(EFBIG);  // truncate(2)
        return;
    }
    if (!change.mode && !change.uid && !change.gid && !change.size && !change.atime &&
        !change.mtime) {
        // Only the change time was asked for, or nothing: it follows every other change by itself.
        op->answer(Rsetattr{});
        return;
    }
    const auto node = fid->place->node;
    node->setattr(op->request(), change, when<void>(op, [op] { op->answer(Rsetattr{}); }));
}

void Session::on(const OpPtr& op, const Tstatfs& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    const auto node = fid->place->node;
    node->statfs(
        op->request(), when<synthfs::StatFs>(op, [op](const synthfs::StatFs& s) {
            op->answer(Rstatfs{s.type, s.block_size, s.blocks, s.blocks_free, s.blocks_available,
                               s.files, s.files_free, s.fsid, s.name_max});
        }));
}

void Session::on(const OpPtr& op, const Treadlink& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    const auto node = fid->place->node;
    node->readlink(op->request(), when<std::string>(op, [op](const std::string& target) {
                       op->answer(Rreadlink{target});
                   }));
}

void Session::on(const OpPtr& op, const Txattrwalk& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    if (is_xattr(*fid)) {
        op->fail(EBADF);
        return;
    }
    if (m.name.size() > kMaxXattrName || m.name.find('\0') != m.name.npos) {
        op->fail(ERANGE);
        return;
    }
    if (const auto reserved = fids_.reserve(m.newfid); !reserved) {
        op->fail(reserved.error());
        return;
    }
    const auto found = [this, op, fid, number = m.newfid](std::string value) {
        const auto attribute = std::make_shared<Fid>();
        attribute->place = fid->place;
        attribute->caller = fid->caller;
        attribute->use = Fid::Use::xattr_read;
        attribute->xattr_value = std::move(value);
        fids_.bind(number, attribute);
        op->answer(Rxattrwalk{attribute->xattr_value.size()});
    };
    const auto failed = [this, number = m.newfid] { fids_.release(number); };
    const auto node = fid->place->node;
    if (!m.name.empty()) {
        node->getxattr(op->request(), std::string(m.name), when<std::string>(op, found, failed));
        return;
    }
    node->listxattr(op->request(), when<std::vector<std::string>>(
                                       op,
                                       [found](const std::vector<std::string>& names) {
                                           // listxattr(2): each name ends in a NUL.
                                           std::string list;
                                           for (const std::string& name : names) {
                                               list += name;
                                               list += '\0';
                                           }
                                           found(std::move(list));
                                       },
                                       failed));
}

void Session::read_xattr(const OpPtr& op, const Fid& fid, const Tread& m) {
    const std::string& value = fid.xattr_value;
    const std::size_t offset = std::min<std::uint64_t>(m.offset, value.size());
    const auto room = op->data_room(std::min<std::size_t>(m.count, value.size() - offset));
    const std::size_t size = std::min(room.size(), value.size() - offset);
    std::copy_n(std::as_bytes(std::span(value)).begin() + static_cast<std::ptrdiff_t>(offset), size,
                room.begin());
    op->answer_data<Rread>(room.first(size));
}

void Session::on(const OpPtr& op, const Txattrcreate& m) {
    const FidPtr fid = use(op, m.fid);
    if (!fid) {
        return;
    }
    if (fid->use != Fid::Use::node || fid->busy) {
        op->fail(EINVAL);
    } else if (m.name.empty() || m.name.size() > kMaxXattrName ||
               m.name.find('\0') != m.name.npos) {
        op->fail(ERANGE);
    } else if (m.size > kMaxXattrSize) {
        op->fail(E2BIG);
    } else if ((m.flags & ~std::uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0) {
        op->fail(EINVAL);
    } else {
        fid->use = Fid::Use::xattr_write;
        fid->xattr_name = m.name;
        fid->xattr_value.clear();
        fid->xattr_size = m.size;
        fid->xattr_flags = static_cast<int>(m.flags);
        op->answer(Rxattrcreate{});
    }
}

void Session::write_xattr(const OpPtr& op, Fid& fid, std::uint64_t offset, Bytes data) {
    if (offset != fid.xattr_value.size()) {
        op->fail(EINVAL);  // in order, without holes
        return;
    }
    if (data.size() > fid.xattr_size - fid.xattr_value.size()) {
        op->fail(ENOSPC);  // more than was announced
        return;
    }
    fid.xattr_value.append(reinterpret_cast<const char*>(data.data()), data.size());
    op->answer(Rwrite{static_cast<std::uint32_t>(data.size())});
}

// The clunk of a fid that Txattrcreate made: only now the attribute changes, whole.
void Session::commit_xattr(const OpPtr& op, const FidPtr& fid) {
    if (fid->xattr_value.size() != fid->xattr_size) {
        op->fail(EINVAL);
        return;
    }
    const auto node = fid->place->node;
    auto reply = when<void>(op, [op] { op->answer(Rclunk{}); });
    // The protocol has no message to remove an attribute. Linux announces 0 bytes with REPLACE,
    // which is what its vfs_removexattr passes down; an empty value to be set comes without that
    // flag.
    if (fid->xattr_size == 0 && fid->xattr_flags == XATTR_REPLACE) {
        node->removexattr(op->request(), fid->xattr_name, std::move(reply));
    } else {
        node->setxattr(op->request(), fid->xattr_name, fid->xattr_value, fid->xattr_flags,
                       std::move(reply));
    }
}

}  // namespace ennead::p9
