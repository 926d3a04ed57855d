// SPDX-License-Identifier: MIT
// Changes owners on the way out and back on the way in.
#include "synthfs/shown_as.h"

#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <utility>

#include "synthfs/forwarding_node.h"

namespace ennead::synthfs {

namespace {

class ShownNode final : public ForwardingNode {
  public:
    using Owner = std::shared_ptr<const ShownAs>;

    ShownNode(NodePtr inner, Owner owner, bool top)
        : ForwardingNode(std::move(inner)), owner_(std::move(owner)) {
        if (top) {
            last_ = std::make_shared<Attr>();
            last_->identity = inner_->identity();
            last_->nlink = 2;
            clock_gettime(CLOCK_REALTIME, &last_->mtime);
            last_->atime = last_->ctime = last_->mtime;
        }
    }

    void getattr(RequestPtr request, Reply<Attr> reply) override {
        inner_->getattr(std::move(request), [owner = owner_, last = last_,
                                             reply = std::move(reply)](Result<Attr> attr) {
            if (!attr && last && attr.error() == error(ETIMEDOUT)) {
                attr = *last;
            }
            if (attr) {
                Attr& shown = attr.value();
                shown.uid = last || shown.uid == 0 ? owner->uid : shown.uid;
                shown.gid = last || shown.gid == 0 ? owner->gid : shown.gid;
                shown.mode = last ? S_IFDIR | owner->mode : shown.mode;
                if (last) {
                    *last = shown;
                }
            }
            reply(std::move(attr));
        });
    }
    void setattr(RequestPtr request, SetAttr change, Reply<> reply) override {
        if (last_ && (change.mode || change.uid || change.gid)) {
            reply(error(EPERM));
            return;
        }
        if (change.uid == owner_->uid) {
            change.uid = 0;
        }
        if (change.gid) {
            change.gid = meant(*change.gid);
        }
        inner_->setattr(std::move(request), change, std::move(reply));
    }

    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override {
        inner_->walk(std::move(request), std::move(name), shown(std::move(reply)));
    }
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override {
        inner_->create(std::move(request), std::move(name), flags, mode, meant(gid),
                       [owner = owner_, reply = std::move(reply)](Result<Created> made) {
                           if (made) {
                               made.value().node = wrap(std::move(made.value().node), owner);
                           }
                           reply(std::move(made));
                       });
    }
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override {
        inner_->mkdir(std::move(request), std::move(name), mode, meant(gid),
                      shown(std::move(reply)));
    }
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override {
        inner_->symlink(std::move(request), std::move(name), std::move(target), meant(gid),
                        shown(std::move(reply)));
    }
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override {
        inner_->mknod(std::move(request), std::move(name), mode, rdev, meant(gid),
                      shown(std::move(reply)));
    }
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override {
        if (const ShownNode* other = neighbour(target)) {
            inner_->link(std::move(request), std::move(name), other->inner_, std::move(reply));
        } else {
            reply(error(EXDEV));
        }
    }
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override {
        if (const ShownNode* other = neighbour(new_parent)) {
            inner_->rename(std::move(request), std::move(name), other->inner_, std::move(new_name),
                           std::move(reply));
        } else {
            reply(error(EXDEV));
        }
    }

    void revoke() override { inner_->revoke(); }

  private:
    static NodePtr wrap(NodePtr inner, const Owner& owner) {
        return std::make_shared<ShownNode>(std::move(inner), owner, false);
    }
    [[nodiscard]] Reply<NodePtr> shown(Reply<NodePtr> reply) const {
        return wrapping(std::move(reply),
                        [owner = owner_](NodePtr node) { return wrap(std::move(node), owner); });
    }
    [[nodiscard]] gid_t meant(gid_t gid) const { return gid == owner_->gid ? 0 : gid; }
    // Null if it is of another tree.
    [[nodiscard]] const ShownNode* neighbour(const NodePtr& node) const {
        const auto* other = dynamic_cast<const ShownNode*>(node.get());
        return other != nullptr && other->owner_ == owner_ ? other : nullptr;
    }

    const Owner owner_;
    std::shared_ptr<Attr> last_;  // of the directory at the top: what it was last; else null
};

}  // namespace

NodePtr make_shown_as(NodePtr tree, ShownAs owner) {
    return std::make_shared<ShownNode>(std::move(tree), std::make_shared<const ShownAs>(owner),
                                       true);
}

}  // namespace ennead::synthfs
