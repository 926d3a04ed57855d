// SPDX-License-Identifier: MIT
// The thread that does a disk's requests, since the host's disk may take its time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "srv/ennead-vm/disk_image.h"
#include "srv/ennead-vm/io_limit.h"

namespace ennead::srv {

// Does one request after the other, in the order they came.
class DiskWorker {
  public:
    // Called on the worker's thread; `request.data` is what was read, `errnum` 0 if it went well.
    using Done = std::function<void(vmcore::BlockRequest request, int errnum)>;

    // `limit` is asked how long each request has to wait; null: none does.
    DiskWorker(std::unique_ptr<DiskImage> image, std::shared_ptr<IoLimit> limit, Done done);
    ~DiskWorker() { stop(); }
    DiskWorker(const DiskWorker&) = delete;
    DiskWorker& operator=(const DiskWorker&) = delete;

    // Any thread, as close(). After close() and stop() requests are dropped.
    void submit(vmcore::BlockRequest request);
    // After the requests submitted so far the image is closed, and so its lock let go; then
    // `closed` is called on the worker's thread.
    void close(std::function<void()> closed);
    // Waits for the request under way; drops the others. Not on the worker's thread.
    void stop();

  private:
    void loop();
    void await_turn(std::unique_lock<std::mutex>& lock, const vmcore::BlockRequest& request);
    [[nodiscard]] int carry_out(vmcore::BlockRequest& request);

    std::unique_ptr<DiskImage> image_;  // the worker's thread alone
    const std::shared_ptr<IoLimit> limit_;
    Done done_;
    std::mutex mutex_;  // guards the following
    std::deque<vmcore::BlockRequest> requests_;
    std::function<void()> closed_;
    bool closing_ = false, quit_ = false;
    std::condition_variable wake_;
    std::thread thread_;  // last: starts when everything else is there
};

// In words, for `error`: what did not work.
[[nodiscard]] std::string describe_request(const vmcore::BlockRequest& request);

}  // namespace ennead::srv
