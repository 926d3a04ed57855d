// SPDX-License-Identifier: MIT
// Attaches to the server's end, and stands for what is there.
#include "srv/ennead-vm/tree_source.h"

#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <memory>
#include <vector>

#include "p9/stream.h"
#include "srv/common/stand_in_dir.h"

namespace ennead::srv {
namespace {

using synthfs::NodePtr;
using synthfs::Reply;
using synthfs::Result;

class TreeSource : public std::enable_shared_from_this<TreeSource> {
  public:
    void connect(boost::asio::io_context& io, Fd socket) {
        p9::ClientOptions options;
        options.lost_errno = ESTALE;
        options.on_end = [weak = weak_from_this()](std::string_view) {
            if (const auto self = weak.lock()) {
                self->settle(synthfs::error(ESTALE));
            }
        };
        try {
            connection_ = p9::ClientConnection::start(
                p9::adopt_socket(io, socket.release()), std::move(options),
                [weak = weak_from_this()](Result<NodePtr> root) {
                    if (const auto self = weak.lock()) {
                        self->attached(std::move(root));
                    }
                });
        } catch (const boost::system::system_error&) {
            settle(synthfs::error(EIO));
        }
    }
    void find(const Reply<NodePtr>& reply) {
        if (known_) {
            reply(root_);
        } else {
            waiting_.push_back(reply);
        }
    }
    void revoke() {
        settle(synthfs::error(ESTALE));
        // Answers what is pending.
        connection_ = nullptr;
    }

  private:
    void attached(Result<NodePtr> root) {
        if (connection_ && connection_->client() != nullptr) {
            connection_->client()->map_owner(
                {.remote_uid = geteuid(), .local_uid = 0, .remote_gid = getegid(), .local_gid = 0});
        }
        settle(std::move(root));
    }
    void settle(Result<NodePtr> root) {
        root_ = std::move(root);
        known_ = true;
        for (const Reply<NodePtr>& reply : std::exchange(waiting_, {})) {
            reply(root_);
        }
    }

    std::shared_ptr<p9::ClientConnection> connection_;
    bool known_ = false;
    Result<NodePtr> root_ = synthfs::error(ESTALE);
    std::vector<Reply<NodePtr>> waiting_;
};

}  // namespace

NodePtr make_tree_source(boost::asio::io_context& io, Fd socket) {
    const auto source = std::make_shared<TreeSource>();
    source->connect(io, std::move(socket));
    return make_stand_in({.find = [source](const synthfs::RequestPtr&,
                                           const Reply<NodePtr>& reply) { source->find(reply); },
                          .revoke = [source] { source->revoke(); }});
}

}  // namespace ennead::srv
