// SPDX-License-Identifier: MIT
// The 9P server behind the guest's virtio-9p device. What it asks is carried out on the vCPU
// thread, on the spot; what has to wait is answered later.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "p9/server.h"
#include "srv/ennead-vm/io_limit.h"
#include "synthfs/node.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::srv {

// request() and reset() are called on the vCPU thread.
class GuestRoot {
  public:
    // `tree` is held by the thread that uses the nodes of `root`. `most_files`: how many files the
    // guest may know or have open at once; one more is ENFILE.
    // `limit` says when each request may be carried out; those that have to wait are kept in order.
    GuestRoot(boost::asio::io_context& io, std::recursive_mutex& tree, synthfs::NodePtr root,
              std::string client, std::size_t most_files, std::shared_ptr<IoLimit> limit,
              p9::Log log);

    // Where the answers go; to be called before the guest runs.
    void attach(vmcore::Vcpu& vcpu) { vcpu_ = &vcpu; }

    void request(vmcore::P9Request request);
    // Whatever the guest had open is gone, and answers to earlier requests with it.
    void reset();

    // Any thread.
    [[nodiscard]] p9::ServerCounters counters() const;

  private:
    class Exchange;
    // Memory that one exchange after the other uses.
    struct Buffer {
        std::unique_ptr<std::byte[]> bytes;
        std::size_t size = 0;
    };

    // A request that has to wait.
    struct Held {
        vmcore::P9Request request;
        IoLimit::Clock::time_point due;
    };

    void make_server();
    void carry_out(vmcore::P9Request request);
    void hold(vmcore::P9Request request, IoLimit::Clock::time_point due);
    void release_held();
    // The guest has given up waiting for a request: it is forgotten if it is held.
    void flush_held(const vmcore::P9Request& flush);
    [[nodiscard]] vmcore::P9Channel& channel();
    void tell_scribbled(vmcore::u64 id);

    boost::asio::io_context& io_;
    std::recursive_mutex& tree_;
    synthfs::NodePtr root_;
    std::string client_;
    const std::size_t most_files_;
    const std::shared_ptr<IoLimit> limit_;
    p9::Log log_;
    vmcore::Vcpu* vcpu_ = nullptr;
    std::unique_ptr<p9::Server> server_;
    p9::ServerCounters earlier_;  // of servers that a reset ended
    std::deque<Held> held_;
    Buffer spare_;                              // the vCPU thread's, between requests
    std::vector<std::span<std::byte>> places_;  // of the request that is being taken
    std::vector<p9::Bytes> rest_;               // likewise: Exchange::request_rest()
    bool scribbled_ = false;                    // they may hold what is no reply
};

}  // namespace ennead::srv
