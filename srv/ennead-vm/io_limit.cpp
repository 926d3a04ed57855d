// SPDX-License-Identifier: MIT
// Two accounts that are paid off at a rate.
#include "srv/ennead-vm/io_limit.h"

#include <algorithm>

namespace ennead::srv {

void IoLimit::Account::take(Clock::time_point now, std::uint64_t amount, std::uint64_t rate) {
    if (rate != 0) {
        const auto time =
            std::chrono::duration<double>(static_cast<double>(amount) / static_cast<double>(rate));
        paid = std::max(paid, now) + std::chrono::duration_cast<Clock::duration>(time);
    }
}

IoLimit::Clock::time_point IoLimit::Account::ready(Clock::time_point now,
                                                   std::uint64_t rate) const {
    return rate == 0 ? now : std::max(now, paid - kBurst);
}

IoLimit::Clock::time_point IoLimit::operation(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto now = now_();
    const auto when =
        std::max(operations_.ready(now, page_->io_operations), bytes_.ready(now, page_->io_bytes));
    operations_.take(now, 1, page_->io_operations);
    bytes_.take(now, bytes, page_->io_bytes);
    if (when > now) {
        ++page_->io_delayed;
        page_->io_delay_us += static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(when - now).count());
    }
    return when;
}

void IoLimit::moved(std::uint64_t bytes) {
    if (page_->io_bytes == 0) {
        return;
    }
    const std::lock_guard lock(mutex_);
    bytes_.take(now_(), bytes, page_->io_bytes);
}

}  // namespace ennead::srv
