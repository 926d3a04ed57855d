// SPDX-License-Identifier: MIT
// The server's ends of the sockets over which a VM's process is given trees that are no host
// directories.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "p9/stream.h"
#include "srv/common/fd.h"
#include "synthfs/fault.h"
#include "synthfs/node.h"

namespace ennead::srv {

// Loop thread only. The process at the other end may have been taken over by its guest: what it can
// do is what the nodes that it is given do, and it owns none of them.
class ServedTrees {
  public:
    // `name` is told in the log.
    ServedTrees(boost::asio::io_context& io, std::string name, std::function<void(std::string)> log)
        : io_(io), name_(std::move(name)), log_(std::move(log)) {}
    ~ServedTrees() { close(); }
    ServedTrees(const ServedTrees&) = delete;
    ServedTrees& operator=(const ServedTrees&) = delete;

    // The other end of a socket at which `root` is served until that end is closed.
    [[nodiscard]] synthfs::Checked<Fd> give(synthfs::NodePtr root);
    // Ends all, once the loop has its turn: one of them may be asking for it.
    void close();
    [[nodiscard]] std::size_t count() const { return connections_->size(); }

  private:
    using Connections = std::unordered_map<std::uint64_t, std::shared_ptr<p9::ServerConnection>>;

    boost::asio::io_context& io_;
    const std::string name_;
    const std::function<void(std::string)> log_;
    std::uint64_t last_ = 0;
    std::shared_ptr<Connections> connections_ = std::make_shared<Connections>();
};

}  // namespace ennead::srv
