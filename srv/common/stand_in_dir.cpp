// SPDX-License-Identifier: MIT
// Hands each operation on to the directory that it stands for.
#include "srv/common/stand_in_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <utility>

namespace ennead::srv {
namespace {

using synthfs::HandlePtr;
using synthfs::Node;
using synthfs::NodePtr;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;

class EmptyListing final : public synthfs::Handle {
    void readdir(RequestPtr, std::uint64_t, std::size_t,
                 Reply<std::vector<synthfs::DirEntry>> reply) override {
        reply(std::vector<synthfs::DirEntry>());
    }
};

class StandInDir final : public Node {
  public:
    explicit StandInDir(StandIn options) : options_(std::move(options)) {
        clock_gettime(CLOCK_REALTIME, &since_);
    }

    synthfs::Identity identity() const override { return {source_, 1, 0}; }
    mode_t type() const override { return S_IFDIR; }
    void revoke() override {
        if (options_.revoke) {
            options_.revoke();
        }
    }

    // A directory that can be looked at, whatever has become of what is in it.
    void getattr(RequestPtr request, Reply<synthfs::Attr> reply) override {
        const auto self = std::static_pointer_cast<StandInDir>(shared_from_this());
        options_.find(request, [self, request, reply = std::move(reply)](Result<NodePtr> found) {
            if (!found) {
                reply(self->own_attr());
                return;
            }
            found.value()->getattr(request, [self, reply](Result<synthfs::Attr> attr) {
                if (attr) {
                    attr.value().identity = self->identity();
                }
                reply(std::move(attr));
            });
        });
    }
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override {
        const auto self = std::static_pointer_cast<StandInDir>(shared_from_this());
        enter(request, [self, request, flags, reply](Result<NodePtr> found) {
            if (found) {
                found.value()->open(request, flags, reply);
            } else if (self->is_passed_over() && (flags & O_ACCMODE) == O_RDONLY) {
                reply(HandlePtr(std::make_shared<EmptyListing>()));
            } else {
                reply(found.error());
            }
        });
    }
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override {
        const auto self = std::static_pointer_cast<StandInDir>(shared_from_this());
        enter(request, [self, request, name, reply](Result<NodePtr> found) {
            if (found) {
                found.value()->walk(request, name, reply);
            } else {
                reply(self->is_passed_over() ? synthfs::error(ENOENT) : found.error());
            }
        });
    }
    void setattr(RequestPtr request, synthfs::SetAttr change, Reply<> reply) override {
        with(request, reply, [=](Node& node) { node.setattr(request, change, reply); });
    }
    void statfs(RequestPtr request, Reply<synthfs::StatFs> reply) override {
        with(request, reply, [=](Node& node) { node.statfs(request, reply); });
    }
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<synthfs::Created> reply) override {
        with(request, reply,
             [=](Node& node) { node.create(request, name, flags, mode, gid, reply); });
    }
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override {
        with(request, reply, [=](Node& node) { node.mkdir(request, name, mode, gid, reply); });
    }
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override {
        with(request, reply, [=](Node& node) { node.symlink(request, name, target, gid, reply); });
    }
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override {
        with(request, reply,
             [=](Node& node) { node.mknod(request, name, mode, rdev, gid, reply); });
    }
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override {
        with(request, reply, [=](Node& node) { node.link(request, name, target, reply); });
    }
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override {
        with(request, reply, [=](Node& node) { node.unlink(request, name, directory, reply); });
    }
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override {
        const auto other = std::dynamic_pointer_cast<StandInDir>(new_parent);
        const auto from = std::static_pointer_cast<StandInDir>(shared_from_this());
        if (!other || other == from) {
            with(request, reply, [=, same = other == from](Node& node) {
                node.rename(request, name, same ? node.shared_from_this() : new_parent, new_name,
                            reply);
            });
            return;
        }
        other->options_.find(request, [=](Result<NodePtr> to) {
            if (!to) {
                reply(to.error());
                return;
            }
            from->with(request, reply, [=, to = std::move(to.value())](Node& node) {
                node.rename(request, name, to, new_name, reply);
            });
        });
    }
    void getxattr(RequestPtr request, std::string name, Reply<std::string> reply) override {
        with(request, reply, [=](Node& node) { node.getxattr(request, name, reply); });
    }
    void listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) override {
        with(request, reply, [=](Node& node) { node.listxattr(request, reply); });
    }
    void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                  Reply<> reply) override {
        with(request, reply,
             [=](Node& node) { node.setxattr(request, name, value, flags, reply); });
    }
    void removexattr(RequestPtr request, std::string name, Reply<> reply) override {
        with(request, reply, [=](Node& node) { node.removexattr(request, name, reply); });
    }

  private:
    void enter(const RequestPtr& request, Reply<NodePtr> reply) const {
        (options_.enter ? options_.enter : options_.find)(request, std::move(reply));
    }
    [[nodiscard]] bool is_passed_over() const {
        return options_.passed_over && options_.passed_over();
    }
    [[nodiscard]] synthfs::Attr own_attr() const {
        synthfs::Attr attr;
        attr.mode = S_IFDIR | 0555;
        attr.uid = options_.uid;
        attr.gid = options_.gid;
        attr.nlink = 2;
        attr.atime = attr.mtime = attr.ctime = since_;
        attr.identity = identity();
        return attr;
    }
    // Hands the directory to `then`, or to `reply` why there is none.
    template <class T, class Then>
    void with(const RequestPtr& request, const Reply<T>& reply, Then then) {
        options_.find(request, [reply, then = std::move(then)](Result<NodePtr> found) mutable {
            if (found) {
                then(*found.value());
            } else {
                reply(found.error());
            }
        });
    }

    const StandIn options_;
    const std::uint64_t source_ = synthfs::next_source();
    std::timespec since_{};
};

}  // namespace

NodePtr make_stand_in(StandIn options) {
    return std::make_shared<StandInDir>(std::move(options));
}

}  // namespace ennead::srv
