// SPDX-License-Identifier: MIT
// A socketpair and a 9P server for each tree.
#include "srv/ennead/served_trees.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <cstring>

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;

Checked<Fd> ServedTrees::give(synthfs::NodePtr root) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return make_fault(errno, "socketpair: %s", std::strerror(errno));
    }
    Fd ours(ends[0]), theirs(ends[1]);
    const std::uint64_t id = ++last_;
    p9::ServerOptions options;
    options.client = name_ + " tree " + std::to_string(id);
    // A user that nobody is: the guest's own kernel checks modes, and it may not change them here.
    options.caller = synthfs::Caller{
        .uid = static_cast<unsigned>(-1), .gid = static_cast<unsigned>(-1), .pid = 0};
    options.log = [log = log_](p9::LogLevel level, std::string_view line) {
        if (level <= p9::LogLevel::info) {
            log(std::string(line));
        }
    };
    // Inside, the connection must still be there: it goes once the loop has it back.
    options.on_end = [&io = io_, weak = std::weak_ptr(connections_), id](std::string_view) {
        boost::asio::post(io, [weak, id] {
            if (const auto connections = weak.lock()) {
                connections->erase(id);
            }
        });
    };
    try {
        connections_->emplace(id, p9::ServerConnection::start(p9::adopt_socket(io_, ours.release()),
                                                              std::move(root), std::move(options)));
    } catch (const boost::system::system_error& failure) {
        return make_fault(EIO, "socketpair: %s", failure.what());
    }
    return theirs;
}

void ServedTrees::close() {
    auto gone = std::exchange(connections_, std::make_shared<Connections>());
    if (!gone->empty()) {
        boost::asio::post(io_, [gone = std::move(gone)] {});
    }
}

}  // namespace ennead::srv
