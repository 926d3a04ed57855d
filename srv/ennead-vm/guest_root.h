// SPDX-License-Identifier: MIT
// The 9P server behind the guest's virtio-9p device: takes requests from the vCPU thread, answers
// them on the I/O thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "p9/server.h"
#include "synthfs/node.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::srv {

// Lives on the I/O thread; request() and reset() are called on the vCPU thread.
class GuestRoot {
  public:
    GuestRoot(boost::asio::io_context& io, synthfs::NodePtr root, std::string client, p9::Log log);

    // Where the answers go; to be called before the guest runs.
    void attach(vmcore::Vcpu& vcpu) { vcpu_ = &vcpu; }

    void request(vmcore::P9Request request);
    void reset();

    // I/O thread.
    [[nodiscard]] p9::ServerCounters counters() const;

  private:
    struct Exchange;
    void serve(std::shared_ptr<Exchange> exchange);
    void make_server();

    boost::asio::io_context& io_;
    synthfs::NodePtr root_;
    std::string client_;
    p9::Log log_;
    vmcore::Vcpu* vcpu_ = nullptr;
    std::unique_ptr<p9::Server> server_;
    p9::ServerCounters earlier_;  // of servers that a reset ended
    // Counts resets of the device, on the vCPU thread: an answer to a request from before one is
    // not delivered, since the channel it came from is gone.
    std::uint64_t epoch_ = 0;
};

}  // namespace ennead::srv
