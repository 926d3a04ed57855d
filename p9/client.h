// SPDX-License-Identifier: MIT
// A 9P2000.L client for one connection: the remote tree as nodes, whatever carries the frames.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "p9/log.h"
#include "p9/message.h"
#include "p9/wire.h"
#include "synthfs/node.h"

namespace ennead::p9 {

class ClientCore;

struct ClientOptions {
    // The largest frame to propose; the server may settle for less.
    std::uint32_t msize = 512 * 1024 + kIoHeaderSize;
    // Who attaches, and to which path below the server's root ("": the root itself). Whatever is
    // made through this connection belongs to `uid`: 9P ties the user to the attach, not to the
    // request.
    std::string uname = "ennead";
    std::string aname{};
    uid_t uid = 0;
    // What every pending and later operation answers once the connection is gone.
    int lost_errno = ENODEV;
    Log log{};
    // The connection came to its end: by lost(), or because the server broke the protocol. Called
    // once; the Client may be destroyed inside.
    std::function<void(std::string_view reason)> on_end{};
};

// Everything happens on the thread that owns the tree. Nodes and handles may outlive the Client;
// they then answer lost_errno.
class Client {
  public:
    using Options = ClientOptions;

    // `send` takes a whole frame to be sent after those before it.
    explicit Client(std::function<void(Buffer frame)> send, Options options = {});
    // Like lost(), but on_end is not called.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Agrees on a version and attaches; the answer is the root. Once.
    void connect(synthfs::Reply<synthfs::NodePtr> ready);

    // A whole frame came from the server.
    void receive(Bytes frame);
    // No frame will come any more.
    void lost(std::string_view reason);

    // The largest frame to accept now.
    [[nodiscard]] std::uint32_t msize() const;
    [[nodiscard]] bool ended() const;
    // Requests not answered yet, and fids in use.
    [[nodiscard]] std::size_t pending() const;
    [[nodiscard]] std::size_t fids() const;

  private:
    std::shared_ptr<ClientCore> core_;
};

}  // namespace ennead::p9
