// SPDX-License-Identifier: MIT
// A pool of threads, and the way back to the I/O thread.
#include "srv/ennead-vm/slow_io.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace ennead::srv {

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
}

}  // namespace ennead::srv
