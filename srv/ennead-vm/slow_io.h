// SPDX-License-Identifier: MIT
// The threads that wait for the host's disks, so that neither the guest nor the I/O thread does.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <mutex>
#include <thread>

#include "synthfs/offload.h"

namespace ennead::srv {

// run() is called by who holds the tree; `then` happens on the I/O thread, which takes hold of it.
class SlowIo final : public synthfs::Offload {
  public:
    // boost::system::system_error: there is not even one thread to be had.
    SlowIo(boost::asio::io_context& io, std::recursive_mutex& tree);
    ~SlowIo() override { stop(); }

    void run(std::function<void()> work, std::function<void()> then) override;

    // Waits for what is under way. No thread may call run() any more.
    void stop();

  private:
    // A guest that waits for one disk may still read from another; but one thread is enough.
    static constexpr std::size_t kMoreThreads = 3;

    boost::asio::io_context& io_;
    std::recursive_mutex& tree_;
    boost::asio::thread_pool pool_{1};
    std::array<std::jthread, kMoreThreads> more_;
};

}  // namespace ennead::srv
