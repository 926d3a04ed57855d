// SPDX-License-Identifier: MIT
// Reads that wait for what comes next, each ended by its data, its asker's interrupt or its
// handle's end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "synthfs/request.h"
#include "synthfs/result.h"

namespace ennead::synthfs {

struct WaitingRead {
    RequestPtr request;
    std::uint64_t offset = 0;
    std::span<std::byte> into;
    Reply<std::size_t> reply;
};

// In the order of their arrival. A reply may lead to anything, the end of this queue's owner
// included, so whoever answers takes a read out first and holds what it still needs.
class WaitingReads {
  public:
    // `on_abandoned` runs when an interrupt has taken the last read away.
    explicit WaitingReads(std::function<void()> on_abandoned = {});
    WaitingReads(const WaitingReads&) = delete;
    WaitingReads& operator=(const WaitingReads&) = delete;
    ~WaitingReads();

    [[nodiscard]] bool empty() const;
    // Answered with EINTR as soon as its request is cancelled.
    void add(WaitingRead read);
    // The oldest, which no longer waits; the caller answers it.
    [[nodiscard]] std::optional<WaitingRead> take();
    // The caller keeps this queue's owner alive meanwhile.
    void fail_all(int errnum);

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace ennead::synthfs
