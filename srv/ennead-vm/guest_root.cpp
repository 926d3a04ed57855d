// SPDX-License-Identifier: MIT
// Carries 9P frames between the two threads of the VM process.
#include "srv/ennead-vm/guest_root.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace ennead::srv {
namespace {

// A guest that leaks open files must not take the process's last descriptor: half of them are left
// for what the tree itself needs, and for the machine.
std::size_t most_open() {
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return 512;
    }
    return static_cast<std::size_t>(files.rlim_cur / 2);
}

}  // namespace

// A request and the memory of its reply, from the vCPU thread and back.
struct GuestRoot::Exchange {
    std::uint64_t id = 0;
    std::uint64_t epoch = 0;
    std::vector<std::byte> request;
    std::vector<std::byte> reply;
};

GuestRoot::GuestRoot(boost::asio::io_context& io, synthfs::NodePtr root, std::string client,
                     p9::Log log)
    : io_(io), root_(std::move(root)), client_(std::move(client)), log_(std::move(log)) {
    make_server();
}

void GuestRoot::make_server() {
    if (server_) {
        const p9::ServerCounters& last = server_->counters();
        earlier_.requests += last.requests;
        earlier_.bytes_in += last.bytes_in;
        earlier_.bytes_out += last.bytes_out;
    }
    p9::ServerOptions options;
    options.client = client_;
    options.log = log_;
    options.reads_on = true;
    options.max_open = std::min(options.max_open, most_open());
    options.on_end = [this](std::string_view reason) {
        vcpu_->post([why = std::string(reason)](vmcore::Vcpu& vcpu) {
            vcpu.machine().p9_channel().disconnect(why.c_str());
        });
    };
    server_ = std::make_unique<p9::Server>(root_, std::move(options));
}

void GuestRoot::request(vmcore::P9Request request) {
    auto exchange = std::make_shared<Exchange>();
    exchange->id = request.id;
    exchange->epoch = epoch_;
    exchange->request = std::move(request.bytes);
    exchange->reply.resize(request.reply_capacity);
    boost::asio::post(
        io_, [this, exchange = std::move(exchange)]() mutable { serve(std::move(exchange)); });
}

void GuestRoot::reset() {
    ++epoch_;
    boost::asio::post(io_, [this] { make_server(); });
}

void GuestRoot::serve(std::shared_ptr<Exchange> exchange) {
    const auto done = [this, exchange](std::size_t size) {
        vcpu_->post([this, exchange, size](vmcore::Vcpu& vcpu) {
            if (exchange->epoch == epoch_) {
                vcpu.machine().p9_channel().complete(exchange->id,
                                                     std::span(exchange->reply).first(size));
            }
        });
    };
    server_->request(p9::make_exchange(exchange->request, exchange->reply, done, exchange));
}

p9::ServerCounters GuestRoot::counters() const {
    p9::ServerCounters sum = server_->counters();
    sum.requests += earlier_.requests;
    sum.bytes_in += earlier_.bytes_in;
    sum.bytes_out += earlier_.bytes_out;
    return sum;
}

}  // namespace ennead::srv
