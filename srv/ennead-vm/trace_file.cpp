// SPDX-License-Identifier: MIT
// Lines are made on the vCPU's thread and go to the stream on the I/O thread.
#include "srv/ennead-vm/trace_file.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <mutex>
#include <string>
#include <utility>

#include "p9/describe.h"
#include "synthfs/result.h"
#include "vmcore/machine/trace_text.h"

namespace ennead::srv {
namespace {

// Kept for each reader, and as much again on its way to the I/O thread. A second's worth of
// instructions is some 50 MB, so this is a matter of who is late, not of who is slow.
constexpr std::size_t kRing = 4 * 1024 * 1024;

std::string words_of(std::span<const std::byte> frame) {
    return p9::describe(frame);
}

}  // namespace

// What is on its way from the one thread to the other.
class TraceFile::Lines : public std::enable_shared_from_this<Lines> {
  public:
    Lines(boost::asio::io_context& io, std::shared_ptr<synthfs::StreamFile> stream)
        : io_(io), stream_(std::move(stream)) {}

    // vCPU thread.
    void add(const vmcore::TraceRecord& record) {
        const std::string line = vmcore::trace_text(record, words_of);
        const std::lock_guard lock(mutex_);
        if (lost_ != 0 || text_.size() + line.size() > kRing) {
            ++lost_;
            return;
        }
        text_ += line;
        if (!std::exchange(told_, true)) {
            boost::asio::post(io_, [self = shared_from_this()] { self->hand_over(); });
        }
    }

    // I/O thread.
    void hand_over() {
        std::string text;
        std::uint64_t lost = 0;
        {
            const std::lock_guard lock(mutex_);
            text.swap(text_);
            lost = std::exchange(lost_, 0);
            told_ = false;
        }
        if (lost != 0) {
            text += "lost " + std::to_string(lost) + '\n';
        }
        stream_->append(text);
    }

  private:
    boost::asio::io_context& io_;
    const std::shared_ptr<synthfs::StreamFile> stream_;
    std::mutex mutex_;  // guards what follows
    std::string text_;
    std::uint64_t lost_ = 0;  // lines after `text_`
    bool told_ = false;       // hand_over() is on its way
};

TraceFile::TraceFile(const OnVcpu& vcpu, boost::asio::io_context& io, synthfs::ErrorSink errors)
    : vcpu_(vcpu),
      stream_(synthfs::StreamFile::make({.mode = 0400,
                                         .name = "trace",
                                         .errors = std::move(errors),
                                         .capacity = kRing,
                                         .history = 0,
                                         .lines = true,
                                         .on_readers =
                                             [weak = std::weak_ptr(self_)](std::size_t count) {
                                                 if (const auto self = weak.lock()) {
                                                     (*self)->readers_changed(count);
                                                 }
                                             }})),
      lines_(std::make_shared<Lines>(io, stream_)) {}

void TraceFile::add(vmcore::TraceRule rule, synthfs::CheckedReply<> reply) {
    if (off_) {
        reply(wrong_state(vmcore::RunState::off));
        return;
    }
    if (rules_.size() == kMostRules) {
        reply(synthfs::make_fault(ENOSPC, "there can be %zu lines of trace", kMostRules));
        return;
    }
    rules_.push_back(std::move(rule));
    apply([reply = std::move(reply)] { reply(synthfs::success()); });
}

void TraceFile::end(synthfs::CheckedReply<> reply) {
    if (off_) {
        reply(wrong_state(vmcore::RunState::off));
        return;
    }
    rules_.clear();
    apply([this, reply = std::move(reply)] {
        lines_->hand_over();
        if (!off_) {
            stream_->set_eof();
            stream_->reopen();
        }
        reply(synthfs::success());
    });
}

void TraceFile::machine_off() {
    off_ = true;
    rules_.clear();
    lines_->hand_over();
    stream_->set_eof();
}

void TraceFile::readers_changed(std::size_t count) {
    if (rules_.empty() || off_) {
        return;
    }
    if (count == 0) {
        rules_.clear();
    }
    apply([] {});
}

void TraceFile::apply(std::function<void()> then) {
    const bool read = stream_->reader_count() != 0;
    vcpu_(
        [rules = read ? rules_ : std::vector<vmcore::TraceRule>(),
         lines = lines_](vmcore::Vcpu& v) mutable {
            v.machine().cpu().set_trace(
                std::move(rules),
                [lines](const vmcore::TraceRecord& record) { lines->add(record); });
            return true;
        },
        [then = std::move(then)](bool) { then(); });
}

}  // namespace ennead::srv
