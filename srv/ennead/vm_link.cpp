// SPDX-License-Identifier: MIT
// The greeting line of a VM process, then 9P on the same socket.
#include "srv/ennead/vm_link.h"

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>

#include "p9/stream.h"
#include "synthfs/words.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::HandlePtr;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::Result;

struct VmLink::State : std::enable_shared_from_this<VmLink::State> {
    State(boost::asio::io_context& io, p9::Socket s, Hooks h)
        : socket(std::move(s)), hooks(std::move(h)), glance_timer(io) {}

    p9::Socket socket;
    Hooks hooks;
    bool closed = false;
    std::string greeting;
    std::shared_ptr<p9::ClientConnection> connection;

    // --- whether it answers: looked at while it owes something
    boost::asio::steady_timer glance_timer;
    bool watching = false, pinged = false;
    std::uint64_t frames = 0;                     // that had come at the last look
    std::chrono::steady_clock::time_point since;  // when the last one had
    NodePtr root;

    void asked() {
        if (!watching && !closed) {
            watching = true;
            has_spoken();
            look_later();
        }
    }

    void has_spoken() {
        const p9::Client* client = connection ? connection->client() : nullptr;
        frames = client != nullptr ? client->received() : 0;
        since = std::chrono::steady_clock::now();
        pinged = false;
    }

    void look_later() {
        // A process that lives answers within milliseconds; one that the host lets wait for a turn,
        // in seconds.
        constexpr std::chrono::milliseconds kGlance{400};
        glance_timer.expires_after(kGlance);
        glance_timer.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
            if (const auto self = weak.lock(); self && !ec && !self->closed) {
                self->look();
            }
        });
    }

    void look() {
        constexpr std::chrono::seconds kPatience{5};
        p9::Client* const client = connection ? connection->client() : nullptr;
        if (client == nullptr || !client->owed()) {
            watching = false;
            return;
        }
        if (client->received() != frames) {
            has_spoken();
        } else if ((hooks.stopped && hooks.stopped()) ||
                   std::chrono::steady_clock::now() - since >= kPatience) {
            watching = false;
            client->stall(ETIMEDOUT, kNoAnswer);
            return;
        } else if (root && !std::exchange(pinged, true)) {
            // What was asked may be waiting for a slow disk; this waits for nothing.
            root->getattr(std::make_shared<synthfs::Request>(), [](const auto&) {});
        }
        look_later();
    }

    void tell(Checked<NodePtr> outcome) {
        if (auto ready = std::exchange(hooks.ready, nullptr); ready && !closed) {
            ready(std::move(outcome));
        }
    }

    void greet() {
        // The process says nothing more until it is asked, so no byte of the 9P stream can be read
        // here.
        boost::asio::async_read_until(
            socket, boost::asio::dynamic_buffer(greeting, synthfs::kMaxMessage), '\n',
            [self = shared_from_this()](boost::system::error_code ec, std::size_t) {
                if (self->closed) {
                    return;
                }
                if (!ec) {
                    self->greeted();
                } else if (const auto lost = self->hooks.lost) {
                    lost();  // gone, or it sent a greeting without an end
                }
            });
    }

    void greeted() {
        const auto lines = synthfs::parse_commands(greeting);
        if (!lines || lines.value().empty()) {
            tell(make_fault(EIO, "the VM's process said something unintelligible"));
            return;
        }
        const synthfs::Command& line = lines.value().front();
        if (line.verb() == "error" && line.arg_count() == 2) {
            const auto number = synthfs::parse_number(line.arg(0), {1, 511});
            tell(make_fault(number ? static_cast<int>(number.value()) : EIO, "%s",
                            line.arg(1).text.c_str()));
            return;
        }
        if (line.verb() != "ok" || line.arg_count() != 0) {
            tell(make_fault(EIO, "the VM's process said something unintelligible"));
            return;
        }
        p9::ClientOptions options;
        options.on_asked = [weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                self->asked();
            }
        };
        options.on_end = [weak = weak_from_this()](std::string_view) {
            if (auto self = weak.lock(); self && !self->closed && self->hooks.lost) {
                auto lost = self->hooks.lost;
                lost();
            }
        };
        connection = p9::ClientConnection::start(
            std::move(socket), std::move(options), [weak = weak_from_this()](Result<NodePtr> root) {
                if (auto self = weak.lock()) {
                    if (root) {
                        self->root = root.value();
                        self->tell(root.value());
                    } else {
                        self->tell(synthfs::fault_of(root.error()));
                    }
                }
            });
    }
};

VmLink::VmLink(boost::asio::io_context& io, Fd socket, Hooks hooks)
    : state_(
          std::make_shared<State>(io, p9::adopt_socket(io, socket.release()), std::move(hooks))) {
    state_->greet();
}

VmLink::~VmLink() {
    state_->closed = true;
    state_->glance_timer.cancel();
    state_->root = nullptr;
    if (state_->connection) {
        state_->connection->close();
    }
    boost::system::error_code ignored;
    state_->socket.close(ignored);
}

void walk_path(const NodePtr& directory, const std::string& path,
               const synthfs::RequestPtr& request, synthfs::Reply<NodePtr> reply) {
    const std::size_t slash = path.find('/');
    if (slash == path.npos) {
        directory->walk(request, path, std::move(reply));
        return;
    }
    directory->walk(
        request, path.substr(0, slash),
        [request, rest = path.substr(slash + 1), reply = std::move(reply)](Result<NodePtr> node) {
            if (!node) {
                reply(node.error());
                return;
            }
            walk_path(node.value(), rest, request, reply);
        });
}

void open_file(const NodePtr& directory, const std::string& path, int flags,
               synthfs::Reply<HandlePtr> reply) {
    const auto request = std::make_shared<synthfs::Request>();
    walk_path(directory, path, request,
              [request, flags, reply = std::move(reply)](Result<NodePtr> node) {
                  if (!node) {
                      reply(node.error());
                      return;
                  }
                  node.value()->open(request, flags, reply);
              });
}

std::shared_ptr<StreamPump> StreamPump::start(HandlePtr stream,
                                              std::function<void(std::string_view)> bytes,
                                              std::function<void()> end) {
    auto pump = std::make_shared<StreamPump>();
    pump->stream_ = std::move(stream);
    pump->bytes_ = std::move(bytes);
    pump->end_ = std::move(end);
    pump->buffer_.resize(64 * 1024);
    pump->next();
    return pump;
}

void StreamPump::stop() {
    bytes_ = nullptr;
    end_ = nullptr;
    stream_ = nullptr;
}

void StreamPump::next() {
    if (!stream_) {
        return;
    }
    // The read keeps the pump and with it the buffer alive; the handle must not be lost inside its
    // own read.
    const HandlePtr stream = stream_;
    stream->read(std::make_shared<synthfs::Request>(), 0, buffer_,
                 [self = shared_from_this()](Result<std::size_t> count) {
                     if (!self->stream_) {
                         return;
                     }
                     if (count && count.value() > 0) {
                         const auto bytes = self->bytes_;  // stop() may be called inside
                         bytes(std::string_view(reinterpret_cast<const char*>(self->buffer_.data()),
                                                count.value()));
                         self->next();
                         return;
                     }
                     const auto end = std::exchange(self->end_, nullptr);
                     self->stop();
                     if (end) {
                         end();
                     }
                 });
}

}  // namespace ennead::srv
