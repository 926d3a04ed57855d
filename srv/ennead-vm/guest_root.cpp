// SPDX-License-Identifier: MIT
// Joins the 9P server to the guest's device, without a change of threads where nothing waits.
#include "srv/ennead-vm/guest_root.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <span>
#include <utility>

namespace ennead::srv {
namespace {

p9::Type type_of(const vmcore::P9Request& request) {
    constexpr std::size_t kType = 4;
    return request.bytes.size() > kType ? static_cast<p9::Type>(request.bytes[kType]) : p9::Type{};
}

}  // namespace

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
        root_.limit_->moved(size);
        root_.scribbled_ = false;
        root_.channel().complete_in_place(request_.id, size);
        root_.spare_ = std::move(reply_);
    }

    void done(std::size_t size) override {
        root_.limit_->moved(size);
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

GuestRoot::GuestRoot(boost::asio::io_context& io, std::recursive_mutex& tree, synthfs::NodePtr root,
                     std::string client, std::size_t most_files, std::shared_ptr<IoLimit> limit,
                     p9::Log log)
    : io_(io),
      tree_(tree),
      root_(std::move(root)),
      client_(std::move(client)),
      most_files_(most_files),
      limit_(std::move(limit)),
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
    if (!limit_->on() && held_.empty()) {
        carry_out(std::move(request));
        return;
    }
    if (type_of(request) == p9::Type::tflush) {
        flush_held(request);
        carry_out(std::move(request));
        return;
    }
    std::size_t size = request.bytes.size();
    for (const auto& piece : request.rest) {
        size += piece.size();
    }
    auto due = limit_->operation(size);
    if (!held_.empty()) {
        due = std::max(due, held_.back().due);
    }
    if (held_.empty() && due <= limit_->now()) {
        carry_out(std::move(request));
    } else {
        hold(std::move(request), due);
    }
}

void GuestRoot::hold(vmcore::P9Request request, IoLimit::Clock::time_point due) {
    // What is the guest's to change is so until the device has taken it.
    for (const auto& piece : request.rest) {
        const auto bytes = std::as_bytes(piece);
        request.bytes.insert(request.bytes.end(), bytes.begin(), bytes.end());
    }
    request.rest.clear();
    request.reply_places = {};
    held_.push_back({std::move(request), due});
    const auto timer = std::make_shared<boost::asio::steady_timer>(io_, due);
    timer->async_wait([this, timer](boost::system::error_code) {
        vcpu_->post([this](vmcore::Vcpu&) { release_held(); });
    });
}

void GuestRoot::release_held() {
    const auto now = limit_->now();
    while (!held_.empty() && held_.front().due <= now) {
        vmcore::P9Request request = std::move(held_.front().request);
        held_.pop_front();
        carry_out(std::move(request));
    }
}

void GuestRoot::flush_held(const vmcore::P9Request& flush) {
    // size[4] Tflush tag[2] oldtag[2]
    constexpr std::size_t kTag = 5, kOldTag = 7;
    const auto number = [](const vmcore::P9Request& from, std::size_t at) {
        std::uint16_t value = 0;
        if (from.bytes.size() >= at + sizeof value) {
            std::memcpy(&value, from.bytes.data() + at, sizeof value);
        }
        return value;
    };
    const auto wanted = number(flush, kOldTag);
    const auto found = std::ranges::find_if(
        held_, [&](const Held& held) { return number(held.request, kTag) == wanted; });
    if (found != held_.end()) {
        const vmcore::u64 id = found->request.id;
        held_.erase(found);
        channel().complete(id, {});  // there is no reply
    }
}

void GuestRoot::carry_out(vmcore::P9Request request) {
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
    held_.clear();
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
