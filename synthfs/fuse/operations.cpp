// SPDX-License-Identifier: MIT
// The FUSE operations: each decodes, calls the node or handle, and replies.
#include "synthfs/fuse/session.h"

#include <linux/fs.h>
#include <sys/poll.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace ennead::synthfs::fuse {

namespace {

Session& session_of(fuse_req_t req) {
    return *static_cast<Session*>(::fuse_req_userdata(req));
}

// Starts an operation, runs `body(operation)`, and lets interrupts cancel what it left waiting.
template <class Body>
void carry_out(fuse_req_t req, bool nonblocking, Body body) noexcept {
    OperationPtr operation;
    try {
        operation = std::make_shared<Operation>(session_of(req), req, nonblocking);
    } catch (...) {
        ::fuse_reply_err(req, ENOMEM);
        return;
    }
    guarded(operation, [&] { body(operation); });
    guarded(operation, [&] { operation->watch_interrupt(); });
}

// The same with the node that `id` stands for.
template <class Body>
void with_node(fuse_req_t req, fuse_ino_t id, Body body) noexcept {
    carry_out(req, false, [&](const OperationPtr& operation) {
        if (const NodePtr node = operation->session()->ids().find(id)) {
            body(operation, node);
        } else {
            operation->error(ESTALE);
        }
    });
}

// The same with an open handle.
template <class Body>
void with_handle(fuse_req_t req, const fuse_file_info* info, Body body) noexcept {
    const bool nonblocking = (info->flags & O_NONBLOCK) != 0;
    carry_out(req, nonblocking, [&](const OperationPtr& operation) {
        operation->set_handle_id(info->fh);
        if (const HandlePtr handle = operation->session()->handle(info->fh)) {
            body(operation, handle);
        } else {
            operation->error(EBADF);
        }
    });
}

Reply<> reply_done(const OperationPtr& operation) {
    return then(operation, [operation] { operation->error(0); });
}

// Answers with the entry of the node that was found or made.
Reply<NodePtr> reply_entry(const OperationPtr& operation) {
    return then<NodePtr>(operation, [operation](NodePtr node) {
        node->getattr(operation->request(), then<Attr>(operation, [operation, node](Attr attr) {
                          operation->entry(node, attr);
                      }));
    });
}

Reply<Attr> reply_attr(const OperationPtr& operation) {
    return then<Attr>(operation, [operation](const Attr& attr) {
        const struct stat info = operation->session()->stat_of(attr);
        operation->answer([&](fuse_req_t req) { return ::fuse_reply_attr(req, &info, 0); });
    });
}

Reply<std::size_t> reply_written(const OperationPtr& operation) {
    return then<std::size_t>(operation, [operation](std::size_t size) {
        operation->answer([size](fuse_req_t req) { return ::fuse_reply_write(req, size); });
    });
}

void op_init(void*, fuse_conn_info* connection) {
    // O_TRUNC has to arrive in open (tree.md: lists are cleared by it). Left out on purpose:
    // clearing of set-uid bits (the kernel does it by setattr), locks (kept by the kernel), splice
    // (no use for text).
    constexpr unsigned kWanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ |
                                 FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
                                 FUSE_CAP_AUTO_INVAL_DATA;
    connection->want = connection->capable & kWanted;
    connection->max_write = 1024 * 1024;
    connection->time_gran = 1;
    // Reads of streams that wait through asynchronous I/O count as background requests; the
    // kernel's default of 12 would let a dozen of them stop all others.
    connection->max_background = 1024;
    connection->congestion_threshold = 768;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->walk(operation->request(), name, reply_entry(operation));
    });
}

void op_forget(fuse_req_t req, fuse_ino_t id, std::uint64_t lookups) {
    session_of(req).ids().forget(id, lookups);
    ::fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
    for (std::size_t i = 0; i < count; ++i) {
        session_of(req).ids().forget(forgets[i].ino, forgets[i].nlookup);
    }
    ::fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t id, fuse_file_info*) {
    with_node(req, id, [](const OperationPtr& operation, const NodePtr& node) {
        node->getattr(operation->request(), reply_attr(operation));
    });
}

SetAttr decode_setattr(const struct stat& info, int to_set) {
    SetAttr change;
    const auto given = [to_set](int bit) { return (to_set & bit) != 0; };
    if (given(FUSE_SET_ATTR_MODE)) {
        change.mode = info.st_mode & 07777;
    }
    if (given(FUSE_SET_ATTR_UID)) {
        change.uid = info.st_uid;
    }
    if (given(FUSE_SET_ATTR_GID)) {
        change.gid = info.st_gid;
    }
    if (given(FUSE_SET_ATTR_SIZE)) {
        change.size = static_cast<std::uint64_t>(info.st_size);
    }
    if (given(FUSE_SET_ATTR_ATIME_NOW) || given(FUSE_SET_ATTR_ATIME)) {
        change.atime = SetTime{given(FUSE_SET_ATTR_ATIME_NOW), info.st_atim};
    }
    if (given(FUSE_SET_ATTR_MTIME_NOW) || given(FUSE_SET_ATTR_MTIME)) {
        change.mtime = SetTime{given(FUSE_SET_ATTR_MTIME_NOW), info.st_mtim};
    }
    return change;
}

void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat* info, int to_set, fuse_file_info*) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->setattr(operation->request(), decode_setattr(*info, to_set),
                      then(operation, [operation, node] {
                          node->getattr(operation->request(), reply_attr(operation));
                      }));
    });
}

void op_readlink(fuse_req_t req, fuse_ino_t id) {
    with_node(req, id, [](const OperationPtr& operation, const NodePtr& node) {
        node->readlink(operation->request(),
                       then<std::string>(operation, [operation](const std::string& target) {
                           operation->answer([&](fuse_req_t r) {
                               return ::fuse_reply_readlink(r, target.c_str());
                           });
                       }));
    });
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->mknod(operation->request(), name, mode, rdev, operation->request()->caller().gid,
                    reply_entry(operation));
    });
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->mkdir(operation->request(), name, mode & 07777, operation->request()->caller().gid,
                    reply_entry(operation));
    });
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->symlink(operation->request(), name, target, operation->request()->caller().gid,
                      reply_entry(operation));
    });
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->unlink(operation->request(), name, false, reply_done(operation));
    });
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->unlink(operation->request(), name, true, reply_done(operation));
    });
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        const NodePtr to = operation->session()->ids().find(new_parent);
        if (!to) {
            operation->error(ESTALE);
            return;
        }
        auto rename = [operation, node, to, from = std::string(name),
                       name_to = std::string(new_name)] {
            node->rename(operation->request(), from, to, name_to, reply_done(operation));
        };
        if (flags == 0) {
            rename();
        } else if (flags == RENAME_NOREPLACE) {
            to->walk(operation->request(), new_name, [operation, rename](Result<NodePtr> found) {
                if (operation->done()) {
                    return;
                }
                if (found) {
                    operation->error(EEXIST);
                } else if (to_errno(found.error()) == ENOENT) {
                    guarded(operation, rename);
                } else {
                    operation->error(to_errno(found.error()));
                }
            });
        } else {
            operation->error(EINVAL);  // no node can exchange names; callers fall back
        }
    });
}

void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char* new_name) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& target) {
        const NodePtr directory = operation->session()->ids().find(new_parent);
        if (!directory) {
            operation->error(ESTALE);
            return;
        }
        directory->link(operation->request(), new_name, target,
                        then(operation, [operation, target] { reply_entry(operation)(target); }));
    });
}

void op_open(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->open(operation->request(), info->flags,
                   then<HandlePtr>(operation, [operation, node](HandlePtr handle) {
                       operation->opened(node, std::move(handle));
                   }));
    });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* info) {
    with_node(req, parent, [&](const OperationPtr& operation, const NodePtr& node) {
        node->create(operation->request(), name, info->flags, mode & 07777,
                     operation->request()->caller().gid,
                     then<Created>(operation, [operation](const Created& made) {
                         made.node->getattr(
                             operation->request(),
                             then<Attr>(operation, [operation, made](const Attr& attr) {
                                 operation->created(made.node, attr, made.handle);
                             }));
                     }));
    });
}

void op_read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
    with_handle(req, info, [&](const OperationPtr& operation, const HandlePtr& handle) {
        // More than was asked for would be an error to the kernel, so the answer is bounded here
        // too.
        handle->read(operation->request(), static_cast<std::uint64_t>(offset),
                     operation->buffer(size),
                     then<std::size_t>(operation, [operation, size](std::size_t got) {
                         operation->data(operation->buffer_text(), std::min(got, size));
                     }));
    });
}

void op_write(fuse_req_t req, fuse_ino_t, const char* bytes, std::size_t size, off_t offset,
              fuse_file_info* info) {
    with_handle(req, info, [&](const OperationPtr& operation, const HandlePtr& handle) {
        operation->session()->uses_request_buffer(operation);
        handle->write(operation->request(), static_cast<std::uint64_t>(offset),
                      std::as_bytes(std::span(bytes, size)), reply_written(operation));
    });
}

void op_release(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
    carry_out(req, false, [&](const OperationPtr& operation) {
        operation->session()->close(info->fh);
        operation->error(0);
    });
}

void op_fsync(fuse_req_t req, fuse_ino_t, int data_only, fuse_file_info* info) {
    with_handle(req, info, [&](const OperationPtr& operation, const HandlePtr& handle) {
        handle->fsync(operation->request(), data_only != 0, reply_done(operation));
    });
}

void op_opendir(fuse_req_t req, fuse_ino_t id, fuse_file_info* info) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->open(operation->request(), info->flags | O_DIRECTORY,
                   then<HandlePtr>(operation, [operation](HandlePtr handle) {
                       operation->opened_directory(std::move(handle));
                   }));
    });
}

// A listing's offsets are the node's own; "." and "..", which nodes leave to us, come first and
// have two at the far end of the range. 0 begins.
constexpr off_t kAfterDot = std::numeric_limits<off_t>::max() - 2;
constexpr off_t kAfterDotDot = std::numeric_limits<off_t>::max() - 1;

class Listing {
  public:
    Listing(OperationPtr operation, std::size_t size, std::uint64_t source)
        : operation_(std::move(operation)), room_(operation_->buffer(size)), source_(source) {}

    // False if there is no room left.
    // `source` 0: the directory's.
    bool add(const std::string& name, mode_t type, std::uint64_t path, off_t next,
             std::uint64_t source = 0) {
        struct stat info {};
        info.st_mode = type;
        info.st_ino = operation_->session()->inode_of(source != 0 ? source : source_, path);
        char* place = reinterpret_cast<char*>(room_.data()) + used_;
        const std::size_t left = room_.size() - used_;
        const std::size_t length =
            ::fuse_add_direntry(operation_->req(), place, left, name.c_str(), &info, next);
        if (length > left) {
            return false;
        }
        used_ += length;
        return true;
    }
    void send() { operation_->data(operation_->buffer_text(), used_); }

  private:
    OperationPtr operation_;
    std::span<std::byte> room_;
    std::uint64_t source_;
    std::size_t used_ = 0;
};

void op_readdir(fuse_req_t req, fuse_ino_t id, std::size_t size, off_t offset,
                fuse_file_info* info) {
    with_handle(req, info, [&](const OperationPtr& operation, const HandlePtr& handle) {
        const NodePtr directory = operation->session()->ids().find(id);
        if (!directory) {
            operation->error(ESTALE);
            return;
        }
        const Identity self = directory->identity();
        auto listing = std::make_shared<Listing>(operation, size, self.source);
        // The number of ".." is the mount's own affair: the kernel shows what it knows.
        if (offset == 0) {
            listing->add(".", S_IFDIR, self.path, kAfterDot);
        }
        if (offset == 0 || offset == kAfterDot) {
            listing->add("..", S_IFDIR, self.path, kAfterDotDot);
        }
        const bool start = offset == 0 || offset == kAfterDot || offset == kAfterDotDot;
        constexpr std::size_t kSmallestEntry = 32;  // fuse_dirent and a name of up to eight bytes
        handle->readdir(
            operation->request(), start ? 0 : static_cast<std::uint64_t>(offset),
            size / kSmallestEntry + 1,
            then<std::vector<DirEntry>>(operation, [listing](const std::vector<DirEntry>& entries) {
                for (const DirEntry& entry : entries) {
                    if (!listing->add(entry.name, entry.type, entry.path,
                                      static_cast<off_t>(entry.next_offset), entry.source)) {
                        break;
                    }
                }
                listing->send();
            }));
    });
}

void op_statfs(fuse_req_t req, fuse_ino_t id) {
    with_node(
        req, id != 0 ? id : NodeIds::kRoot, [](const OperationPtr& operation, const NodePtr& node) {
            node->statfs(
                operation->request(), then<StatFs>(operation, [operation](const StatFs& fs) {
                    struct statvfs info {};
                    info.f_bsize = fs.block_size;
                    info.f_frsize = fs.block_size;
                    info.f_blocks = fs.blocks;
                    info.f_bfree = fs.blocks_free;
                    info.f_bavail = fs.blocks_available;
                    info.f_files = fs.files;
                    info.f_ffree = fs.files_free;
                    info.f_favail = fs.files_free;
                    info.f_fsid = fs.fsid;
                    info.f_namemax = fs.name_max;
                    operation->answer([&](fuse_req_t r) { return ::fuse_reply_statfs(r, &info); });
                }));
        });
}

// xattr(7): size 0 asks how much room is needed; too little room is ERANGE.
void send_xattr(const OperationPtr& operation, const std::string& value, std::size_t size) {
    if (size == 0) {
        operation->answer([&](fuse_req_t req) { return ::fuse_reply_xattr(req, value.size()); });
    } else if (value.size() > size) {
        operation->error(ERANGE);
    } else {
        operation->data(value.data(), value.size());
    }
}

void op_getxattr(fuse_req_t req, fuse_ino_t id, const char* name, std::size_t size) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->getxattr(operation->request(), name,
                       then<std::string>(operation, [operation, size](const std::string& value) {
                           send_xattr(operation, value, size);
                       }));
    });
}

void op_listxattr(fuse_req_t req, fuse_ino_t id, std::size_t size) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->listxattr(operation->request(),
                        then<std::vector<std::string>>(
                            operation, [operation, size](const std::vector<std::string>& names) {
                                std::string list;
                                for (const std::string& name : names) {
                                    list.append(name).push_back('\0');
                                }
                                send_xattr(operation, list, size);
                            }));
    });
}

void op_setxattr(fuse_req_t req, fuse_ino_t id, const char* name, const char* value,
                 std::size_t size, int flags) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->setxattr(operation->request(), name, std::string(value, size), flags,
                       reply_done(operation));
    });
}

void op_removexattr(fuse_req_t req, fuse_ino_t id, const char* name) {
    with_node(req, id, [&](const OperationPtr& operation, const NodePtr& node) {
        node->removexattr(operation->request(), name, reply_done(operation));
    });
}

// Wakes the kernel's poll once; forgotten if the session has ended first.
class PollNotice {
  public:
    PollNotice(fuse_pollhandle* handle, std::weak_ptr<const bool> session)
        : handle_(handle), session_(std::move(session)) {}
    PollNotice(const PollNotice&) = delete;
    PollNotice& operator=(const PollNotice&) = delete;
    ~PollNotice() { ::fuse_pollhandle_destroy(handle_); }

    void send() const {
        if (!session_.expired()) {
            ::fuse_lowlevel_notify_poll(handle_);
        }
    }

  private:
    fuse_pollhandle* handle_;
    std::weak_ptr<const bool> session_;
};

void op_poll(fuse_req_t req, fuse_ino_t, fuse_file_info* info, fuse_pollhandle* poll_handle) {
    with_handle(req, info, [&](const OperationPtr& operation, const HandlePtr& handle) {
        std::function<void()> notify;
        if (poll_handle != nullptr) {
            auto notice = std::make_shared<PollNotice>(std::exchange(poll_handle, nullptr),
                                                       operation->session()->lifetime());
            notify = [notice] { notice->send(); };
        }
        const unsigned ready = handle->poll(std::move(notify));
        operation->answer([ready](fuse_req_t r) { return ::fuse_reply_poll(r, ready); });
    });
    if (poll_handle != nullptr) {
        ::fuse_pollhandle_destroy(poll_handle);  // the handle was not found
    }
}

}  // namespace

const fuse_lowlevel_ops& operations() {
    // Left out, so that the kernel does it or says ENOSYS itself: flush, access
    // (default_permissions), locks, ioctl (a console here is no tty), lseek, fallocate.
    static const fuse_lowlevel_ops table = [] {
        fuse_lowlevel_ops ops{};
        ops.init = op_init;
        ops.lookup = op_lookup;
        ops.forget = op_forget;
        ops.forget_multi = op_forget_multi;
        ops.getattr = op_getattr;
        ops.setattr = op_setattr;
        ops.readlink = op_readlink;
        ops.mknod = op_mknod;
        ops.mkdir = op_mkdir;
        ops.symlink = op_symlink;
        ops.unlink = op_unlink;
        ops.rmdir = op_rmdir;
        ops.rename = op_rename;
        ops.link = op_link;
        ops.open = op_open;
        ops.create = op_create;
        ops.read = op_read;
        ops.write = op_write;
        ops.release = op_release;
        ops.fsync = op_fsync;
        ops.opendir = op_opendir;
        ops.readdir = op_readdir;
        ops.releasedir = op_release;
        ops.fsyncdir = op_fsync;
        ops.statfs = op_statfs;
        ops.getxattr = op_getxattr;
        ops.listxattr = op_listxattr;
        ops.setxattr = op_setxattr;
        ops.removexattr = op_removexattr;
        ops.poll = op_poll;
        return ops;
    }();
    return table;
}

}  // namespace ennead::synthfs::fuse
