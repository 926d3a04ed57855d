// SPDX-License-Identifier: MIT
// Attaches to the server's end, and stands for what is there.
#include "srv/ennead-vm/tree_source.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
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

// The client belongs to who holds the tree, the stream to the loop: frames to be sent are posted.
class TreeSource : public std::enable_shared_from_this<TreeSource> {
  public:
    explicit TreeSource(boost::asio::io_context& io) : io_(io) {}
    ~TreeSource() { close(); }
    TreeSource(const TreeSource&) = delete;
    TreeSource& operator=(const TreeSource&) = delete;

    void connect(std::recursive_mutex& tree, Fd socket) {
        p9::ClientOptions options;
        options.lost_errno = ESTALE;
        options.on_end = [weak = weak_from_this()](std::string_view) {
            if (const auto self = weak.lock()) {
                self->settle(synthfs::error(ESTALE));
            }
        };
        const std::uint32_t most = options.msize;
        try {
            stream_ = std::make_shared<p9::FrameStream>(
                p9::adopt_socket(io_, socket.release()),
                p9::FrameStream::Limits{[most] { return most; }, 0, kMostWaiting});
        } catch (const boost::system::system_error&) {
            settle(synthfs::error(EIO));
            return;
        }
        client_ = std::make_shared<p9::Client>(
            [&io = io_, stream = stream_](p9::Buffer frame) {
                boost::asio::post(io, [stream, frame = std::move(frame)]() mutable {
                    stream->send(std::move(frame));
                });
            },
            std::move(options));
        // What an answer lets go goes before the lock.
        stream_->start(
            [&tree, weak = weak_from_this()](const p9::Buffer& frame) {
                const std::lock_guard held(tree);
                if (const auto client = client_of(weak)) {
                    client->receive(frame.span());
                }
            },
            [&tree, weak = weak_from_this()](std::string_view reason) {
                const std::lock_guard held(tree);
                if (const auto client = client_of(weak)) {
                    client->lost(reason);
                }
            });
        client_->connect([weak = weak_from_this()](Result<NodePtr> root) {
            if (const auto self = weak.lock()) {
                self->attached(std::move(root));
            }
        });
    }
    void find(const Reply<NodePtr>& reply) {
        if (known_) {
            reply(root_);
        } else {
            waiting_.push_back(reply);
        }
    }
    void revoke() {
        const auto self = shared_from_this();
        settle(synthfs::error(ESTALE));
        close();
    }

  private:
    // Requests for a server that does not read them: such a server is taken for dead.
    static constexpr std::size_t kMostWaiting = 64 * 1024 * 1024;

    static std::shared_ptr<p9::Client> client_of(const std::weak_ptr<TreeSource>& weak) {
        const auto self = weak.lock();
        return self ? self->client_ : nullptr;
    }
    void close() {
        if (stream_) {
            boost::asio::post(io_, [stream = std::exchange(stream_, nullptr)] { stream->close(); });
        }
        // Answers what is pending.
        const auto client = std::exchange(client_, nullptr);
    }
    void attached(Result<NodePtr> root) {
        if (client_) {
            client_->map_owner(
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

    boost::asio::io_context& io_;
    std::shared_ptr<p9::FrameStream> stream_;
    std::shared_ptr<p9::Client> client_;
    bool known_ = false;
    Result<NodePtr> root_ = synthfs::error(ESTALE);
    std::vector<Reply<NodePtr>> waiting_;
};

}  // namespace

NodePtr make_tree_source(boost::asio::io_context& io, std::recursive_mutex& tree, Fd socket) {
    const auto source = std::make_shared<TreeSource>(io);
    source->connect(tree, std::move(socket));
    return make_stand_in({.find = [source](const synthfs::RequestPtr&,
                                           const Reply<NodePtr>& reply) { source->find(reply); },
                          .revoke = [source] { source->revoke(); }});
}

}  // namespace ennead::srv
