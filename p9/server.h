// SPDX-License-Identifier: MIT
// A server of 9P2000.L and 9P2000 for one connection: request frames in, reply frames out, whatever
// carries them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "p9/exchange.h"
#include "p9/log.h"
#include "p9/message.h"
#include "synthfs/node.h"

namespace ennead::p9 {

class Session;

// The user's name in the attach of a client that is v9fs (mount -t 9p -o uname=v9fs): in 9P2000.L,
// where users are numbers, it means nothing else.
inline constexpr std::string_view kReadsOnName = "v9fs";

struct ServerOptions {
    // The largest frame either way; a client may ask for less, down to kMinMsize.
    std::uint32_t max_msize = 512 * 1024 + kIoHeaderSize;
    // Fids in use at once; one more is ENFILE.
    std::size_t max_fids = 64 * 1024;
    // Files open at once; one more is ENFILE, and is not made either.
    std::size_t max_open = 64 * 1024;
    // Requests waiting at once; one more is answered EAGAIN. Tflush is always taken.
    std::size_t max_pending = 1024;
    // Whom this connection's record locks belong to, among all connections to the same files.
    std::string client = "9p";
    // The client is Linux's v9fs, which reads on until a read(2) has all the bytes it asked for, or
    // is given none or an error; of an error behind bytes it says nothing. So of a stream the rest
    // of such a read is answered with what is there, or EINTR, and never waits (see ReadOn). To any
    // other client the rest of a read is a read. One that is not known to be v9fs can say so
    // (kReadsOnName).
    bool reads_on = false;
    // Who acts, whatever an attach says; nothing: the user that it names.
    std::optional<synthfs::Caller> caller{};
    // Who acts when an attach names nobody by number (n_uname ~0, and all of 9P2000): nobody.
    uid_t anonymous_uid = 65534;
    // Qids say of a file that it is not synthetic (version not 0), but not that it has changed.
    // Linux takes a file whose version it has not seen for another one, with contents of its own:
    // under cache=loose a second name of a file that it is writing would show what the server has.
    bool steady_versions = false;
    // Held while a request is taken and when the server goes (which may happen inside a request),
    // where threads share the tree. Who brings a late answer holds it too.
    std::recursive_mutex* tree{};
    Log log{};
    // The client broke the protocol: nothing more is read or answered. Called once, with the reason
    // (also logged); the Server may be destroyed inside.
    std::function<void(std::string_view reason)> on_end{};
};

struct ServerCounters {
    std::uint64_t requests = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;  // of frames
};

// The client chooses the dialect (Tversion): 9P2000.L, or 9P2000, in which failures have words.
// Both are the same operations on the same tree.
//
// Everything happens on the thread that owns the tree, or holds `tree`. Replies may come in any
// order and inside request(). Destruction cancels whatever is under way; nothing is answered
// afterwards.
class Server {
  public:
    using Options = ServerOptions;

    explicit Server(synthfs::NodePtr root, Options options = {});
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void request(ExchangePtr exchange);

    // The largest frame to accept now: what was agreed on, or the most that may be.
    [[nodiscard]] std::uint32_t msize() const;
    [[nodiscard]] bool ended() const;
    // Requests not answered yet, and fids in use.
    [[nodiscard]] std::size_t pending() const;
    [[nodiscard]] std::size_t fids() const;
    [[nodiscard]] const ServerCounters& counters() const;

  private:
    [[nodiscard]] std::unique_lock<std::recursive_mutex> hold_tree() const;

    std::shared_ptr<Session> session_;
    std::recursive_mutex* const tree_;
};

}  // namespace ennead::p9
