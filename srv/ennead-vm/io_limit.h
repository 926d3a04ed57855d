// SPDX-License-Identifier: MIT
// How long what a guest asks of the host's files and disks has to wait, so that it asks for no more
// than it may.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "srv/common/limits_page.h"

namespace ennead::srv {

// Any thread. An account for operations and one for bytes, each with a rate: what is taken is owed
// for as long as the rate wants, and who owes more than a burst waits until he does not.
class IoLimit {
  public:
    using Clock = std::chrono::steady_clock;
    using Now = std::function<Clock::time_point()>;
    static constexpr std::chrono::milliseconds kBurst{100};

    explicit IoLimit(std::shared_ptr<LimitsPage> page, Now now = &Clock::now)
        : page_(std::move(page)), now_(std::move(now)) {}

    [[nodiscard]] bool on() const { return page_->io_operations != 0 || page_->io_bytes != 0; }
    [[nodiscard]] Clock::time_point now() const { return now_(); }
    // An operation that is about to be done, with the bytes that it brings: when it may be.
    [[nodiscard]] Clock::time_point operation(std::uint64_t bytes);
    // Bytes that one has moved besides.
    void moved(std::uint64_t bytes);

  private:
    struct Account {
        Clock::time_point paid{};  // when nothing is owed any more
        void take(Clock::time_point now, std::uint64_t amount, std::uint64_t rate);
        [[nodiscard]] Clock::time_point ready(Clock::time_point now, std::uint64_t rate) const;
    };

    const std::shared_ptr<LimitsPage> page_;
    const Now now_;
    std::mutex mutex_;  // guards the accounts
    Account operations_, bytes_;
};

}  // namespace ennead::srv
