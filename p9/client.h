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
    // A call was sent that ought to be answered soon; may be empty.
    std::function<void()> on_asked{};
    // The connection came to its end: by lost(), or because the server broke the protocol. Called
    // once; the Client may be destroyed inside.
    std::function<void(std::string_view reason)> on_end{};
};

// A user and a group of the server's host who are shown as ours: what theirs is belongs to whoever
// may use this connection. Others keep their numbers.
struct OwnerMap {
    uid_t remote_uid = 0, local_uid = 0;
    gid_t remote_gid = 0, local_gid = 0;

    [[nodiscard]] uid_t shown(uid_t uid) const { return uid == remote_uid ? local_uid : uid; }
    [[nodiscard]] gid_t shown_group(gid_t gid) const { return gid == remote_gid ? local_gid : gid; }
    [[nodiscard]] uid_t meant(uid_t uid) const { return uid == local_uid ? remote_uid : uid; }
    [[nodiscard]] gid_t meant_group(gid_t gid) const { return gid == local_gid ? remote_gid : gid; }
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

    // One more root, for requests that so many servers have passed on: see hops.h. Once connected.
    void attach(unsigned hops, synthfs::Reply<synthfs::NodePtr> ready);

    // From now on; until then all numbers are the server's.
    void map_owner(const OwnerMap& map);

    // A whole frame came from the server.
    void receive(Bytes frame);
    // No frame will come any more.
    void lost(std::string_view reason);

    // Whether there are calls that ought to be answered soon: all but reads of streams, which may
    // take for ever, and what stall() has answered.
    [[nodiscard]] bool owed() const;
    // Frames that came.
    [[nodiscard]] std::uint64_t received() const;
    // The server is taken for one that hangs, until it sends something: what is owed answers
    // `errnum` with these words, and what is asked from now on does so at once. Reads of streams go
    // on waiting, and can be called off. A fid that the server makes of a call which was answered
    // in its place is lost until the connection's end.
    void stall(int errnum, std::string words);

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
