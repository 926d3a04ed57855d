// SPDX-License-Identifier: MIT
// The greeting line of a VM process, then 9P on the same socket.
#include "srv/ennead/vm_link.h"

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>

#include "p9/stream.h"
#include "synthfs/words.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::HandlePtr;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::Result;

struct VmLink::State : std::enable_shared_from_this<VmLink::State> {
    State(p9::Socket s, Hooks h) : socket(std::move(s)), hooks(std::move(h)) {}

    p9::Socket socket;
    Hooks hooks;
    bool closed = false;
    std::string greeting;
    std::shared_ptr<p9::ClientConnection> connection;

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
                        self->tell(root.value());
                    } else {
                        self->tell(synthfs::fault_of(root.error()));
                    }
                }
            });
    }
};

VmLink::VmLink(boost::asio::io_context& io, Fd socket, Hooks hooks)
    : state_(std::make_shared<State>(p9::adopt_socket(io, socket.release()), std::move(hooks))) {
    state_->greet();
}

VmLink::~VmLink() {
    state_->closed = true;
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
