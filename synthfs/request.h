// SPDX-License-Identifier: MIT
// One operation under way: who asked, whether it may wait, and how it is called off.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "synthfs/result.h"

namespace ennead::synthfs {

// The identity an operation is carried out for, as the kernel or the 9P attach gave it.
struct Caller {
    unsigned uid = 0;
    unsigned gid = 0;
    int pid = 0;        // 0 when unknown (9P)
    unsigned hops = 0;  // servers that have passed it on
};

// Shared by the side that asked (FUSE, 9P server) and the node that answers. Both live on the
// thread that owns the tree; nothing here is locked.
//
// The node answers exactly once, through the Reply it was given, whether or not the request is
// cancelled. A node that lets a request wait installs `on_cancel`; when the asker cancels, that
// function runs once and must lead to the Reply being called soon (normally with EINTR).
class Request {
  public:
    explicit Request(Caller caller = {}, bool nonblocking = false)
        : caller_(caller), nonblocking_(nonblocking) {}

    [[nodiscard]] const Caller& caller() const { return caller_; }
    // True if the operation must answer EAGAIN instead of waiting (O_NONBLOCK).
    [[nodiscard]] bool nonblocking() const { return nonblocking_; }
    [[nodiscard]] bool cancelled() const { return cancelled_; }

    // Installs what cancels the waiting operation; runs it at once if the request is already
    // cancelled.
    void on_cancel(std::function<void()> hook) {
        if (cancelled_) {
            hook();
            return;
        }
        hook_ = std::move(hook);
    }

    // For the node: the operation no longer waits, so a later cancel has nothing to do.
    void settle() { hook_ = nullptr; }

    void cancel() {
        if (cancelled_) {
            return;
        }
        cancelled_ = true;
        if (auto hook = std::exchange(hook_, nullptr)) {
            hook();
        }
    }

    // For the node that refuses: what an errno cannot say, one line. For the asker, if it has a use
    // for it.
    void explain(std::string words) const { words_ = std::move(words); }
    [[nodiscard]] const std::string& words() const { return words_; }

  private:
    Caller caller_;
    bool nonblocking_;
    bool cancelled_ = false;
    std::function<void()> hook_;
    mutable std::string words_;  // who refuses need not be able to cancel
};

using RequestPtr = std::shared_ptr<Request>;

// Called exactly once with the outcome, on the thread that owns the tree; possibly before the call
// that was given it returns.
template <class T = void>
using Reply = std::function<void(Result<T>)>;

}  // namespace ennead::synthfs
