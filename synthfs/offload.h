// SPDX-License-Identifier: MIT
// How a tree hands over what may wait for a disk, so that its own thread goes on.
#pragma once

#include <functional>

namespace ennead::synthfs {

class Offload {
  public:
    virtual ~Offload() = default;

    // `work` is done on another thread and must not touch the tree; `then` follows on a thread that
    // owns it, never before run() returns. Neither may throw. Neither happens if the process ends
    // first.
    virtual void run(std::function<void()> work, std::function<void()> then) = 0;
};

}  // namespace ennead::synthfs
