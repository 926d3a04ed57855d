// SPDX-License-Identifier: MIT
// Messages out, answers in the same order.
#include "srv/ennead/namespace_link.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <utility>

#include "srv/common/namespace_message.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::make_fault;

struct NamespaceLink::State : std::enable_shared_from_this<State> {
    State(boost::asio::io_context& io, Fd fd) : socket(io, fd.release()) {}

    boost::asio::posix::stream_descriptor socket;
    std::deque<CheckedReply<>> replies;
    bool waiting = false;
    bool closed = false;

    void wait() {
        if (waiting || closed || replies.empty()) {
            return;
        }
        waiting = true;
        socket.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](boost::system::error_code ec) {
                              self->waiting = false;
                              if (!ec && !self->closed) {
                                  self->receive();
                              }
                          });
    }

    void receive() {
        // Plainly, so that descriptors which a process gone wrong sends along are never taken in.
        std::array<char, 8192> text{};
        const ssize_t size = recv(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            wait();
            return;
        }
        if (size <= 0) {
            end();
            return;
        }
        answer_first(decode_answer({text.data(), static_cast<std::size_t>(size)}));
        wait();
    }

    void answer_first(Checked<> outcome) {
        const auto reply = std::move(replies.front());
        replies.pop_front();
        reply(std::move(outcome));
    }

    // Nothing comes any more.
    void end() {
        closed = true;
        boost::system::error_code ignored;
        socket.close(ignored);
        while (!replies.empty()) {
            answer_first(make_fault(ENODEV, "the VM's process ended"));
        }
    }
};

NamespaceLink::NamespaceLink(boost::asio::io_context& io, Fd socket)
    : state_(std::make_shared<State>(io, std::move(socket))) {}

NamespaceLink::~NamespaceLink() {
    if (!state_->closed) {
        state_->end();
    }
}

void NamespaceLink::send(const NamespaceGrant& grant, CheckedReply<> reply) {
    if (state_->closed) {
        reply(make_fault(ENODEV, "the VM's process ended"));
        return;
    }
    std::vector<int> numbers;
    for (const Fd& fd : grant.descriptors) {
        numbers.push_back(fd.get());
    }
    if (auto sent = send_message(state_->socket.native_handle(), grant.text, numbers); !sent) {
        // It has gone before anybody noticed: no other answer than a moment later.
        const int errnum = sent.error().errnum;
        reply(errnum == EPIPE || errnum == ECONNRESET ? make_fault(ENODEV, "the VM's process ended")
                                                      : sent.error());
        return;
    }
    state_->replies.push_back(std::move(reply));
    state_->wait();
}

}  // namespace ennead::srv
