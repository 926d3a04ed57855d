// SPDX-License-Identifier: MIT
// The queue of waiting reads and their cancellation.
#include "synthfs/waiting_reads.h"

#include <list>
#include <utility>

namespace ennead::synthfs {

struct WaitingReads::State {
    std::list<WaitingRead> reads;
    std::function<void()> on_abandoned;
};

WaitingReads::WaitingReads(std::function<void()> on_abandoned) : state_(std::make_shared<State>()) {
    state_->on_abandoned = std::move(on_abandoned);
}

WaitingReads::~WaitingReads() {
    state_->on_abandoned = nullptr;
    fail_all(EINTR);
}

bool WaitingReads::empty() const {
    return state_->reads.empty();
}

void WaitingReads::add(WaitingRead read) {
    const RequestPtr request = read.request;
    const auto place = state_->reads.insert(state_->reads.end(), std::move(read));
    // The hook is dropped when the read is taken, so `place` is valid whenever it runs.
    request->on_cancel([weak = std::weak_ptr(state_), place] {
        const auto state = weak.lock();
        if (!state) {
            return;
        }
        const WaitingRead cancelled = std::move(*place);
        state->reads.erase(place);
        if (state->reads.empty() && state->on_abandoned) {
            state->on_abandoned();
        }
        cancelled.reply(error(EINTR));
    });
}

std::optional<WaitingRead> WaitingReads::take() {
    auto& reads = state_->reads;
    if (reads.empty()) {
        return {};
    }
    std::optional<WaitingRead> oldest(std::move(reads.front()));
    reads.pop_front();
    oldest->request->settle();
    return oldest;
}

void WaitingReads::fail_all(int errnum) {
    while (const auto read = take()) {
        read->reply(error(errnum));
    }
}

}  // namespace ennead::synthfs
