// SPDX-License-Identifier: MIT
// A copy of the descriptor in the loop, until it is readable or nobody waits any more.
#include "srv/ennead-vm/wait_readable.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <memory>

namespace ennead::srv {

synthfs::WhenReadable wait_readable(boost::asio::io_context& io) {
    return [&io](int fd, std::function<void()> ready) -> std::shared_ptr<void> {
        struct Wait {
            explicit Wait(boost::asio::io_context& context) : copy(context) {}
            boost::asio::posix::stream_descriptor copy;
            bool over = false;
        };
        const auto wait = std::make_shared<Wait>(io);
        const auto done = [wait, ready = std::move(ready)](boost::system::error_code) {
            // What is wrong with it, its read tells.
            if (!std::exchange(wait->over, true)) {
                ready();
            }
        };
        boost::system::error_code failure;
        wait->copy.assign(fcntl(fd, F_DUPFD_CLOEXEC, 0), failure);
        if (failure) {
            boost::asio::post(io, [done, failure] { done(failure); });
        } else {
            wait->copy.async_wait(boost::asio::posix::stream_descriptor::wait_read, done);
        }
        return {nullptr, [wait](void*) {
                    wait->over = true;
                    boost::system::error_code ignored;
                    wait->copy.close(ignored);
                }};
    };
}

}  // namespace ennead::srv
