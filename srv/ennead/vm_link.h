// SPDX-License-Identifier: MIT
// The server's connection to one VM process: its greeting, then its live files over 9P.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "srv/ennead/supervisor.h"
#include "synthfs/fault.h"
#include "synthfs/node.h"

namespace ennead::srv {

// Words for ETIMEDOUT.
inline constexpr const char* kNoAnswer = "the VM's process does not answer; kill would end it";

// Loop thread only. A process that was stopped, or does not even answer what takes it no time, is
// taken for one that hangs, until it says something: what is asked of its files is ETIMEDOUT with
// kNoAnswer, but for reads of streams, which wait. Destruction closes the connection; what is
// pending on its files then answers ENODEV, and none of the functions given is called any more.
class VmLink {
  public:
    struct Hooks {
        // The machine could be built and its files are there, or why not. Called once.
        std::function<void(synthfs::Checked<synthfs::NodePtr> root)> ready;
        // The other end closed the connection, after that or without any greeting.
        std::function<void()> lost;
        // Whether the process was stopped by a signal; without it, that is not known.
        std::function<bool()> stopped{};
    };

    VmLink(boost::asio::io_context& io, Fd socket, Hooks hooks);
    ~VmLink();
    VmLink(const VmLink&) = delete;
    VmLink& operator=(const VmLink&) = delete;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

// Walks from `directory` along `path`, names with slashes between them.
void walk_path(const synthfs::NodePtr& directory, const std::string& path,
               const synthfs::RequestPtr& request, synthfs::Reply<synthfs::NodePtr> reply);

// Opens what `path` leads to in `directory`.
void open_file(const synthfs::NodePtr& directory, const std::string& path, int flags,
               synthfs::Reply<synthfs::HandlePtr> reply);

// Reads a stream to its end, piece by piece, until it is stopped: a read that waits keeps it alive.
class StreamPump : public std::enable_shared_from_this<StreamPump> {
  public:
    // `bytes` gets what comes; `end` is called once, at the end of the stream or when it fails.
    static std::shared_ptr<StreamPump> start(synthfs::HandlePtr stream,
                                             std::function<void(std::string_view)> bytes,
                                             std::function<void()> end);
    // Calls nothing any more.
    void stop();

  private:
    void next();

    synthfs::HandlePtr stream_;
    std::function<void(std::string_view)> bytes_;
    std::function<void()> end_;
    std::vector<std::byte> buffer_;
};

}  // namespace ennead::srv
