// SPDX-License-Identifier: MIT
// Fills the driver's buffers with random bytes.
#include "vmcore/virtio/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>

namespace ennead::vmcore {
namespace {

void host_entropy(std::span<u8> out) {
    while (!out.empty()) {
        const ssize_t n = getrandom(out.data(), out.size(), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            // With these arguments only a kernel without the system call can fail; weak bytes would
            // be worse.
            std::perror("getrandom");
            std::abort();
        }
        out = out.subspan(static_cast<std::size_t>(n));
    }
}

}  // namespace

VirtioRng::Source seeded_bytes(u64 seed) {
    return
        [numbers = std::mt19937_64(seed), number = u64{0}, left = 0u](std::span<u8> out) mutable {
            for (u8& byte : out) {
                if (left == 0) {
                    number = numbers();
                    left = sizeof number;
                }
                byte = static_cast<u8>(number);
                number >>= 8;
                --left;
            }
        };
}

VirtioRng::VirtioRng(Source source) : source_(source ? std::move(source) : Source(host_entropy)) {}

void VirtioRng::activated(u64 /*features*/, std::span<Queue* const> queues) {
    queue_ = queues[0];
}

void VirtioRng::queue_notified(unsigned /*n*/) {
    while (queue_->pop(chain_)) {
        // §5.4.6.1: the driver must not give readable buffers.
        if (!chain_.readable.empty() || chain_.writable.empty()) {
            queue_->fail("entropy request without room, or with readable buffers");
            return;
        }
        u32 filled = 0;
        for (const auto& part : chain_.writable) {
            const std::size_t n = std::min<std::size_t>(part.size(), kMaxRequest - filled);
            source_(part.first(n));
            filled += static_cast<u32>(n);
            if (filled == kMaxRequest) {
                break;
            }
        }
        queue_->push(chain_, filled);
    }
    queue_->signal();
}

}  // namespace ennead::vmcore
