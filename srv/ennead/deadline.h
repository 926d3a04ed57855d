// SPDX-License-Identifier: MIT
// Answers that are given in time, whatever a VM's process does.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace ennead::srv {

// A function that hands the first answer on to `reply`; if none came in time, `reply` gets `late`
// and what comes later is dropped. `io` outlives it.
template <class T>
std::function<void(T)> answer_within(boost::asio::io_context& io, std::chrono::milliseconds time,
                                     T late, std::function<void(T)> reply) {
    struct Pending {
        boost::asio::steady_timer timer;
        std::function<void(T)> reply;
    };
    auto pending =
        std::make_shared<Pending>(Pending{boost::asio::steady_timer(io, time), std::move(reply)});
    const auto answer = [pending](T value) {
        if (const auto first = std::exchange(pending->reply, nullptr)) {
            pending->timer.cancel();
            first(std::move(value));
        }
    };
    pending->timer.async_wait([answer, late = std::move(late)](boost::system::error_code ec) {
        if (!ec) {
            answer(late);
        }
    });
    return answer;
}

}  // namespace ennead::srv
