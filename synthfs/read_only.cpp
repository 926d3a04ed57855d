// SPDX-License-Identifier: MIT
// Another tree, to be looked at only.
#include "synthfs/read_only.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "synthfs/forwarding_node.h"

namespace ennead::synthfs {

namespace {

class ReadOnlyNode final : public ForwardingNode {
  public:
    using ForwardingNode::ForwardingNode;

    bool reading_makes() const override { return false; }
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override {
        if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0 || inner_->reading_makes()) {
            reply(error(S_ISDIR(type()) ? EISDIR : EROFS));
            return;
        }
        inner_->open(std::move(request), flags, std::move(reply));
    }
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override {
        inner_->walk(std::move(request), std::move(name),
                     wrapping(std::move(reply), &make_read_only));
    }

    void setattr(RequestPtr, SetAttr, Reply<> reply) override { reply(error(EROFS)); }
    // What is there is opened, as open(2) does without O_EXCL.
    void create(RequestPtr request, std::string name, int flags, mode_t, gid_t,
                Reply<Created> reply) override {
        walk(request, std::move(name),
             [request, flags, reply = std::move(reply)](Result<NodePtr> node) {
                 if (!node || (flags & O_EXCL) != 0) {
                     reply(node                            ? error(EEXIST)
                           : node.error() == error(ENOENT) ? error(EROFS)
                                                           : node.error());
                     return;
                 }
                 const NodePtr found = std::move(node.value());
                 found->open(request, flags, [found, reply](Result<HandlePtr> handle) {
                     if (handle) {
                         reply(Created{found, std::move(handle.value())});
                     } else {
                         reply(handle.error());
                     }
                 });
             });
    }
    void mkdir(RequestPtr request, std::string name, mode_t, gid_t, Reply<NodePtr> reply) override {
        refuse_new(std::move(request), std::move(name), std::move(reply));
    }
    void symlink(RequestPtr request, std::string name, std::string, gid_t,
                 Reply<NodePtr> reply) override {
        refuse_new(std::move(request), std::move(name), std::move(reply));
    }
    void mknod(RequestPtr request, std::string name, mode_t, std::uint64_t, gid_t,
               Reply<NodePtr> reply) override {
        refuse_new(std::move(request), std::move(name), std::move(reply));
    }
    void link(RequestPtr, std::string, NodePtr, Reply<> reply) override { reply(error(EROFS)); }
    void unlink(RequestPtr, std::string, bool, Reply<> reply) override { reply(error(EROFS)); }
    void rename(RequestPtr, std::string, NodePtr, std::string, Reply<> reply) override {
        reply(error(EROFS));
    }
    void setxattr(RequestPtr, std::string, std::string, int, Reply<> reply) override {
        reply(error(EROFS));
    }
    void removexattr(RequestPtr, std::string, Reply<> reply) override { reply(error(EROFS)); }

  private:
    void refuse_new(RequestPtr request, std::string name, Reply<NodePtr> reply) {
        inner_->walk(std::move(request), std::move(name),
                     [reply = std::move(reply)](Result<NodePtr> node) {
                         reply(node                            ? error(EEXIST)
                               : node.error() == error(ENOENT) ? error(EROFS)
                                                               : node.error());
                     });
    }
};

}  // namespace

NodePtr make_read_only(NodePtr tree) {
    return std::make_shared<ReadOnlyNode>(std::move(tree));
}

}  // namespace ennead::synthfs
