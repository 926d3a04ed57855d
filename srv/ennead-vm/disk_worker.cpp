// SPDX-License-Identifier: MIT
// The queue in front of a disk image.
#include "srv/ennead-vm/disk_worker.h"

#include <string>
#include <utility>

namespace ennead::srv {

using vmcore::BlockRequest;
using Kind = BlockRequest::Kind;

DiskWorker::DiskWorker(std::unique_ptr<DiskImage> image, std::shared_ptr<IoLimit> limit, Done done)
    : image_(std::move(image)),
      limit_(std::move(limit)),
      done_(std::move(done)),
      thread_([this] { loop(); }) {}

void DiskWorker::submit(BlockRequest request) {
    const std::lock_guard lock(mutex_);
    if (!closing_ && !quit_) {
        requests_.push_back(std::move(request));
        wake_.notify_one();
    }
}

void DiskWorker::close(std::function<void()> closed) {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    closed_ = std::move(closed);
    wake_.notify_one();
}

void DiskWorker::stop() {
    {
        const std::lock_guard lock(mutex_);
        quit_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) {
        thread_.join();
    }
}

void DiskWorker::loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return quit_ || closing_ || !requests_.empty(); });
        if (quit_) {
            return;
        }
        if (requests_.empty()) {
            const auto closed = std::exchange(closed_, nullptr);
            lock.unlock();
            image_ = nullptr;
            if (closed) {
                closed();
            }
            return;
        }
        BlockRequest request = std::move(requests_.front());
        requests_.pop_front();
        await_turn(lock, request);
        lock.unlock();
        const int errnum = carry_out(request);
        done_(std::move(request), errnum);
        lock.lock();
    }
}

// Nobody waits for a disk that is being closed.
void DiskWorker::await_turn(std::unique_lock<std::mutex>& lock, const BlockRequest& request) {
    if (limit_ && limit_->on()) {
        const auto when = limit_->operation(request.data.size());
        wake_.wait_until(lock, when, [this] { return quit_ || closing_; });
    }
}

int DiskWorker::carry_out(BlockRequest& request) {
    int bad = 0;
    switch (request.kind) {
        case Kind::read:
            return image_->read(request.sector, request.data);
        case Kind::flush:
            return image_->flush();
        case Kind::write:
            bad = image_->write(request.sector, request.data);
            break;
        case Kind::discard:
        case Kind::write_zeroes:
            for (const BlockRequest::Range& range : request.ranges) {
                bad = request.kind == Kind::discard ? image_->discard(range)
                                                    : image_->write_zeroes(range);
                if (bad != 0) {
                    break;
                }
            }
            break;
    }
    return bad == 0 && request.durable ? image_->flush() : bad;
}

std::string describe_request(const BlockRequest& request) {
    const auto sectors = [&request](const char* what) {
        return what + std::to_string(request.data.size() / vmcore::kSectorSize) +
               " sectors at sector " + std::to_string(request.sector);
    };
    switch (request.kind) {
        case Kind::read:
            return sectors("reading ");
        case Kind::write:
            return sectors("writing ");
        case Kind::flush:
            return "flushing";
        case Kind::discard:
            return "discarding";
        case Kind::write_zeroes:
            return "writing zeroes";
    }
    return "";
}

}  // namespace ennead::srv
