// SPDX-License-Identifier: MIT
// Waiting for host descriptors on an Asio loop.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <mutex>

#include "synthfs/host_dir.h"

namespace ennead::srv {

// What it gives is used by who holds `tree`, on any thread; the loop tells, and holds it then. Both
// outlive that.
[[nodiscard]] synthfs::WhenReadable wait_readable(boost::asio::io_context& io,
                                                  std::recursive_mutex& tree);

}  // namespace ennead::srv
