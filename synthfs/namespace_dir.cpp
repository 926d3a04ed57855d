// SPDX-License-Identifier: MIT
// What each operation on a directory means where something is bound; elsewhere it is handed on.
#include "synthfs/namespace_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

namespace ennead::synthfs {

// --- what is shown -------------------------------------------------------------------------------

std::vector<NodePtr> NamespaceDir::directories() const {
    std::vector<NodePtr> found;
    if (const auto* const here = place()) {
        for (NamespaceElement& element : Namespace::shown(*here)) {
            found.push_back(std::move(element.root));
        }
    } else {
        found.push_back(inner_);
    }
    return found;
}

NodePtr NamespaceDir::front() const {
    const auto* const here = place();
    if (here == nullptr || here->elements.empty() || here->under_at == 0) {
        return inner_;
    }
    return here->elements.front().root;
}

bool NamespaceDir::is_held(const std::string& name) const {
    const auto* const here = place();
    return here != nullptr && here->below.contains(name);
}

NodePtr NamespaceDir::wrap(NodePtr node) const {
    if (!S_ISDIR(node->type())) {
        return node;
    }
    return std::make_shared<NamespaceDir>(names_, std::move(node));
}

Reply<NodePtr> NamespaceDir::wrapping(Reply<NodePtr> reply) const {
    return [self = std::static_pointer_cast<const NamespaceDir>(shared_from_this()),
            reply = std::move(reply)](Result<NodePtr> node) {
        if (node) {
            reply(self->wrap(std::move(node.value())));
        } else {
            reply(node.error());
        }
    };
}

void NamespaceDir::walk(RequestPtr request, std::string name, Reply<NodePtr> reply) {
    const auto* const here = place();
    const bool held = here != nullptr && here->below.contains(name);
    if (!held && (here == nullptr || here->elements.size() + (here->under_at ? 1 : 0) <= 1)) {
        // The usual root: one tree.
        front()->walk(std::move(request), std::move(name), wrapping(std::move(reply)));
        return;
    }
    if (!held) {
        find_in_union(directories(), std::move(request), std::move(name),
                      [self = self(), reply = std::move(reply)](Result<FoundIn> found) {
                          if (found) {
                              reply(self->wrap(std::move(found.value().node)));
                          } else {
                              reply(found.error());
                          }
                      });
        return;
    }
    // The directory under that place may have come, gone or become another since.
    find_in_union(
        directories(), std::move(request), name,
        [self = self(), name, reply = std::move(reply)](Result<FoundIn> found) {
            auto* const here = self->place();
            if (here == nullptr || !here->below.contains(name)) {
                // Unbound meanwhile.
                found ? reply(self->wrap(std::move(found.value().node))) : reply(found.error());
                return;
            }
            Namespace::Place& held = *here->below.at(name);
            const bool directory = found && S_ISDIR(found.value().node->type());
            self->names_->put_under(held, directory ? std::move(found.value().node) : NodePtr());
            reply(NodePtr(std::make_shared<NamespaceDir>(self->names_, held.under)));
        });
}

void NamespaceDir::getattr(RequestPtr request, Reply<Attr> reply) {
    const NodePtr shown = front();
    if (shown == inner_) {
        inner_->getattr(std::move(request), std::move(reply));
        return;
    }
    shown->getattr(std::move(request),
                   [self = self(), reply = std::move(reply)](Result<Attr> attr) {
                       if (attr) {
                           const Identity known = self->identity();
                           attr.value().identity.source = known.source;
                           attr.value().identity.path = known.path;
                       }
                       reply(std::move(attr));
                   });
}

void NamespaceDir::setattr(RequestPtr request, SetAttr change, Reply<> reply) {
    front()->setattr(std::move(request), change, std::move(reply));
}

void NamespaceDir::statfs(RequestPtr request, Reply<StatFs> reply) {
    front()->statfs(std::move(request), std::move(reply));
}

void NamespaceDir::getxattr(RequestPtr request, std::string name, Reply<std::string> reply) {
    front()->getxattr(std::move(request), std::move(name), std::move(reply));
}

void NamespaceDir::listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) {
    front()->listxattr(std::move(request), std::move(reply));
}

void NamespaceDir::setxattr(RequestPtr request, std::string name, std::string value, int flags,
                            Reply<> reply) {
    front()->setxattr(std::move(request), std::move(name), std::move(value), flags,
                      std::move(reply));
}

void NamespaceDir::removexattr(RequestPtr request, std::string name, Reply<> reply) {
    front()->removexattr(std::move(request), std::move(name), std::move(reply));
}

// --- making ------------------------------------------------------------------------------------

void NamespaceDir::with_creator(RequestPtr request, const std::string& name,
                                std::function<void(NodePtr)> make,
                                std::function<void(std::error_code)> refuse) {
    if (is_held(name)) {
        refuse(error(EEXIST));
        return;
    }
    find_in_union(
        directories(), std::move(request), name,
        [self = self(), make = std::move(make), refuse = std::move(refuse)](Result<FoundIn> found) {
            if (found || found.error() != error(ENOENT)) {
                refuse(found ? error(EEXIST) : found.error());
                return;
            }
            const auto* const here = self->place();
            if (here == nullptr) {
                make(self->inner_);
                return;
            }
            for (NamespaceElement& element : Namespace::shown(*here)) {
                if (element.create) {
                    make(std::move(element.root));
                    return;
                }
            }
            refuse(error(EPERM));
        });
}

void NamespaceDir::create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                          Reply<Created> reply) {
    if (place() == nullptr) {
        inner_->create(std::move(request), std::move(name), flags, mode, gid, std::move(reply));
        return;
    }
    const auto open_there = [request, flags, reply](const NodePtr& node) {
        node->open(request, flags, [node, reply](Result<HandlePtr> handle) {
            if (handle) {
                reply(Created{node, std::move(handle.value())});
            } else {
                reply(handle.error());
            }
        });
    };
    with_creator(
        request, name,
        [request, name, flags, mode, gid, reply](const NodePtr& member) {
            member->create(request, name, flags, mode, gid, reply);
        },
        [self = self(), request, name, flags, reply, open_there](std::error_code why) {
            if (why != error(EEXIST) || (flags & O_EXCL) != 0) {
                reply(why);
                return;
            }
            self->walk(request, name, [reply, open_there](Result<NodePtr> node) {
                if (node) {
                    open_there(node.value());
                } else {
                    reply(node.error());
                }
            });
        });
}

void NamespaceDir::mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
                         Reply<NodePtr> reply) {
    if (place() == nullptr) {
        inner_->mkdir(std::move(request), std::move(name), mode, gid, wrapping(std::move(reply)));
        return;
    }
    with_creator(
        request, name,
        [self = self(), request, name, mode, gid, reply](const NodePtr& member) {
            member->mkdir(request, name, mode, gid, self->wrapping(reply));
        },
        reply);
}

void NamespaceDir::symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                           Reply<NodePtr> reply) {
    if (place() == nullptr) {
        inner_->symlink(std::move(request), std::move(name), std::move(target), gid,
                        std::move(reply));
        return;
    }
    with_creator(
        request, name,
        [request, name, target, gid, reply](const NodePtr& member) {
            member->symlink(request, name, target, gid, reply);
        },
        reply);
}

void NamespaceDir::mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
                         gid_t gid, Reply<NodePtr> reply) {
    if (place() == nullptr) {
        inner_->mknod(std::move(request), std::move(name), mode, rdev, gid, std::move(reply));
        return;
    }
    with_creator(
        request, name,
        [request, name, mode, rdev, gid, reply](const NodePtr& member) {
            member->mknod(request, name, mode, rdev, gid, reply);
        },
        reply);
}

void NamespaceDir::link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) {
    if (S_ISDIR(target->type())) {
        reply(error(EPERM));
        return;
    }
    if (place() == nullptr) {
        inner_->link(std::move(request), std::move(name), std::move(target), std::move(reply));
        return;
    }
    with_creator(
        request, name,
        [request, name, target, reply](const NodePtr& member) {
            member->link(request, name, target, reply);
        },
        reply);
}

// --- removing and renaming -----------------------------------------------------------------------

void NamespaceDir::unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) {
    if (is_held(name)) {
        reply(error(EBUSY));
        return;
    }
    if (place() == nullptr) {
        inner_->unlink(std::move(request), std::move(name), directory, std::move(reply));
        return;
    }
    auto members = directories();
    find_in_union(members, request, name,
                  [request, name, directory, members, reply](Result<FoundIn> found) {
                      if (found) {
                          members[found.value().index]->unlink(request, name, directory, reply);
                      } else {
                          reply(found.error());
                      }
                  });
}

void NamespaceDir::rename(RequestPtr request, std::string name, NodePtr new_parent,
                          std::string new_name, Reply<> reply) {
    auto to = std::dynamic_pointer_cast<NamespaceDir>(new_parent);
    if (!to || to->names_ != names_) {
        reply(error(EXDEV));
        return;
    }
    if (is_held(name) || to->is_held(new_name)) {
        reply(error(EBUSY));
        return;
    }
    if (place() == nullptr && to->place() == nullptr) {
        inner_->rename(std::move(request), std::move(name), to->inner_, std::move(new_name),
                       std::move(reply));
        return;
    }
    auto members = directories();
    find_in_union(members, request, name,
                  [self = self(), request, name, to = std::move(to), new_name = std::move(new_name),
                   members, reply = std::move(reply)](Result<FoundIn> found) {
                      if (found) {
                          self->rename_into(request, members[found.value().index], name, to,
                                            new_name, reply);
                      } else {
                          reply(found.error());
                      }
                  });
}

void NamespaceDir::rename_into(RequestPtr request, NodePtr from, std::string name,
                               std::shared_ptr<NamespaceDir> to, std::string new_name,
                               Reply<> reply) {
    const bool same_directory = to->inner_ == inner_;
    auto members = to->directories();
    find_in_union(
        members, request, new_name,
        [request, from, name, to, new_name, members, same_directory, reply](Result<FoundIn> found) {
            if (found) {
                // What is replaced must lie in the same member.
                from->rename(request, name, members[found.value().index], new_name, reply);
            } else if (found.error() != error(ENOENT)) {
                reply(found.error());
            } else if (same_directory) {
                from->rename(request, name, from, new_name, reply);
            } else {
                to->with_creator(
                    request, new_name,
                    [request, from, name, new_name, reply](NodePtr member) {
                        from->rename(request, name, std::move(member), new_name, reply);
                    },
                    reply);
            }
        });
}

// --- listing -------------------------------------------------------------------------------------

void NamespaceDir::open(RequestPtr request, int flags, Reply<HandlePtr> reply) {
    if (place() == nullptr) {
        inner_->open(std::move(request), flags, std::move(reply));
        return;
    }
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) {
        reply(error(EISDIR));
        return;
    }
    reply(HandlePtr(std::make_shared<NamespaceDirHandle>(names_, inner_)));
}

}  // namespace ennead::synthfs
