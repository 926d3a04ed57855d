// SPDX-License-Identifier: MIT
// Moves 9P messages between the virtqueue and the server.
#include "vmcore/virtio/p9_channel.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ennead::vmcore {

P9Channel::P9Channel(std::string mount_tag, std::size_t max_request, Hooks hooks)
    : max_request_(max_request), hooks_(std::move(hooks)) {
    assert(!mount_tag.empty() && mount_tag.size() + 2 <= 4096);
    config_.reserve(2 + mount_tag.size());
    config_.push_back(static_cast<u8>(mount_tag.size()));
    config_.push_back(static_cast<u8>(mount_tag.size() >> 8));
    config_.insert(config_.end(), mount_tag.begin(), mount_tag.end());
}

void P9Channel::activated(u64 /*features*/, std::span<Queue* const> queues) {
    queue_ = queues[0];
}

void P9Channel::queue_notified(unsigned /*n*/) {
    Chain chain;
    while (queue_->pop(chain)) {
        if (chain.readable_bytes == 0 || chain.writable_bytes == 0) {
            queue_->fail("9p request without a message or without room for the reply");
            return;
        }
        if (chain.readable_bytes > max_request_) {
            queue_->fail("9p request is longer than the largest message");
            return;
        }
        P9Request request;
        request.id = next_id_++;
        request.rest = chain.gather(request.bytes, kMaxCopied);
        // The used length has 32 bits.
        request.reply_capacity = std::min<u64>(chain.writable_bytes, 0xffff'ffff);
        request.reply_places =
            pending_.emplace(request.id, std::exchange(chain, Chain{})).first->second.writable;
        if (tapped()) {
            const auto& readable = pending_.at(request.id).readable;
            tell_tap<const u8>(readable, pending_.at(request.id).readable_bytes);
        }
        hooks_.submit(std::move(request));
    }
}

// The chain that a reply of so many bytes goes to; nothing if there is none any more.
std::optional<Chain> P9Channel::take(u64 id, std::size_t reply_size) {
    const auto at = pending_.find(id);
    if (at == pending_.end()) {
        return std::nullopt;
    }
    Chain chain = std::move(at->second);
    pending_.erase(at);
    if (reply_size > chain.writable_bytes) {
        queue_->fail("9p reply does not fit into the room given");
        return std::nullopt;
    }
    return chain;
}

// A frame of `size` bytes that lies in pieces.
template <class Byte>
void P9Channel::tell_tap(std::span<const std::span<Byte>> parts, std::size_t size) {
    std::vector<std::byte> frame;
    frame.reserve(size);
    for (const std::span<Byte> part : parts) {
        const auto bytes = std::as_bytes(part.first(std::min(part.size(), size - frame.size())));
        frame.insert(frame.end(), bytes.begin(), bytes.end());
    }
    tap_.frame(frame);
}

void P9Channel::complete(u64 id, std::span<const std::byte> reply) {
    if (const auto chain = take(id, reply.size())) {
        if (tapped()) {
            tap_.frame(reply);
        }
        chain->scatter(reply);
        queue_->push(*chain, static_cast<u32>(reply.size()));
        queue_->signal();
    }
}

void P9Channel::complete_in_place(u64 id, std::size_t size) {
    if (const auto chain = take(id, size)) {
        if (tapped()) {
            tell_tap<u8>(chain->writable, size);
        }
        queue_->push(*chain, static_cast<u32>(size));
        queue_->signal();
    }
}

void P9Channel::scribbled(u64 id) {
    if (const auto at = pending_.find(id); at != pending_.end()) {
        queue_->scribbled(at->second);
    }
}

void P9Channel::disconnect(const char* why) {
    if (queue_ != nullptr) {
        queue_->fail(why);
    }
}

void P9Channel::reset() {
    pending_.clear();
    if (std::exchange(queue_, nullptr) != nullptr && hooks_.reset) {
        hooks_.reset();
    }
}

}  // namespace ennead::vmcore
