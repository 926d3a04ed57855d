// SPDX-License-Identifier: MIT
// Each operation of a node as the messages it takes.
#include "p9/remote_node.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <utility>

#include "p9/open_flags.h"
#include "p9/remote_handle.h"

namespace ennead::p9 {
namespace {

using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;

// A server may claim any size; this is what Linux takes as a list or a value.
constexpr std::uint64_t kMaxXattr = 65536;

// Hands a failure on; otherwise `then` gets the value.
template <class T, class U, class Then>
std::function<void(Result<T>)> then_or_fail(Reply<U> reply, Then then) {
    return [reply = std::move(reply), then = std::move(then)](Result<T> result) {
        if (!result) {
            reply(result.error());
        } else {
            then(std::move(result).value(), reply);
        }
    };
}

template <class R>
std::function<void(Result<R>)> just_done(Reply<> reply) {
    return then_or_fail<R>(std::move(reply),
                           [](const R&, const Reply<>& done) { done(synthfs::success()); });
}

std::timespec time_of(std::uint64_t sec, std::uint64_t nsec) {
    return {static_cast<std::time_t>(sec),
            static_cast<long>(std::min<std::uint64_t>(nsec, 999999999))};
}

synthfs::Attr attr_of(const Rgetattr& r, const synthfs::Identity& identity, mode_t type) {
    synthfs::Attr attr;
    attr.mode = type | (r.mode & 07777);
    attr.uid = r.uid;
    attr.gid = r.gid;
    attr.nlink = r.nlink;
    attr.rdev = r.rdev;
    attr.size = r.size;
    attr.block_size = r.blksize;
    attr.blocks = r.blocks;
    attr.atime = time_of(r.atime_sec, r.atime_nsec);
    attr.mtime = time_of(r.mtime_sec, r.mtime_nsec);
    attr.ctime = time_of(r.ctime_sec, r.ctime_nsec);
    attr.identity = identity;
    return attr;
}

NameList one(std::string_view name) {
    NameList names;
    names.push(name);
    return names;
}

}  // namespace

void RemoteNode::make(std::shared_ptr<ClientCore> core, RequestPtr request, RemoteFidPtr fid,
                      const Qid& qid, Reply<synthfs::NodePtr> reply) {
    const mode_t type = (qid.type & kQtDir) != 0       ? S_IFDIR
                        : (qid.type & kQtSymlink) != 0 ? S_IFLNK
                        : (qid.type & kQtAppend) != 0  ? S_IFREG
                                                       : 0;
    if (type != 0) {
        reply(synthfs::NodePtr(std::make_shared<RemoteNode>(core, std::move(fid), qid, type)));
        return;
    }
    // A qid does not tell a device or a pipe from a file.
    core->call<Rgetattr>(
        request, Tgetattr{fid->number(), kAttrBasic},
        then_or_fail<Rgetattr>(
            std::move(reply), [core, fid, qid](const Rgetattr& r, const auto& done) {
                mode_t kind = r.mode & S_IFMT;
                if (kind == 0 || kind == S_IFDIR || kind == S_IFLNK) {
                    kind = S_IFREG;  // the qid said that it is neither
                }
                done(synthfs::NodePtr(std::make_shared<RemoteNode>(core, fid, qid, kind)));
            }));
}

void RemoteNode::getattr(RequestPtr request, Reply<synthfs::Attr> reply) {
    core_->call<Rgetattr>(
        request, Tgetattr{fid_->number(), kAttrBasic},
        then_or_fail<Rgetattr>(std::move(reply),
                               [self = self()](const Rgetattr& r, const auto& done) {
                                   self->qid_.version = r.qid.version;
                                   synthfs::Attr attr = attr_of(r, self->identity(), self->type_);
                                   attr.uid = self->core_->owners().shown(attr.uid);
                                   attr.gid = self->core_->owners().shown_group(attr.gid);
                                   done(attr);
                               }));
}

void RemoteNode::setattr(RequestPtr request, synthfs::SetAttr change, Reply<> reply) {
    Tsetattr m;
    m.fid = fid_->number();
    if (change.mode) {
        m.valid |= kSetMode;
        m.mode = *change.mode & 07777;
    }
    if (change.uid) {
        m.valid |= kSetUid;
        m.uid = core_->owners().meant(*change.uid);
    }
    if (change.gid) {
        m.valid |= kSetGid;
        m.gid = core_->owners().meant_group(*change.gid);
    }
    if (change.size) {
        m.valid |= kSetSize;
        m.size = *change.size;
    }
    if (change.atime) {
        m.valid |= change.atime->now ? kSetAtime : kSetAtime | kSetAtimeValue;
        m.atime_sec = static_cast<std::uint64_t>(change.atime->value.tv_sec);
        m.atime_nsec = static_cast<std::uint64_t>(change.atime->value.tv_nsec);
    }
    if (change.mtime) {
        m.valid |= change.mtime->now ? kSetMtime : kSetMtime | kSetMtimeValue;
        m.mtime_sec = static_cast<std::uint64_t>(change.mtime->value.tv_sec);
        m.mtime_nsec = static_cast<std::uint64_t>(change.mtime->value.tv_nsec);
    }
    // The node is held so that its fid is not clunked, which would cancel the call.
    core_->call<Rsetattr>(request, m, [self = self(), reply](Result<Rsetattr> result) {
        just_done<Rsetattr>(reply)(result);
    });
}

void RemoteNode::open(RequestPtr request, int flags, Reply<synthfs::HandlePtr> reply) {
    // O_NONBLOCK is kept on this side: the read-ahead answers for it, and needs reads that wait.
    const int host = flags & ~(O_CREAT | O_EXCL);
    const std::uint32_t wire = wire_open_flags(host & ~O_NONBLOCK);
    core_->walk(request, fid_, {},
                then_or_fail<ClientCore::Walked>(
                    std::move(reply),
                    [self = self(), request, host, wire](const auto& clone, const auto& done) {
                        const RemoteFidPtr fid = clone.fid;
                        self->core_->template call<Rlopen>(
                            request, Tlopen{fid->number(), wire},
                            then_or_fail<Rlopen>(
                                done, [self, fid, host](const Rlopen& r, const auto& opened) {
                                    self->qid_.version = r.qid.version;
                                    opened(synthfs::HandlePtr(std::make_shared<RemoteHandle>(
                                        self->core_, fid, host, self->is_stream())));
                                }));
                    }));
}

void RemoteNode::create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                        Reply<synthfs::Created> reply) {
    const std::uint32_t wire = wire_open_flags((flags | O_CREAT) & ~O_NONBLOCK);
    gid = core_->owners().meant_group(gid);
    core_->walk(request, fid_, {},
                then_or_fail<ClientCore::Walked>(
                    std::move(reply), [self = self(), request, name, flags, wire, mode, gid](
                                          const auto& clone, const auto& done) {
                        const RemoteFidPtr fid = clone.fid;
                        self->core_->template call<Rlcreate>(
                            request, Tlcreate{fid->number(), name, wire, mode, gid},
                            then_or_fail<Rlcreate>(done, [self, request, name, flags, fid](
                                                             const Rlcreate& r, const auto& made) {
                                const bool stream = (r.qid.type & kQtAppend) != 0;
                                const auto handle =
                                    std::make_shared<RemoteHandle>(self->core_, fid, flags, stream);
                                self->walk(
                                    request, name,
                                    then_or_fail<synthfs::NodePtr>(
                                        made, [handle](synthfs::NodePtr node, const auto& both) {
                                            both(synthfs::Created{std::move(node), handle});
                                        }));
                            }));
                    }));
}

void RemoteNode::readlink(RequestPtr request, Reply<std::string> reply) {
    core_->call<Rreadlink>(
        request, Treadlink{fid_->number()},
        then_or_fail<Rreadlink>(
            std::move(reply), [self = self()](const Rreadlink& r, const auto& done) {
                // A target with a NUL in it is none.
                r.target.find('\0') == r.target.npos ? done(std::string(r.target))
                                                     : done(synthfs::error(EIO));
            }));
}

void RemoteNode::statfs(RequestPtr request, Reply<synthfs::StatFs> reply) {
    core_->call<Rstatfs>(request, Tstatfs{fid_->number()},
                         then_or_fail<Rstatfs>(
                             std::move(reply), [self = self()](const Rstatfs& r, const auto& done) {
                                 done(synthfs::StatFs{r.type, r.bsize, r.blocks, r.bfree, r.bavail,
                                                      r.files, r.ffree, r.fsid, r.namelen});
                             }));
}

void RemoteNode::walk(RequestPtr request, std::string name, Reply<synthfs::NodePtr> reply) {
    core_->walk(
        request, fid_, one(name),
        then_or_fail<ClientCore::Walked>(
            std::move(reply), [self = self(), request](const auto& walked, const auto& done) {
                make(self->core_, request, walked.fid, walked.qids.items[0], done);
            }));
}

template <class R>
std::function<void(Result<R>)> RemoteNode::then_walk(RequestPtr request, std::string name,
                                                     Reply<synthfs::NodePtr> reply) {
    return then_or_fail<R>(std::move(reply),
                           [self = self(), request, name](const R&, const auto& done) {
                               self->walk(request, name, done);
                           });
}

void RemoteNode::mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
                       Reply<synthfs::NodePtr> reply) {
    gid = core_->owners().meant_group(gid);
    core_->call<Rmkdir>(request, Tmkdir{fid_->number(), name, mode & 07777, gid},
                        then_walk<Rmkdir>(request, name, std::move(reply)));
}

void RemoteNode::symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                         Reply<synthfs::NodePtr> reply) {
    gid = core_->owners().meant_group(gid);
    core_->call<Rsymlink>(request, Tsymlink{fid_->number(), name, target, gid},
                          then_walk<Rsymlink>(request, name, std::move(reply)));
}

void RemoteNode::mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
                       gid_t gid, Reply<synthfs::NodePtr> reply) {
    gid = core_->owners().meant_group(gid);
    core_->call<Rmknod>(request, Tmknod{fid_->number(), name, mode, major(rdev), minor(rdev), gid},
                        then_walk<Rmknod>(request, name, std::move(reply)));
}

// `node` as one of this connection's, or null: 9P names files by fids, which mean nothing
// elsewhere.
const RemoteNode* RemoteNode::neighbour(const synthfs::NodePtr& node) const {
    const auto* remote = dynamic_cast<const RemoteNode*>(node.get());
    return remote != nullptr && remote->core_ == core_ ? remote : nullptr;
}

void RemoteNode::link(RequestPtr request, std::string name, synthfs::NodePtr target,
                      Reply<> reply) {
    const RemoteNode* other = neighbour(target);
    if (other == nullptr) {
        reply(synthfs::error(EXDEV));
        return;
    }
    core_->call<Rlink>(
        request, Tlink{fid_->number(), other->fid_->number(), name},
        [self = self(), target, reply](Result<Rlink> result) { just_done<Rlink>(reply)(result); });
}

void RemoteNode::unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) {
    core_->call<Runlinkat>(
        request, Tunlinkat{fid_->number(), name, directory ? kUnlinkDirectory : 0},
        [self = self(), reply](Result<Runlinkat> result) { just_done<Runlinkat>(reply)(result); });
}

void RemoteNode::rename(RequestPtr request, std::string name, synthfs::NodePtr new_parent,
                        std::string new_name, Reply<> reply) {
    const RemoteNode* other = neighbour(new_parent);
    if (other == nullptr) {
        reply(synthfs::error(EXDEV));
        return;
    }
    core_->call<Rrenameat>(request,
                           Trenameat{fid_->number(), name, other->fid_->number(), new_name},
                           [self = self(), new_parent, reply](Result<Rrenameat> result) {
                               just_done<Rrenameat>(reply)(result);
                           });
}

void RemoteNode::getxattr(RequestPtr request, std::string name, Reply<std::string> reply) {
    if (name.empty()) {
        reply(synthfs::error(ERANGE));
        return;
    }
    read_xattr(request, name, std::move(reply));
}

void RemoteNode::listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) {
    read_xattr(
        request, "",
        then_or_fail<std::string>(std::move(reply), [](const std::string& list, const auto& done) {
            std::vector<std::string> names;
            for (std::size_t at = 0; at < list.size();) {
                const std::size_t end = std::min(list.find('\0', at), list.size());
                if (end > at) {
                    names.push_back(list.substr(at, end - at));
                }
                at = end + 1;
            }
            done(std::move(names));
        }));
}

void RemoteNode::read_xattr(RequestPtr request, std::string_view name, Reply<std::string> reply) {
    const std::uint32_t number = core_->take_fid();
    core_->call<Rxattrwalk>(
        request, Txattrwalk{fid_->number(), number, name},
        [self = self(), request, number, reply = std::move(reply)](Result<Rxattrwalk> result) {
            if (!result) {
                self->core_->free_fid(number);
                reply(result.error());
                return;
            }
            const auto fid = std::make_shared<RemoteFid>(self->core_, number);
            if (result.value().size > kMaxXattr) {
                reply(synthfs::error(E2BIG));
                return;
            }
            auto value = std::make_shared<std::vector<std::byte>>(result.value().size);
            const auto handle = std::make_shared<RemoteHandle>(self->core_, fid, O_RDONLY, false);
            handle->read(request, 0, *value,
                         then_or_fail<std::size_t>(reply, [handle, value](std::size_t size,
                                                                          const auto& done) {
                             done(std::string(reinterpret_cast<const char*>(value->data()), size));
                         }));
        });
}

void RemoteNode::setxattr(RequestPtr request, std::string name, std::string value, int flags,
                          Reply<> reply) {
    write_xattr(request, std::move(name), std::move(value), flags, std::move(reply));
}

void RemoteNode::removexattr(RequestPtr request, std::string name, Reply<> reply) {
    // What servers take for it: see the server's commit_xattr.
    write_xattr(request, std::move(name), "", XATTR_REPLACE, std::move(reply));
}

void RemoteNode::write_xattr(RequestPtr request, std::string name, std::string value, int flags,
                             Reply<> reply) {
    // The attribute is set by the clunk, so the clunk's answer is the answer.
    const auto commit = [core = core_, request, reply](const RemoteFidPtr& fid) {
        fid->forget();
        core->call<Rclunk>(nullptr, Tclunk{fid->number()},
                           [core, fid, reply](Result<Rclunk> result) {
                               core->free_fid(fid->number());
                               just_done<Rclunk>(reply)(result);
                           });
    };
    const auto write = [core = core_, request, reply, value, commit](const RemoteFidPtr& fid) {
        if (value.empty()) {
            commit(fid);
            return;
        }
        const auto handle = std::make_shared<RemoteHandle>(core, fid, O_WRONLY, false);
        const auto text = std::make_shared<const std::string>(value);
        handle->write(request, 0, std::as_bytes(std::span(*text)),
                      then_or_fail<std::size_t>(
                          reply, [fid, text, commit](std::size_t size, const auto& done) {
                              size == text->size() ? commit(fid) : done(synthfs::error(EIO));
                          }));
    };
    core_->walk(request, fid_, {},
                then_or_fail<ClientCore::Walked>(reply, [core = core_, request, name,
                                                         size = value.size(), flags, write](
                                                            const auto& clone, const auto& done) {
                    const RemoteFidPtr fid = clone.fid;
                    core->template call<Rxattrcreate>(
                        request,
                        Txattrcreate{fid->number(), name, size, static_cast<std::uint32_t>(flags)},
                        then_or_fail<Rxattrcreate>(
                            done, [fid, write](const Rxattrcreate&, const auto&) { write(fid); }));
                }));
}

}  // namespace ennead::p9
