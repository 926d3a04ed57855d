// SPDX-License-Identifier: MIT
// A copy of the descriptor in the loop, until it is readable or nobody waits any more.
#include "srv/ennead-vm/wait_readable.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <memory>

#include "srv/common/fd.h"

namespace ennead::srv {

synthfs::WhenReadable wait_readable(boost::asio::io_context& io, std::recursive_mutex& tree) {
    return [&io, &tree](int fd, std::function<void()> ready) -> std::shared_ptr<void> {
        struct Wait {
            explicit Wait(boost::asio::io_context& context) : copy(context) {}
            boost::asio::posix::stream_descriptor copy;  // the loop's
            std::function<void()> ready;                 // the tree's; empty: nobody waits
        };
        const auto wait = std::make_shared<Wait>(io);
        wait->ready = std::move(ready);
        const auto done = [wait, &tree](boost::system::error_code) {
            const std::lock_guard held(tree);
            // What is wrong with it, its read tells.
            if (const auto tell = std::exchange(wait->ready, nullptr)) {
                tell();
            }
        };
        const auto own = std::make_shared<Fd>(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        boost::asio::post(io, [wait, done, own] {
            boost::system::error_code failure;
            wait->copy.assign(own->get(), failure);
            if (failure) {
                done(failure);
                return;
            }
            (void)own->release();  // the loop's now
            wait->copy.async_wait(boost::asio::posix::stream_descriptor::wait_read, done);
        });
        return {nullptr, [wait, &io](void*) {
                    wait->ready = nullptr;
                    boost::asio::post(io, [wait] {
                        boost::system::error_code ignored;
                        wait->copy.close(ignored);
                    });
                }};
    };
}

}  // namespace ennead::srv
