// SPDX-License-Identifier: MIT
// Waiting for host descriptors on an Asio loop.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>

#include "synthfs/host_dir.h"

namespace ennead::srv {

// `io` outlives what it gives.
[[nodiscard]] synthfs::WhenReadable wait_readable(boost::asio::io_context& io);

}  // namespace ennead::srv
