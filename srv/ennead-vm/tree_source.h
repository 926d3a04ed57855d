// SPDX-License-Identifier: MIT
// A tree that the server gives the guest over a socket of its own, as one directory.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <mutex>

#include "srv/common/fd.h"
#include "synthfs/node.h"

namespace ennead::srv {

// To be called on the thread of `io`. Nodes are used by who holds `tree`, on any thread; the socket
// is the loop's, which holds `tree` for what comes. Attaches in the background; what is asked
// before waits for that. What belongs to the server's user, as whom this process runs, shows as
// root's. Revoked, and when the server has closed its end, everything answers ESTALE, what waits
// included.
[[nodiscard]] synthfs::NodePtr make_tree_source(boost::asio::io_context& io,
                                                std::recursive_mutex& tree, Fd socket);

}  // namespace ennead::srv
