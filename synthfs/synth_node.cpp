// SPDX-License-Identifier: MIT
// Attributes, opening and retirement of synthetic files.
#include "synthfs/synth_node.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace ennead::synthfs {

namespace {

Identity fresh_identity() {
    static const std::uint64_t source = next_source();
    static std::atomic<std::uint64_t> last_path{0};
    return {source, ++last_path, 0};
}

std::timespec now() {
    std::timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

}  // namespace

SynthNode::SynthNode(mode_t type, Base base)
    : type_(type & S_IFMT),
      base_(std::move(base)),
      identity_(fresh_identity()),
      uid_(::geteuid()),
      gid_(::getegid()),
      atime_(now()),
      mtime_(atime_),
      ctime_(atime_) {}

void SynthNode::getattr(RequestPtr, Reply<Attr> reply) {
    if (retired_) {
        reply(error(ENODEV));
        return;
    }
    Attr attr;
    attr.mode = type_ | base_.mode;
    attr.uid = uid_;
    attr.gid = gid_;
    attr.nlink = link_count();
    attr.size = size();
    attr.blocks = (attr.size + 511) / 512;
    attr.atime = atime_;
    attr.mtime = mtime_;
    attr.ctime = ctime_;
    attr.identity = identity_;
    reply(attr);
}

// As chmod(2), chown(2) and utimensat(2) have it. The kernel has checked this for callers that come
// through FUSE, group membership included; 9P clients rely on it here.
Checked<> SynthNode::check_setattr(const Request& request, const SetAttr& change) const {
    const uid_t uid = request.caller().uid;
    const bool superuser = uid == 0;
    const bool owner = superuser || uid == uid_;
    if (!owner && (change.mode || change.gid || (change.atime && !change.atime->now) ||
                   (change.mtime && !change.mtime->now))) {
        return make_fault(EPERM, "only the file's owner may change its attributes");
    }
    if (!superuser && change.uid && *change.uid != uid_) {
        return make_fault(EPERM, "only root may give files away");
    }
    if (change.size && S_ISDIR(type_)) {
        return make_fault(EISDIR, "a directory has no size to set");
    }
    return success();
}

void SynthNode::apply(const SetAttr& change) {
    const std::timespec moment = now();
    base_.mode = change.mode.value_or(base_.mode) & 07777;
    uid_ = change.uid.value_or(uid_);
    gid_ = change.gid.value_or(gid_);
    if (change.atime) {
        atime_ = change.atime->now ? moment : change.atime->value;
    }
    if (change.mtime) {
        mtime_ = change.mtime->now ? moment : change.mtime->value;
    }
    ctime_ = moment;
}

void SynthNode::setattr(RequestPtr request, SetAttr change, Reply<> reply) {
    if (retired_) {
        reply(error(ENODEV));
        return;
    }
    if (const auto allowed = check_setattr(*request, change); !allowed) {
        reply(refuse(*request, allowed.error()));
        return;
    }
    if (!change.size) {
        apply(change);
        reply(success());
        return;
    }
    // The size first: it alone can fail.
    auto self = std::static_pointer_cast<SynthNode>(shared_from_this());
    truncate(request, *change.size, [self, request, change, reply](Checked<> done) {
        if (!done) {
            reply(self->refuse(*request, done.error()));
            return;
        }
        self->apply(change);
        reply(success());
    });
}

void SynthNode::truncate(RequestPtr, std::uint64_t size, CheckedReply<> reply) {
    if (!can_write()) {
        reply(make_fault(EPERM, "this file cannot be written"));
    } else if (size != 0) {
        reply(make_fault(EPERM, "this file can only be truncated to nothing"));
    } else {
        reply(success());
    }
}

void SynthNode::open(RequestPtr request, int flags, Reply<HandlePtr> reply) {
    if (retired_) {
        reply(error(ENODEV));
        return;
    }
    const int access = flags & O_ACCMODE;
    if (S_ISLNK(type_)) {
        reply(error(ELOOP));
    } else if (S_ISDIR(type_) && access != O_RDONLY) {
        reply(error(EISDIR));
    } else if (!S_ISDIR(type_) && (flags & O_DIRECTORY) != 0) {
        reply(error(ENOTDIR));
    } else if ((access != O_RDONLY || (flags & O_TRUNC) != 0) && !S_ISDIR(type_) && !can_write()) {
        reply(refuse(*request, make_fault(EPERM, "this file cannot be written")));
    } else if (access != O_WRONLY && !can_read()) {
        reply(refuse(*request, make_fault(EPERM, "this file cannot be read")));
    } else if (auto handle = open_handle(request, flags)) {
        reply(std::move(handle.value()));
    } else {
        reply(refuse(*request, handle.error()));
    }
}

void SynthNode::retire() {
    if (retired_) {
        return;
    }
    retired_ = true;
    // Ending a read may drop the last reference to this node.
    const auto self = shared_from_this();
    on_retire();
    for (const auto& handle : handles()) {
        handle->on_retire();
    }
}

void SynthNode::touch() {
    mtime_ = ctime_ = now();
}

void SynthNode::report(const Request& request, const Fault& fault) const {
    request.explain(fault.text);
    if (!base_.errors || fault.errnum == EINTR || fault.errnum == EAGAIN ||
        fault.errnum == ENODEV) {
        return;
    }
    base_.errors(
        {fault.errnum, request.caller().pid, base_.name, fault.text, fault.command, fault.column});
}

std::error_code SynthNode::refuse(const Request& request, const Fault& fault) const {
    report(request, fault);
    return error(fault.errnum);
}

std::vector<std::shared_ptr<SynthHandle>> SynthNode::handles() const {
    std::vector<std::shared_ptr<SynthHandle>> alive;
    alive.reserve(handles_.size());
    for (SynthHandle* handle : handles_) {
        if (auto shared = handle->weak_from_this().lock()) {
            alive.push_back(std::move(shared));
        }
    }
    return alive;
}

SynthHandle::SynthHandle(std::shared_ptr<SynthNode> node, int flags)
    : node_(std::move(node)), flags_(flags) {
    node_->handles_.push_back(this);
}

SynthHandle::~SynthHandle() {
    std::erase(node_->handles_, this);
}

int SynthHandle::read_refusal() const {
    return node_->retired() ? ENODEV : opened_for_reading() ? 0 : EBADF;
}

int SynthHandle::write_refusal() const {
    return node_->retired() ? ENODEV : opened_for_writing() ? 0 : EBADF;
}

std::size_t copy_out(std::string_view text, std::uint64_t offset, std::span<std::byte> into) {
    if (offset >= text.size() || into.empty()) {
        return 0;
    }
    const std::size_t length = std::min<std::size_t>(text.size() - offset, into.size());
    std::memcpy(into.data(), text.data() + offset, length);
    return length;
}

void Answer::set(std::string text) {
    text_ = std::move(text);
    given_ = true;
    begin_.reset();
}

std::size_t Answer::read(std::uint64_t offset, std::span<std::byte> into) {
    if (!begin_ || offset < *begin_) {
        begin_ = offset;
    }
    return copy_out(text_, offset - *begin_, into);
}

}  // namespace ennead::synthfs
