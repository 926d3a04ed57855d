// SPDX-License-Identifier: MIT
// A pool of threads, and the way back to the I/O thread.
#include "srv/ennead-vm/slow_io.h"

#include <boost/asio/post.hpp>
#include <system_error>
#include <utility>

namespace ennead::srv {

SlowIo::SlowIo(boost::asio::io_context& io, std::recursive_mutex& tree) : io_(io), tree_(tree) {
    // A pool of several threads, of which the host does not give the last, waits for the first ones
    // for ever inside its constructor (Asio 1.74).
    try {
        for (std::jthread& thread : more_) {
            thread = std::jthread([this] { pool_.attach(); });
        }
    } catch (const std::system_error&) {
        return;  // fewer
    }
}

void SlowIo::run(std::function<void()> work, std::function<void()> then) {
    boost::asio::post(pool_, [this, work = std::move(work), then = std::move(then)]() mutable {
        work();
        work = nullptr;  // what it holds goes here, not with the tree
        boost::asio::post(io_, [this, then = std::move(then)]() mutable {
            const std::lock_guard held(tree_);
            then();
            then = nullptr;  // it may hold the last of a node
        });
    });
}

void SlowIo::stop() {
    pool_.join();
    for (std::jthread& thread : more_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

}  // namespace ennead::srv
