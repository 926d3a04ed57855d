// SPDX-License-Identifier: MIT
// Forwards an open and everything on it to the VM process.
#include "srv/ennead/live_file.h"

#include <sys/poll.h>
#include <sys/stat.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "srv/ennead/vm_link.h"
#include "synthfs/result.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::HandlePtr;
using synthfs::Reply;
using synthfs::RequestPtr;
using synthfs::Result;
using synthfs::SynthHandle;

class LiveHandle;

class LiveNode final : public synthfs::SynthNode {
  public:
    explicit LiveNode(LiveFile file)
        : SynthNode(S_IFREG, {.mode = file.mode, .name = file.name, .errors = file.errors}),
          file_(std::move(file)) {}

    [[nodiscard]] bool is_stream() const override { return file_.stream; }

  protected:
    [[nodiscard]] bool can_write() const override { return (file_.mode & 0222) != 0; }
    [[nodiscard]] std::uint64_t size() const override { return file_.size ? file_.size() : 0; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;
    // O_TRUNC and truncate(2) mean nothing to files whose contents are the machine.
    void truncate(RequestPtr, std::uint64_t, synthfs::CheckedReply<> reply) override {
        reply(synthfs::success());
    }

  private:
    LiveFile file_;
};

// The open at the other end is under way when this handle is given out; until it is there,
// operations queue.
class LiveHandle final : public SynthHandle {
  public:
    LiveHandle(std::shared_ptr<synthfs::SynthNode> node, int flags)
        : SynthHandle(std::move(node), flags) {}
    ~LiveHandle() override { opened(synthfs::error(ENODEV)); }

    void connect(const synthfs::NodePtr& tree, const std::string& name, int flags) {
        // The remote open may outlast this handle, and must not keep it alive.
        auto self = std::weak_ptr(std::static_pointer_cast<LiveHandle>(shared_from_this()));
        open_file(tree, name, flags, [self](Result<HandlePtr> result) {
            if (auto handle = self.lock()) {
                handle->opened(std::move(result));
            }
        });
    }

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (const int refusal = read_refusal()) {
            reply(synthfs::error(refusal));
            return;
        }
        when_open(request, reply,
                  [=](synthfs::Handle& remote) { remote.read(request, offset, into, reply); });
    }

    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(synthfs::error(refusal));
            return;
        }
        when_open(request, reply,
                  [=](synthfs::Handle& remote) { remote.write(request, offset, data, reply); });
    }

    unsigned poll(std::function<void()> notify) override {
        if (remote_ && *remote_) {
            return (*remote_).value()->poll(std::move(notify));
        }
        if (remote_) {
            return POLLERR | POLLHUP;
        }
        if (notify) {
            waiting_.push_back(
                [notify = std::move(notify)](const Result<HandlePtr>&) { notify(); });
        }
        return 0;
    }

    void on_retire() override {
        // Reads that wait at the other end answer ENODEV as the link closes, which a VM that is
        // destroyed does before its files are retired.
        opened(synthfs::error(ENODEV));
        remote_ = synthfs::error(ENODEV);
    }

  private:
    template <class Operation>
    void when_open(const RequestPtr& request, const Reply<std::size_t>& reply,
                   Operation operation) {
        if (!remote_) {
            if (request->nonblocking()) {
                reply(synthfs::error(EAGAIN));
                return;
            }
            const auto pending = std::make_shared<Reply<std::size_t>>(reply);
            request->on_cancel([pending] {
                if (const auto answer = std::exchange(*pending, nullptr)) {
                    answer(synthfs::error(EINTR));
                }
            });
            waiting_.push_back([request, pending, operation](const Result<HandlePtr>& remote) {
                request->settle();
                const auto answer = std::exchange(*pending, nullptr);
                if (!answer) {
                    return;  // cancelled
                }
                if (!remote) {
                    answer(remote.error());
                } else {
                    operation(*remote.value());
                }
            });
            return;
        }
        if (!*remote_) {
            reply((*remote_).error());
            return;
        }
        operation(*(*remote_).value());
    }

    void opened(Result<HandlePtr> result) {
        if (!remote_) {
            remote_ = result;
        }
        auto waiting = std::exchange(waiting_, {});
        for (auto& resume : waiting) {
            resume(result);
        }
    }

    std::optional<Result<HandlePtr>> remote_;
    std::deque<std::function<void(const Result<HandlePtr>&)>> waiting_;
};

Checked<HandlePtr> LiveNode::open_handle(RequestPtr, int flags) {
    const synthfs::NodePtr tree = file_.tree();
    if (!tree) {
        return synthfs::make_fault(
            EBUSY, "the VM has no process: it was not started, or its process has ended");
    }
    auto handle = std::make_shared<LiveHandle>(
        std::static_pointer_cast<synthfs::SynthNode>(shared_from_this()), flags);
    handle->connect(tree, file_.name, flags);
    return HandlePtr(std::move(handle));
}

}  // namespace

synthfs::SynthNodePtr make_live_file(LiveFile file) {
    return std::make_shared<LiveNode>(std::move(file));
}

}  // namespace ennead::srv
