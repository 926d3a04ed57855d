// SPDX-License-Identifier: MIT
// Sums, and when they begin.
#include "synthfs/quota.h"

#include <algorithm>
#include <cerrno>

namespace ennead::synthfs {

namespace {

// Directories of the host may lose what the guest has not added: that gives it nothing.
void change(std::atomic<std::uint64_t>& sum, std::int64_t bytes) {
    const std::uint64_t now = sum;
    sum = bytes >= 0 ? now + static_cast<std::uint64_t>(bytes)
                     : now - std::min(now, static_cast<std::uint64_t>(-bytes));
}

}  // namespace

Quota::Quota(std::shared_ptr<QuotaCounters> counters, std::function<void()> when_full)
    : counters_(std::move(counters)), when_full_(std::move(when_full)) {
    counters_->unlinked = 0;  // the host took them back when the process before ended
}

void Quota::add_layer(std::function<std::uint64_t()> count) {
    layers_.push_back(std::move(count));
}

bool Quota::on() {
    if (counters_->limit == 0) {
        begun_ = false;
        return false;
    }
    // A file in many pieces may take a block more when the host has written it, of which nobody is
    // told, and gives that back too. So now and then the sum is made anew.
    // Not while a write is under way, of which the sum would have a part already.
    if (given_back_ >= counters_->limit && reserved_ == 0) {
        begun_ = false;
    }
    if (!std::exchange(begun_, true)) {
        given_back_ = 0;
        counters_->layers = 0;
        counted_ = 0;
    }
    for (; counted_ < layers_.size(); ++counted_) {
        change(counters_->layers, static_cast<std::int64_t>(layers_[counted_]()));
    }
    return true;
}

std::uint64_t Quota::room() {
    if (!on()) {
        return kEndless;
    }
    const std::uint64_t used = counters_->used() + reserved_;
    const std::uint64_t limit = counters_->limit;
    const std::uint64_t left = limit - std::min(limit, used);
    full_ = full_ && left == 0;
    return left;
}

std::error_code Quota::refuse() {
    ++counters_->refused;
    if (!std::exchange(full_, true) && when_full_) {
        when_full_();
    }
    return error(EDQUOT);
}

void Quota::add(Kind kind, std::int64_t bytes, bool unlinked) {
    // Never counted anew here, in the middle of a change, which would then count twice.
    if (begun_ && counters_->limit != 0) {
        given_back_ += bytes < 0 ? static_cast<std::uint64_t>(-bytes) : 0;
        change(unlinked ? counters_->unlinked : of(kind), bytes);
    }
}

std::uint64_t Quota::unlink(Kind kind, std::uint64_t bytes) {
    if (!begun_ || counters_->limit == 0) {
        return 0;
    }
    const std::uint64_t moved = std::min<std::uint64_t>(of(kind), bytes);
    add(kind, -static_cast<std::int64_t>(moved));
    add(kind, static_cast<std::int64_t>(moved), true);
    return moved;
}

}  // namespace ennead::synthfs
