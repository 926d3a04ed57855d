// SPDX-License-Identifier: MIT
// Each operation with what Linux asks for before it.
#include "synthfs/guarded.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "synthfs/forwarding_node.h"

namespace ennead::synthfs {

namespace {

enum Want : unsigned { kSearch = 1, kWrite = 2, kRead = 4, kChange = kWrite | kSearch };

using Options = std::shared_ptr<const GuardOptions>;

bool in_group(const GuardOptions& options, const Caller& caller, gid_t gid) {
    return caller.gid == gid || (caller.uid == options.uid &&
                                 std::ranges::find(options.groups, gid) != options.groups.end());
}

bool allows(const GuardOptions& options, const Caller& caller, const Attr& attr, unsigned want) {
    if (caller.uid == 0) {
        // capabilities(7), CAP_DAC_OVERRIDE: all but executing what nobody may execute.
        return (want & kSearch) == 0 || S_ISDIR(attr.mode) || (attr.mode & 0111) != 0;
    }
    const unsigned shift = caller.uid == attr.uid ? 6 : in_group(options, caller, attr.gid) ? 3 : 0;
    return (attr.mode >> shift & want) == want;
}

bool owns(const Caller& caller, const Attr& attr) {
    return caller.uid == 0 || caller.uid == attr.uid;
}

unsigned wanted_by(int flags) {
    const int access = flags & O_ACCMODE;
    return (access != O_WRONLY ? unsigned{kRead} : 0) |
           (access != O_RDONLY || (flags & O_TRUNC) != 0 ? unsigned{kWrite} : 0);
}

class GuardedNode final : public ForwardingNode {
  public:
    GuardedNode(NodePtr inner, Options options)
        : ForwardingNode(std::move(inner)), options_(std::move(options)) {}

    void setattr(RequestPtr request, SetAttr change, Reply<> reply) override;
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override {
        allowed(request, wanted_by(flags), reply,
                [inner = inner_, request, flags, reply] { inner->open(request, flags, reply); });
    }
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override {
        allowed(request, kSearch, reply, [self = self(), request, name, reply] {
            self->inner_->walk(request, name, self->guarding(reply));
        });
    }
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override;
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override {
        allowed(request, kChange, reply, [self = self(), request, name, mode, gid, reply] {
            self->inner_->mkdir(request, name, mode, gid, self->guarding(reply));
        });
    }
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override {
        allowed(request, kChange, reply, [self = self(), request, name, target, gid, reply] {
            self->inner_->symlink(request, name, target, gid, self->guarding(reply));
        });
    }
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override {
        if ((S_ISCHR(mode) || S_ISBLK(mode)) && request->caller().uid != 0) {
            reply(error(EPERM));  // mknod(2)
            return;
        }
        allowed(request, kChange, reply, [self = self(), request, name, mode, rdev, gid, reply] {
            self->inner_->mknod(request, name, mode, rdev, gid, self->guarding(reply));
        });
    }
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override {
        allowed(request, kChange, reply,
                [inner = inner_, request, name, target = bare(target), reply] {
                    inner->link(request, name, target, reply);
                });
    }
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override {
        removable(request, name, reply, [inner = inner_, request, name, directory, reply] {
            inner->unlink(request, name, directory, reply);
        });
    }
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override {
        const auto to = std::dynamic_pointer_cast<GuardedNode>(new_parent);
        if (!to) {
            reply(error(EXDEV));
            return;
        }
        removable(request, name, reply, [self = self(), to, request, name, new_name, reply] {
            to->removable(request, new_name, reply, [self, to, request, name, new_name, reply] {
                self->inner_->rename(request, name, to->inner_, new_name, reply);
            });
        });
    }
    void getxattr(RequestPtr request, std::string name, Reply<std::string> reply) override {
        allowed(request, kRead, reply,
                [inner = inner_, request, name, reply] { inner->getxattr(request, name, reply); });
    }
    void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                  Reply<> reply) override {
        xattr_allowed(request, name, reply, [inner = inner_, request, name, value, flags, reply] {
            inner->setxattr(request, name, value, flags, reply);
        });
    }
    void removexattr(RequestPtr request, std::string name, Reply<> reply) override {
        xattr_allowed(request, name, reply, [inner = inner_, request, name, reply] {
            inner->removexattr(request, name, reply);
        });
    }

  private:
    std::shared_ptr<GuardedNode> self() {
        return std::static_pointer_cast<GuardedNode>(shared_from_this());
    }
    static NodePtr bare(const NodePtr& node) {
        const auto guarded = std::dynamic_pointer_cast<GuardedNode>(node);
        return guarded ? guarded->inner_ : node;
    }
    Reply<NodePtr> guarding(Reply<NodePtr> reply) const {
        return wrapping(std::move(reply), [options = options_](NodePtr node) {
            return NodePtr(std::make_shared<GuardedNode>(std::move(node), options));
        });
    }

    // Hands the attributes to `then`; their failure to `reply`.
    template <class T, class Then>
    void with_attr(const RequestPtr& request, const Reply<T>& reply, Then then) {
        inner_->getattr(request, [reply, then = std::move(then)](Result<Attr> attr) {
            if (attr) {
                then(attr.value());
            } else {
                reply(attr.error());
            }
        });
    }
    // Goes on to `then` if the caller may do all of `want`; EACCES otherwise.
    template <class T, class Then>
    void allowed(const RequestPtr& request, unsigned want, const Reply<T>& reply, Then then) {
        with_attr(
            request, reply,
            [options = options_, request, want, reply, then = std::move(then)](const Attr& attr) {
                if (allows(*options, request->caller(), attr, want)) {
                    then();
                } else {
                    reply(error(EACCES));
                }
            });
    }
    // The caller may take the name away from this directory, where there is such a file.
    template <class Then>
    void removable(const RequestPtr& request, const std::string& name, const Reply<>& reply,
                   Then then) {
        with_attr(request, reply,
                  [self = self(), request, name, reply, then = std::move(then)](const Attr& attr) {
                      const Caller& caller = request->caller();
                      if (!allows(*self->options_, caller, attr, kChange)) {
                          reply(error(EACCES));
                      } else if ((attr.mode & S_ISVTX) == 0 || owns(caller, attr)) {
                          then();
                      } else {
                          self->check_sticky(request, name, reply, then);
                      }
                  });
    }
    // unlink(2): in a sticky directory only what is one's own.
    void check_sticky(const RequestPtr& request, const std::string& name, const Reply<>& reply,
                      std::function<void()> then) {
        inner_->walk(request, name, [request, reply, then](Result<NodePtr> node) {
            if (!node) {
                then();  // which tells what is wrong with the name
                return;
            }
            node.value()->getattr(request, [request, reply, then](Result<Attr> attr) {
                if (!attr) {
                    reply(attr.error());
                } else if (owns(request->caller(), attr.value())) {
                    then();
                } else {
                    reply(error(EPERM));
                }
            });
        });
    }
    // xattr(7): user attributes by the mode bits, all others are root's.
    template <class Then>
    void xattr_allowed(const RequestPtr& request, const std::string& name, const Reply<>& reply,
                       Then then) {
        if (!name.starts_with("user.") && request->caller().uid != 0) {
            reply(error(EPERM));
        } else {
            allowed(request, kWrite, reply, std::move(then));
        }
    }

    const Options options_;
};

// chmod(2), chown(2), truncate(2), utimensat(2).
void GuardedNode::setattr(RequestPtr request, SetAttr change, Reply<> reply) {
    with_attr(request, reply, [self = self(), request, change, reply](const Attr& attr) {
        const GuardOptions& options = *self->options_;
        const Caller& caller = request->caller();
        const bool owner = owns(caller, attr), root = caller.uid == 0;
        const auto to_value = [](const std::optional<SetTime>& time) { return time && !time->now; };
        if ((change.mode && !owner) || (change.uid && !root && *change.uid != attr.uid) ||
            (change.uid && !owner) ||
            (change.gid && !root && (!owner || !in_group(options, caller, *change.gid))) ||
            ((to_value(change.atime) || to_value(change.mtime)) && !owner)) {
            reply(error(EPERM));
            return;
        }
        if ((change.size || ((change.atime || change.mtime) && !owner)) &&
            !allows(options, caller, attr, kWrite)) {
            reply(error(EACCES));
            return;
        }
        SetAttr granted = change;
        if (granted.mode && !root && !in_group(options, caller, attr.gid)) {
            *granted.mode &= ~mode_t{S_ISGID};
        }
        self->inner_->setattr(request, granted, reply);
    });
}

// What is there is opened by its own mode; what is not, made by the directory's.
void GuardedNode::create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                         Reply<Created> reply) {
    walk(request, name,
         [self = self(), request, name, flags, mode, gid, reply](Result<NodePtr> found) {
             if (found && (flags & O_EXCL) != 0) {
                 reply(error(EEXIST));
             } else if (found) {
                 const NodePtr node = std::move(found.value());
                 node->open(request, flags & ~O_CREAT, [node, reply](Result<HandlePtr> handle) {
                     if (handle) {
                         reply(Created{node, std::move(handle.value())});
                     } else {
                         reply(handle.error());
                     }
                 });
             } else if (found.error() != error(ENOENT)) {
                 reply(found.error());
             } else {
                 self->allowed(request, kChange, reply,
                               [self, request, name, flags, mode, gid, reply] {
                                   // If somebody else makes it meanwhile, its mode has not been
                                   // looked at.
                                   self->inner_->create(
                                       request, name, flags | O_CREAT | O_EXCL, mode, gid,
                                       [options = self->options_, reply](Result<Created> made) {
                                           if (made) {
                                               made.value().node = std::make_shared<GuardedNode>(
                                                   std::move(made.value().node), options);
                                           }
                                           reply(std::move(made));
                                       });
                               });
             }
         });
}

}  // namespace

NodePtr make_guarded(NodePtr tree, GuardOptions options) {
    return std::make_shared<GuardedNode>(std::move(tree),
                                         std::make_shared<const GuardOptions>(std::move(options)));
}

}  // namespace ennead::synthfs
