// SPDX-License-Identifier: MIT
// Dials, attaches, dials again.
#include "srv/ennead/remote_tree.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/system_error.hpp>
#include <cstring>
#include <utility>

#include "p9/hops.h"
#include "srv/common/stand_in_dir.h"

namespace ennead::srv {

using boost::system::error_code;
using synthfs::Address;
using synthfs::NodePtr;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;

template <class... Args>
auto RemoteTree::in_attempt(void (RemoteTree::*method)(Args...)) {
    return [weak = weak_from_this(), attempt = attempt_, method](Args... args) {
        const auto self = weak.lock();
        if (self && !self->closed_ && self->attempt_ == attempt) {
            (self.get()->*method)(std::forward<Args>(args)...);
        }
    };
}

std::shared_ptr<RemoteTree> RemoteTree::start(Address address, Options options) {
    std::shared_ptr<RemoteTree> tree(new RemoteTree(std::move(address), std::move(options)));
    const std::weak_ptr weak = tree;
    tree->node_ =
        make_stand_in({.find =
                           [weak](const RequestPtr& request, const Reply<NodePtr>& reply) {
                               if (const auto tree = weak.lock(); tree && tree->root()) {
                                   reply(tree->root());
                               } else {
                                   request->explain(tree ? tree->absence() : "no longer mounted");
                                   reply(synthfs::error(EIO));
                               }
                           },
                       .enter =
                           [weak](const RequestPtr& request, const Reply<NodePtr>& reply) {
                               if (const auto tree = weak.lock()) {
                                   tree->enter(request, reply);
                               } else {
                                   request->explain("no longer mounted");
                                   reply(synthfs::error(EIO));
                               }
                           },
                       .passed_over =
                           [weak] {
                               const auto tree = weak.lock();
                               return tree && !tree->root() && tree->in_union();
                           },
                       .uid = geteuid(),
                       .gid = getegid()});
    tree->attempt();
    return tree;
}

RemoteTree::RemoteTree(Address address, Options options)
    : address_(std::move(address)),
      options_(std::move(options)),
      retry_(options_.first_retry),
      deadline_(options_.io),
      pause_(options_.io) {}

RemoteTree::~RemoteTree() {
    close();
}

void RemoteTree::close() {
    closed_ = true;
    deadline_.cancel();
    pause_.cancel();
    root_ = nullptr;
    passed_on_ = {};
    resolver_ = nullptr;
    tcp_ = nullptr;
    unix_ = nullptr;
    // Answers what is pending.
    connection_ = nullptr;
}

std::string RemoteTree::absence() const {
    return address_.text() + ": " + reason_;
}

void RemoteTree::enter(const RequestPtr& request, const Reply<NodePtr>& reply) {
    if (!root_) {
        request->explain(absence());
        reply(synthfs::error(EIO));
    } else if (request->caller().hops >= kMostHops) {
        request->explain("servers that mount each other lead round and round");
        reply(synthfs::error(ELOOP));
    } else {
        root_for(request->caller().hops, reply);
    }
}

void RemoteTree::root_for(unsigned hops, Reply<NodePtr> reply) {
    p9::Client* const client = connection_ ? connection_->client() : nullptr;
    if (hops == 0 || hops >= kMostHops || passed_on_[hops] || client == nullptr) {
        reply(hops != 0 && hops < kMostHops && passed_on_[hops] ? passed_on_[hops] : root_);
        return;
    }
    client->attach(hops + 1, [keep = in_attempt(&RemoteTree::keep_root), hops,
                              reply = std::move(reply)](Result<NodePtr> root) {
        if (root) {
            keep(hops, root.value());
        }
        reply(std::move(root));
    });
}

void RemoteTree::keep_root(unsigned hops, const NodePtr& root) {
    passed_on_[hops] = root;
}

void RemoteTree::attempt() {
    ++attempt_;
    deadline_.expires_after(options_.patience);
    deadline_.async_wait([late = in_attempt(&RemoteTree::fail)](error_code ec) {
        if (!ec) {
            late("no answer");
        }
    });
    if (address_.network == Address::Network::unix) {
        dial_unix();
    } else {
        dial_tcp();
    }
}

void RemoteTree::dial_unix() {
    // By its descriptor: a lookup in our own tree would wait for this very thread.
    const auto found = open_host_file(address_.where, O_PATH, "socket", options_.hidden);
    if (!found) {
        // Not inside start(): whoever mounts is answered first.
        boost::asio::post(options_.io, [failed = in_attempt(&RemoteTree::fail),
                                        text = found.error().text] { failed(text); });
        return;
    }
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(found.value().get());
    std::memcpy(where.sun_path, path.c_str(), path.size());
    unix_ = std::make_unique<p9::Socket>(options_.io);
    error_code failure;
    unix_->open(boost::asio::generic::stream_protocol(AF_UNIX, 0), failure);
    if (!failure) {
        unix_->non_blocking(true, failure);
    }
    // Connecting to a unix socket is done at once or not at all.
    if (!failure &&
        ::connect(unix_->native_handle(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
        failure = error_code(errno, boost::system::system_category());
    }
    boost::asio::post(options_.io, [weak = weak_from_this(), attempt = attempt_, failure,
                                    failed = in_attempt(&RemoteTree::fail)] {
        const auto self = weak.lock();
        if (failure) {
            failed(failure.message());
        } else if (self && !self->closed_ && self->attempt_ == attempt) {
            self->connected(std::move(*self->unix_));
        }
    });
}

void RemoteTree::dial_tcp() {
    using boost::asio::ip::tcp;
    resolver_ = std::make_unique<tcp::resolver>(options_.io);
    tcp_ = std::make_unique<tcp::socket>(options_.io);
    const auto current = [weak = weak_from_this(), attempt = attempt_] {
        auto self = weak.lock();
        return self && !self->closed_ && self->attempt_ == attempt ? self : nullptr;
    };
    resolver_->async_resolve(
        address_.where, std::to_string(address_.port), tcp::resolver::numeric_service,
        [current](error_code ec, const tcp::resolver::results_type& found) {
            const auto self = current();
            if (!self) {
                return;
            }
            if (ec) {
                self->fail(ec.message());
                return;
            }
            boost::asio::async_connect(
                *self->tcp_, found, [current](error_code ec, const tcp::endpoint&) {
                    const auto self = current();
                    if (!self) {
                        return;
                    }
                    if (ec) {
                        self->fail(ec.message());
                        return;
                    }
                    // A host that goes without a word is found out in half a minute.
                    const int fd = self->tcp_->native_handle();
                    const int on = 1, idle = 10, interval = 5, count = 4, unsent_ms = 30'000;
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
                    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
                    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
                    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
                    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, sizeof unsent_ms);
                    self->connected(p9::Socket(std::move(*self->tcp_)));
                });
        });
}

void RemoteTree::connected(p9::Socket socket) {
    p9::ClientOptions options;
    options.lost_errno = EIO;
    options.uid = geteuid();
    options.uname = p9::hops_name(1);
    options.on_end = [ended = in_attempt(&RemoteTree::fail)](std::string_view reason) {
        ended(std::string(reason));
    };
    connection_ = p9::ClientConnection::start(std::move(socket), std::move(options),
                                              in_attempt(&RemoteTree::ready));
}

void RemoteTree::ready(Result<NodePtr> root) {
    if (!root) {
        // If it is the connection that ended, on_end comes next and says why.
        const p9::Client* client = connection_ ? connection_->client() : nullptr;
        if (client == nullptr || !client->ended()) {
            fail(root.error().message());
        }
    } else if (!S_ISDIR(root.value()->type())) {
        fail("what is served there is no directory");
    } else {
        // Whose that tree is, we are: with us sits whoever may write to its files.
        const NodePtr node = root.value();
        node->getattr(std::make_shared<synthfs::Request>(),
                      [node, known = in_attempt(&RemoteTree::owner_known)](
                          const Result<synthfs::Attr>& attr) { known(node, attr); });
    }
}

void RemoteTree::owner_known(const NodePtr& root, const Result<synthfs::Attr>& attr) {
    const p9::Client* client = connection_ ? connection_->client() : nullptr;
    if (client == nullptr || client->ended()) {
        return;
    }
    if (!attr) {
        fail(attr.error().message());
        return;
    }
    connection_->client()->map_owner({.remote_uid = attr.value().uid,
                                      .local_uid = geteuid(),
                                      .remote_gid = attr.value().gid,
                                      .local_gid = getegid()});
    deadline_.cancel();
    retry_ = options_.first_retry;
    root_ = root;
    reason_.clear();
    options_.changed(address_.text() + ": connected", true);
}

void RemoteTree::fail(const std::string& reason_text) {
    const std::string reason = reason_text;  // it may belong to what goes now
    ++attempt_;                              // nothing of this attempt counts any more
    deadline_.cancel();
    root_ = nullptr;
    passed_on_ = {};
    resolver_ = nullptr;
    tcp_ = nullptr;
    unix_ = nullptr;
    // Not here: this may be said from within it. What is pending was answered by the loss itself,
    // or is when it goes.
    boost::asio::post(options_.io, [gone = std::exchange(connection_, nullptr)] {});
    pause_.expires_after(retry_);
    retry_ = std::min(retry_ * 2, options_.last_retry);
    pause_.async_wait([again = in_attempt(&RemoteTree::attempt)](error_code ec) {
        if (!ec) {
            again();
        }
    });
    if (reason_ != reason) {
        reason_ = reason;
        options_.changed(address_.text() + ": " + reason, false);
    }
}

}  // namespace ennead::srv
