// SPDX-License-Identifier: MIT
// 9P over stream sockets: frames cut by their size field, for a server's connection and a client's.
//
// Everything runs on the one thread that runs the io_context; nothing here is locked.
#pragma once

#include <sys/uio.h>

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "p9/client.h"
#include "p9/server.h"
#include "p9/wire.h"

namespace ennead::p9 {

// Local and TCP sockets move into it.
using Socket = boost::asio::generic::stream_protocol::socket;

// A connected stream socket by its descriptor, which is owned (and closed) by the result, or by
// nobody if this throws boost::system::system_error. For the ends of a socketpair.
[[nodiscard]] Socket adopt_socket(boost::asio::io_context& io, int descriptor);

// Frames in and out of a socket. Ends once: at the end of the stream, an error, or a frame of an
// impossible size.
class FrameStream : public std::enable_shared_from_this<FrameStream> {
  public:
    struct Limits {
        // The largest frame that may come, now.
        std::function<std::uint32_t()> max_frame;
        // With more than this waiting to be sent, reading pauses (0: never). A peer that asks and
        // does not read its answers is not heard until it does.
        std::size_t pause_above = 0;
        // With more than this waiting to be sent, the stream ends (0: never).
        std::size_t end_above = 0;
    };

    FrameStream(Socket socket, Limits limits)
        : socket_(std::move(socket)), limits_(std::move(limits)) {}

    // Neither is called after close().
    void start(std::function<void(Buffer)> on_frame, std::function<void(std::string_view)> on_end);
    void send(Buffer frame);
    void close();

  private:
    void parse();
    void read_some();
    void read_rest(Buffer frame, std::size_t have);
    void flush();
    std::size_t gather(std::span<iovec> pieces);
    void write_some();
    void sent(std::size_t size);
    void end(std::string_view reason);
    [[nodiscard]] bool paused() const {
        return limits_.pause_above != 0 && queued_ > limits_.pause_above;
    }

    Socket socket_;
    Limits limits_;
    std::function<void(Buffer)> on_frame_;
    std::function<void(std::string_view)> on_end_;
    std::vector<std::byte> in_;
    std::size_t head_ = 0, tail_ = 0;  // of what is in in_ and not parsed
    bool reading_ = false, parsing_ = false, closed_ = false;
    std::deque<Buffer> out_;
    bool writing_ = false;    // the socket is waited for
    std::size_t begun_ = 0;   // bytes of the first frame of out_ that are sent
    std::size_t queued_ = 0;  // bytes of out_ that are not
};

// A server's connection. Lives as long as it is held; dropping it closes it.
class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
  public:
    // options.on_end is called once, from the io_context, when the connection ends by itself: the
    // client left, broke the protocol, or the socket failed.
    static std::shared_ptr<ServerConnection> start(Socket socket, synthfs::NodePtr root,
                                                   Server::Options options = {});
    ~ServerConnection();

    // Ends it now; on_end is not called.
    void close();
    // Null once ended.
    [[nodiscard]] const Server* server() const { return server_.get(); }

  private:
    class Incoming;
    ServerConnection() = default;
    void finish(std::string_view reason);

    std::unique_ptr<Server> server_;
    std::shared_ptr<FrameStream> stream_;
    std::function<void(std::string_view)> on_end_;
};

// A client's connection. Lives as long as it is held; dropping it closes it, and its nodes answer
// lost_errno.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
  public:
    // `ready` gets the root of the remote tree. options.on_end as above, for a server that goes
    // away.
    static std::shared_ptr<ClientConnection> start(Socket socket, Client::Options options,
                                                   synthfs::Reply<synthfs::NodePtr> ready);
    ~ClientConnection();

    void close();
    // Null once ended.
    [[nodiscard]] Client* client() const { return client_.get(); }

  private:
    ClientConnection() = default;
    void finish(std::string_view reason);

    std::unique_ptr<Client> client_;
    std::shared_ptr<FrameStream> stream_;
    std::function<void(std::string_view)> on_end_;
};

}  // namespace ennead::p9
