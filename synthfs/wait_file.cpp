// SPDX-License-Identifier: MIT
// Reads that wait for a condition.
#include "synthfs/wait_file.h"

#include <sys/poll.h>
#include <sys/stat.h>

#include <utility>

#include "synthfs/waiting_reads.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

class WaitHandle final : public SynthHandle {
  public:
    WaitHandle(std::shared_ptr<WaitFile> file, int flags)
        : SynthHandle(file, flags), file_(*file) {}

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (const int refusal = read_refusal()) {
            reply(error(refusal));
            return;
        }
        if (offset == 0 || !captured_) {
            captured_ = file_.options_.text();
        }
        if (captured_) {
            reply(copy_out(*captured_, offset, into));
        } else if (request->nonblocking()) {
            reply(error(EAGAIN));
        } else {
            reads_.add({request, offset, into, std::move(reply)});
        }
    }

    void write(RequestPtr request, std::uint64_t, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(error(refusal));
            return;
        }
        if (data.size() > kMaxMessage) {
            reply(file_.refuse(*request, make_fault(E2BIG, "a message of %zu bytes is over %zu",
                                                    data.size(), kMaxMessage)));
            return;
        }
        file_.options_.write(
            request, std::string(reinterpret_cast<const char*>(data.data()), data.size()),
            [self = std::static_pointer_cast<WaitHandle>(shared_from_this()), request,
             length = data.size(), reply = std::move(reply)](Checked<> done) {
                if (done) {
                    reply(length);
                } else {
                    reply(self->file_.refuse(*request, done.error()));
                }
            });
    }

    unsigned poll(std::function<void()> notify) override {
        if (file_.retired()) {
            return POLLERR | POLLHUP;
        }
        const unsigned writable = file_.can_write() ? POLLOUT : 0;
        if (captured_ || file_.options_.text()) {
            return POLLIN | writable;
        }
        notify_ = std::move(notify);
        return writable;
    }

    void wake() {
        if (reads_.empty() && !notify_) {
            return;
        }
        auto text = file_.options_.text();
        if (!text) {
            return;
        }
        captured_ = std::move(text);
        while (const auto read = reads_.take()) {
            read->reply(copy_out(*captured_, read->offset, read->into));
            if (!captured_) {
                break;  // the reply led to a rewound read, and the condition no longer holds
            }
        }
        if (notify_) {
            std::exchange(notify_, nullptr)();
        }
    }

    void on_retire() override {
        reads_.fail_all(ENODEV);
        if (notify_) {
            std::exchange(notify_, nullptr)();
        }
    }

  private:
    WaitFile& file_;
    std::optional<std::string> captured_;
    std::function<void()> notify_;
    WaitingReads reads_;
};

std::shared_ptr<WaitFile> WaitFile::make(Options options) {
    return std::make_shared<WaitFile>(std::move(options));
}

WaitFile::WaitFile(Options options)
    : SynthNode(S_IFREG, {options.mode, options.name, options.errors}),
      options_(std::move(options)) {}

Checked<HandlePtr> WaitFile::open_handle(RequestPtr, int flags) {
    return std::make_shared<WaitHandle>(std::static_pointer_cast<WaitFile>(shared_from_this()),
                                        flags);
}

void WaitFile::wake() {
    const auto self = shared_from_this();  // answering may end this file's last user
    for (const auto& handle : handles()) {
        static_cast<WaitHandle&>(*handle).wake();
    }
}

}  // namespace ennead::synthfs
