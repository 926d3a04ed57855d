// SPDX-License-Identifier: MIT
// What wrappers of a node have in common: all that they do not change goes on to the node inside.
// But not revoke(): others may look at the same tree without the wrapper.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "synthfs/node.h"

namespace ennead::synthfs {

// Nodes that come back (from walk, create, …) come bare: a wrapper that is to hold for what is
// below it overrides those, and link() and rename(), to which wrapped nodes are given.
class ForwardingNode : public Node {
  public:
    explicit ForwardingNode(NodePtr inner) : inner_(std::move(inner)) {}

    Identity identity() const override { return inner_->identity(); }
    mode_t type() const override { return inner_->type(); }
    bool is_stream() const override { return inner_->is_stream(); }
    bool reading_makes() const override { return inner_->reading_makes(); }

    void getattr(RequestPtr request, Reply<Attr> reply) override {
        inner_->getattr(std::move(request), std::move(reply));
    }
    void setattr(RequestPtr request, SetAttr change, Reply<> reply) override {
        inner_->setattr(std::move(request), change, std::move(reply));
    }
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override {
        inner_->open(std::move(request), flags, std::move(reply));
    }
    void readlink(RequestPtr request, Reply<std::string> reply) override {
        inner_->readlink(std::move(request), std::move(reply));
    }
    void statfs(RequestPtr request, Reply<StatFs> reply) override {
        inner_->statfs(std::move(request), std::move(reply));
    }
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override {
        inner_->walk(std::move(request), std::move(name), std::move(reply));
    }
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override {
        inner_->create(std::move(request), std::move(name), flags, mode, gid, std::move(reply));
    }
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override {
        inner_->mkdir(std::move(request), std::move(name), mode, gid, std::move(reply));
    }
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override {
        inner_->symlink(std::move(request), std::move(name), std::move(target), gid,
                        std::move(reply));
    }
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override {
        inner_->mknod(std::move(request), std::move(name), mode, rdev, gid, std::move(reply));
    }
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override {
        inner_->link(std::move(request), std::move(name), std::move(target), std::move(reply));
    }
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override {
        inner_->unlink(std::move(request), std::move(name), directory, std::move(reply));
    }
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override {
        inner_->rename(std::move(request), std::move(name), std::move(new_parent),
                       std::move(new_name), std::move(reply));
    }
    void getxattr(RequestPtr request, std::string name, Reply<std::string> reply) override {
        inner_->getxattr(std::move(request), std::move(name), std::move(reply));
    }
    void listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) override {
        inner_->listxattr(std::move(request), std::move(reply));
    }
    void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                  Reply<> reply) override {
        inner_->setxattr(std::move(request), std::move(name), std::move(value), flags,
                         std::move(reply));
    }
    void removexattr(RequestPtr request, std::string name, Reply<> reply) override {
        inner_->removexattr(std::move(request), std::move(name), std::move(reply));
    }

  protected:
    // `reply` gets what `wrap` makes of the node that comes.
    template <class Wrap>
    [[nodiscard]] static Reply<NodePtr> wrapping(Reply<NodePtr> reply, Wrap wrap) {
        return [reply = std::move(reply), wrap = std::move(wrap)](Result<NodePtr> node) {
            if (node) {
                reply(wrap(std::move(node.value())));
            } else {
                reply(node.error());
            }
        };
    }

    const NodePtr inner_;
};

}  // namespace ennead::synthfs
