// SPDX-License-Identifier: MIT
// Cuts a byte stream into frames and joins 9P servers and clients to sockets.
#include "p9/stream.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <cstring>
#include <string>

#include "p9/error.h"

namespace ennead::p9 {
namespace {

using ErrorCode = boost::system::error_code;

// One read takes many small requests at once; a frame that is larger gets memory of its own.
constexpr std::size_t kReadSize = 64 * 1024;
// Frames joined into one write.
constexpr std::size_t kMaxGather = 16;
// Answers a server keeps for a client that does not read them.
constexpr std::size_t kServerQueue = 4 * 1024 * 1024;
// Requests a client keeps for a server that does not read them: such a server is taken for dead. A
// client never pauses reading, or both sides could wait for each other.
constexpr std::size_t kClientQueue = 64 * 1024 * 1024;

}  // namespace

Socket adopt_socket(boost::asio::io_context& io, int descriptor) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        const ErrorCode failure(errno, boost::system::system_category());
        ::close(descriptor);
        throw boost::system::system_error(failure, "getsockname");
    }
    Socket socket(io);
    ErrorCode failure;
    socket.assign(boost::asio::generic::stream_protocol(address.ss_family, 0), descriptor, failure);
    if (failure) {
        ::close(descriptor);
        throw boost::system::system_error(failure, "assign");
    }
    return socket;
}

void FrameStream::start(std::function<void(Buffer)> on_frame,
                        std::function<void(std::string_view)> on_end) {
    on_frame_ = std::move(on_frame);
    on_end_ = std::move(on_end);
    in_.resize(kReadSize);
    parse();
}

// Hands on every frame that is there, sends what was answered to them at once, then reads for more.
void FrameStream::parse() {
    if (parsing_ || reading_) {
        return;  // an answer was sent from within; the outer call goes on
    }
    const auto keep = shared_from_this();
    Buffer large;
    std::size_t have = 0;
    bool held_up = false;
    do {
        parsing_ = true;
        while (!closed_ && !paused() && tail_ - head_ >= sizeof(std::uint32_t)) {
            const Bytes there = Bytes(in_).subspan(head_, tail_ - head_);
            std::uint32_t size = 0;
            Reader(there).field(size);
            if (size < kHeaderSize || size > limits_.max_frame()) {
                end(make_error_code(size < kHeaderSize ? Error::short_frame
                                                       : Error::oversized_frame)
                        .message());
                break;
            }
            if (size > there.size() && size <= kReadSize) {
                break;
            }
            Buffer frame(size);
            have = std::min<std::size_t>(size, there.size());
            std::memcpy(frame.span().data(), there.data(), have);
            head_ += have;
            if (have < size) {
                large = std::move(frame);
                break;
            }
            on_frame_(std::move(frame));
        }
        parsing_ = false;
        held_up = paused();
        flush();
    } while (held_up && !closed_ && !paused() && large.size() == 0);
    if (closed_) {
        return;
    }
    if (large.size() != 0) {
        read_rest(std::move(large), have);
    } else if (!paused()) {
        read_some();
    }
}

void FrameStream::read_some() {
    std::memmove(in_.data(), in_.data() + head_, tail_ - head_);
    tail_ -= head_;
    head_ = 0;
    reading_ = true;
    socket_.async_read_some(
        boost::asio::buffer(in_.data() + tail_, in_.size() - tail_),
        [self = shared_from_this()](const ErrorCode& failure, std::size_t size) {
            self->reading_ = false;
            if (failure) {
                self->end(failure.message());
                return;
            }
            self->tail_ += size;
            self->parse();
        });
}

void FrameStream::read_rest(Buffer frame, std::size_t have) {
    reading_ = true;
    const auto rest = frame.span().subspan(have);
    boost::asio::async_read(socket_, boost::asio::buffer(rest.data(), rest.size()),
                            [self = shared_from_this(), frame = std::move(frame)](
                                const ErrorCode& failure, std::size_t) mutable {
                                self->reading_ = false;
                                if (failure) {
                                    self->end(failure.message());
                                    return;
                                }
                                if (!self->closed_) {
                                    self->on_frame_(std::move(frame));
                                }
                                self->parse();
                            });
}

void FrameStream::send(Buffer frame) {
    if (closed_) {
        return;
    }
    queued_ += frame.size();
    out_.push_back(std::move(frame));
    if (limits_.end_above != 0 && queued_ > limits_.end_above) {
        // Posted: who sends does not expect to be told of the end inside.
        boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
            self->end("the other side does not read");
        });
        return;
    }
    // Answers to frames that came together go together.
    if (!parsing_) {
        flush();
    }
}

// As much as the socket takes now; the rest when it takes more. An operation of Asio's for each
// answer would cost a turn of the loop.
void FrameStream::flush() {
    while (!closed_ && !writing_ && !out_.empty()) {
        std::array<iovec, kMaxGather> pieces;
        const std::size_t count = gather(pieces);
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = count;
        const ssize_t size =
            ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size >= 0) {
            sent(static_cast<std::size_t>(size));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            write_some();
        } else if (errno != EINTR) {
            // Posted, as above. Nothing more is tried meanwhile.
            writing_ = true;
            boost::asio::post(socket_.get_executor(),
                              [self = shared_from_this(),
                               reason = std::string(std::strerror(errno))] { self->end(reason); });
        }
    }
}

std::size_t FrameStream::gather(std::span<iovec> pieces) {
    const std::size_t count = std::min(out_.size(), pieces.size());
    for (std::size_t i = 0; i < count; ++i) {
        const auto piece = out_[i].span().subspan(i == 0 ? begun_ : 0);
        pieces[i] = {piece.data(), piece.size()};
    }
    return count;
}

// So many more bytes are out.
void FrameStream::sent(std::size_t size) {
    queued_ -= size;
    size += begun_;
    while (!out_.empty() && size >= out_.front().size()) {
        size -= out_.front().size();
        out_.pop_front();
    }
    begun_ = size;
}

void FrameStream::write_some() {
    writing_ = true;
    socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const ErrorCode& failure) {
        if (failure) {
            self->end(failure.message());
            return;
        }
        const bool was_paused = self->paused();
        self->writing_ = false;
        self->flush();
        if (was_paused && !self->closed_ && !self->paused()) {
            self->parse();
        }
    });
}

void FrameStream::close() {
    if (closed_) {
        return;
    }
    closed_ = true;
    ErrorCode ignored;
    socket_.close(ignored);
}

void FrameStream::end(std::string_view reason) {
    if (closed_) {
        return;
    }
    close();
    on_end_(reason);
}

// A request from the socket; its answer is queued on the way back if the connection is still there.
class ServerConnection::Incoming final : public Exchange {
  public:
    Incoming(std::weak_ptr<FrameStream> stream, Buffer request)
        : stream_(std::move(stream)), request_(std::move(request)) {}

    Bytes request() const override { return request_.span(); }

    std::span<std::byte> reply_space(std::size_t want) override {
        reply_ = Buffer(want);
        return reply_.span();
    }

    void done(std::size_t size) override {
        const auto stream = stream_.lock();
        if (!stream || size == 0) {
            return;
        }
        if (size < reply_.size() / 4) {
            // A short answer to a large read must not hold the large buffer while it is queued.
            Buffer small(size);
            std::memcpy(small.span().data(), reply_.span().data(), size);
            reply_ = std::move(small);
        }
        reply_.truncate(size);
        stream->send(std::move(reply_));
    }

  private:
    std::weak_ptr<FrameStream> stream_;
    Buffer request_, reply_;
};

std::shared_ptr<ServerConnection> ServerConnection::start(Socket socket, synthfs::NodePtr root,
                                                          Server::Options options) {
    std::shared_ptr<ServerConnection> self(new ServerConnection);
    const std::weak_ptr<ServerConnection> weak = self;
    self->on_end_ = std::exchange(options.on_end, [weak](std::string_view reason) {
        if (const auto connection = weak.lock()) {
            connection->finish(reason);
        }
    });
    self->server_ = std::make_unique<Server>(std::move(root), std::move(options));
    const auto max_frame = [weak] {
        const auto connection = weak.lock();
        return connection && connection->server_ ? connection->server_->msize() : 0;
    };
    self->stream_ = std::make_shared<FrameStream>(std::move(socket),
                                                  FrameStream::Limits{max_frame, kServerQueue, 0});
    self->stream_->start(
        [weak](Buffer frame) {
            const auto connection = weak.lock();
            if (connection && connection->server_) {
                connection->server_->request(
                    std::make_unique<Incoming>(connection->stream_, std::move(frame)));
            }
        },
        [weak](std::string_view reason) {
            if (const auto connection = weak.lock()) {
                connection->finish(reason);
            }
        });
    return self;
}

ServerConnection::~ServerConnection() {
    close();
}

void ServerConnection::close() {
    on_end_ = nullptr;
    finish("closed");
}

void ServerConnection::finish(std::string_view reason) {
    const std::string text(reason);  // it may belong to what goes now
    if (stream_) {
        stream_->close();
    }
    const auto server = std::move(server_);
    if (const auto on_end = std::exchange(on_end_, nullptr)) {
        on_end(text);
    }
}

std::shared_ptr<ClientConnection> ClientConnection::start(Socket socket, Client::Options options,
                                                          synthfs::Reply<synthfs::NodePtr> ready) {
    std::shared_ptr<ClientConnection> self(new ClientConnection);
    const std::weak_ptr<ClientConnection> weak = self;
    self->on_end_ = std::exchange(options.on_end, [weak](std::string_view reason) {
        if (const auto connection = weak.lock()) {
            connection->finish(reason);
        }
    });
    const auto max_frame = [weak] {
        const auto connection = weak.lock();
        return connection && connection->client_ ? connection->client_->msize() : 0;
    };
    self->stream_ = std::make_shared<FrameStream>(std::move(socket),
                                                  FrameStream::Limits{max_frame, 0, kClientQueue});
    self->client_ = std::make_unique<Client>(
        [stream = std::weak_ptr<FrameStream>(self->stream_)](Buffer frame) {
            if (const auto to = stream.lock()) {
                to->send(std::move(frame));
            }
        },
        std::move(options));
    self->stream_->start(
        [weak](Buffer frame) {
            const auto connection = weak.lock();
            if (connection && connection->client_) {
                connection->client_->receive(frame.span());
            }
        },
        [weak](std::string_view reason) {
            const auto connection = weak.lock();
            if (connection && connection->client_) {
                connection->client_->lost(reason);
            }
        });
    self->client_->connect(std::move(ready));
    return self;
}

ClientConnection::~ClientConnection() {
    close();
}

void ClientConnection::close() {
    on_end_ = nullptr;
    finish("closed");
}

void ClientConnection::finish(std::string_view reason) {
    const std::string text(reason);
    if (stream_) {
        stream_->close();
    }
    const auto client = std::move(client_);
    if (const auto on_end = std::exchange(on_end_, nullptr)) {
        on_end(text);
    }
}

}  // namespace ennead::p9
