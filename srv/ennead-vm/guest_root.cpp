// SPDX-License-Identifier: MIT
// Joins the 9P server to the guest's device, without a change of threads where nothing waits.
#include "srv/ennead-vm/guest_root.h"

#include <algorithm>
#include <span>
#include <utility>

namespace ennead::srv {
// A request, and the memory of its reply. While the vCPU thread is inside request() it answers the
// guest itself; what comes later is posted to it.
class GuestRoot::Exchange final : public p9::Exchange {
  public:
    Exchange(GuestRoot& root, vmcore::P9Request request)
        : root_(root), request_(std::move(request)), reply_(std::exchange(root.spare_, {})) {
        root.places_.clear();
        root.rest_.clear();
        for (const std::span<const vmcore::u8> piece : request_.rest) {
            root.rest_.push_back(std::as_bytes(piece));
        }
        for (const std::span<vmcore::u8> place : request_.reply_places) {
            root.places_.push_back(std::as_writable_bytes(place));
        }
    }

    [[nodiscard]] p9::Bytes request() const override { return request_.bytes; }
    [[nodiscard]] std::span<const p9::Bytes> request_rest() const override { return root_.rest_; }

    std::span<std::byte> reply_space(std::size_t want) override {
        const std::size_t size = std::min(want, request_.reply_capacity);
        if (size > reply_.size) {
            reply_ = {std::make_unique_for_overwrite<std::byte[]>(size), size};
        }
        return {reply_.bytes.get(), size};
    }

    [[nodiscard]] std::span<const std::span<std::byte>> reply_places() override {
        root_.scribbled_ = true;  // unless the reply will be what is there
        return root_.places_;
    }

    void done_in_place(std::size_t size) override {
        root_.scribbled_ = false;
        root_.channel().complete_in_place(request_.id, size);
        root_.spare_ = std::move(reply_);
    }

    void done(std::size_t size) override {
        if (root_.vcpu_->here()) {
            root_.tell_scribbled(request_.id);
            root_.channel().complete(request_.id, {reply_.bytes.get(), size});
            root_.spare_ = std::move(reply_);
            return;
        }
        // A reset of the device meanwhile makes the channel forget the id.
        root_.vcpu_->post([&root = root_, id = request_.id, size,
                           reply = std::make_shared<Buffer>(std::move(reply_))](vmcore::Vcpu&) {
            root.channel().complete(id, {reply->bytes.get(), size});
        });
    }

  private:
    GuestRoot& root_;
    vmcore::P9Request request_;
    Buffer reply_;
};

GuestRoot::GuestRoot(std::recursive_mutex& tree, synthfs::NodePtr root, std::string client,
                     std::size_t most_files, p9::Log log)
    : tree_(tree),
      root_(std::move(root)),
      client_(std::move(client)),
      most_files_(most_files),
      log_(std::move(log)) {
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
    options.tree = &tree_;
    options.steady_versions = true;
    options.log = log_;
    options.reads_on = true;
    options.max_fids = options.max_open = most_files_;
    options.on_end = [this](std::string_view reason) {
        vcpu_->post([this, why = std::string(reason)](vmcore::Vcpu&) {
            channel().disconnect(why.c_str());
        });
    };
    server_ = std::make_unique<p9::Server>(root_, std::move(options));
}

vmcore::P9Channel& GuestRoot::channel() {
    return vcpu_->machine().p9_channel();
}

void GuestRoot::request(vmcore::P9Request request) {
    const vmcore::u64 id = request.id;
    server_->request(std::make_unique<Exchange>(*this, std::move(request)));
    tell_scribbled(id);
    places_.clear();
    rest_.clear();
}

void GuestRoot::tell_scribbled(vmcore::u64 id) {
    if (std::exchange(scribbled_, false)) {
        channel().scribbled(id);
    }
}

void GuestRoot::reset() {
    const std::lock_guard held(tree_);
    make_server();
}

p9::ServerCounters GuestRoot::counters() const {
    const std::lock_guard held(tree_);
    p9::ServerCounters sum = server_->counters();
    sum.requests += earlier_.requests;
    sum.bytes_in += earlier_.bytes_in;
    sum.bytes_out += earlier_.bytes_out;
    return sum;
}

}  // namespace ennead::srv
