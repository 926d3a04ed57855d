// SPDX-License-Identifier: MIT
// The ring of a stream, and the cursors of its readers.
#include "synthfs/stream_file.h"

#include <sys/poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "synthfs/waiting_reads.h"

namespace ennead::synthfs {

class StreamHandle final : public SynthHandle {
  public:
    StreamHandle(std::shared_ptr<StreamFile> stream, int flags);
    ~StreamHandle() override;

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override;
    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override;
    unsigned poll(std::function<void()> notify) override;
    void on_retire() override;

    // Gives waiting reads what there is now, and tells a poll that was asked.
    void wake();
    // For this open if it can be answered through; given once the cursor is there.
    void add_aside(std::string_view bytes);
    // The stream has gone on to another run; gives the run whose end this open has yet to meet, or
    // that one.
    std::uint64_t reopened();

  private:
    // The place where this open meets the end of file, if that is known yet.
    [[nodiscard]] std::optional<StreamFile::Position> end_of_file() const;
    void skip_lost();
    [[nodiscard]] bool aside_is_due() const;
    [[nodiscard]] bool can_give() const;
    // Only if can_give().
    std::size_t give(std::span<std::byte> into);
    [[nodiscard]] unsigned events() const;

    StreamFile& stream_;
    StreamFile::Position cursor_;
    std::uint64_t newlines_ = 0;  // before the cursor
    bool in_line_ = false;        // the cursor is not at a line's beginning
    std::uint64_t run_;           // of the stream, that this open is in
    bool met_end_ = false;        // of that run
    std::string notice_;          // `lost k` or an aside, to be given first
    struct Aside {
        StreamFile::Position at;
        std::string bytes;
    };
    std::deque<Aside> asides_;
    std::function<void()> notify_;
    unsigned polled_ = 0;  // what the poll that left `notify_` was told
    WaitingReads reads_;
};

StreamHandle::StreamHandle(std::shared_ptr<StreamFile> stream, int flags)
    : SynthHandle(stream, flags), stream_(*stream), run_(stream_.run_) {
    const std::size_t kept = std::min(stream_.options_.history, stream_.used_);
    cursor_ = stream_.line_begin(stream_.end() - kept);
    newlines_ = stream_.newlines_before(cursor_);
    if (opened_for_reading()) {
        stream_.readers_changed(+1);
    }
}

StreamHandle::~StreamHandle() {
    if (opened_for_reading()) {
        stream_.readers_changed(-1);
    }
}

std::optional<StreamFile::Position> StreamHandle::end_of_file() const {
    if (run_ == stream_.run_) {
        return stream_.eof_ ? std::optional(stream_.end()) : std::nullopt;
    }
    for (const StreamFile::End& end : stream_.ends_) {
        if (end.run == run_) {
            return std::max(end.at, stream_.begin_);
        }
    }
    return stream_.begin_;  // so long ago that all of that run has been dropped
}

// Moves on to the oldest byte kept if what the cursor stood at is gone.
void StreamHandle::skip_lost() {
    if (cursor_ >= stream_.begin_) {
        return;
    }
    cursor_ = stream_.begin_;
    if (stream_.options_.lines) {
        notice_ = (in_line_ ? "\nlost " : "lost ") +
                  std::to_string(stream_.newlines_dropped_ - newlines_) + '\n';
        in_line_ = false;
    }
    newlines_ = stream_.newlines_dropped_;
}

void StreamHandle::add_aside(std::string_view bytes) {
    if (!opened_for_reading() || !opened_for_writing()) {
        return;
    }
    if (asides_.size() == StreamFile::kMaxAsides) {
        asides_.pop_front();
    }
    asides_.push_back({stream_.end(), std::string(bytes)});
}

bool StreamHandle::aside_is_due() const {
    return !asides_.empty() && asides_.front().at <= cursor_;
}

bool StreamHandle::can_give() const {
    return !notice_.empty() || aside_is_due() || cursor_ < stream_.end() ||
           end_of_file().has_value();
}

std::size_t StreamHandle::give(std::span<std::byte> into) {
    if (notice_.empty()) {
        skip_lost();
    }
    if (notice_.empty() && aside_is_due()) {
        notice_ = std::move(asides_.front().bytes);
        asides_.pop_front();
    }
    if (!notice_.empty()) {
        const std::size_t length = copy_out(notice_, 0, into);
        notice_.erase(0, length);
        return length;
    }
    const auto eof = end_of_file();
    StreamFile::Position limit = eof.value_or(stream_.end());
    if (eof && cursor_ >= limit) {
        met_end_ = run_ == stream_.run_;
        run_ = std::min(run_ + 1, stream_.run_);
        return 0;
    }
    if (!asides_.empty()) {
        limit = std::min(limit, asides_.front().at);
    }
    std::size_t length = 0;
    while (length < into.size() && cursor_ + length < limit) {
        std::string_view piece = stream_.piece(cursor_ + length);
        piece = piece.substr(
            0, std::min<std::uint64_t>(limit - cursor_ - length, into.size() - length));
        std::memcpy(into.data() + length, piece.data(), piece.size());
        length += piece.size();
    }
    if (stream_.options_.lines) {
        const std::string_view given(reinterpret_cast<const char*>(into.data()), length);
        const std::size_t newline = given.rfind('\n');
        if (newline != std::string_view::npos) {
            length = newline + 1;
        }
        const std::string_view kept = given.substr(0, length);
        newlines_ += static_cast<std::uint64_t>(std::ranges::count(kept, '\n'));
        in_line_ = kept.back() != '\n';
    }
    cursor_ += length;
    return length;
}

void StreamHandle::read(RequestPtr request, std::uint64_t, std::span<std::byte> into,
                        Reply<std::size_t> reply) {
    if (const int refusal = read_refusal()) {
        reply(error(refusal));
    } else if (into.empty()) {
        reply(std::size_t{0});
    } else if (reads_.empty() && can_give()) {
        reply(give(into));
    } else if (request->nonblocking()) {
        reply(error(EAGAIN));
    } else {
        reads_.add({request, 0, into, std::move(reply)});
    }
}

void StreamHandle::write(RequestPtr request, std::uint64_t, std::span<const std::byte> data,
                         Reply<std::size_t> reply) {
    if (const int refusal = write_refusal()) {
        reply(error(refusal));
        return;
    }
    stream_.options_.write(request, data,
                           [self = std::static_pointer_cast<StreamHandle>(shared_from_this()),
                            request, reply = std::move(reply)](Checked<std::size_t> done) {
                               if (done) {
                                   reply(done.value());
                               } else {
                                   reply(self->stream_.refuse(*request, done.error()));
                               }
                           });
}

unsigned StreamHandle::events() const {
    if (stream_.retired()) {
        return POLLERR | POLLHUP;
    }
    unsigned ready = 0;
    if (can_give()) {
        ready |= POLLIN;
    }
    if (const auto eof = end_of_file(); eof && cursor_ >= *eof && notice_.empty()) {
        ready |= POLLHUP;
    }
    if (stream_.can_write() && (!stream_.options_.can_take || stream_.options_.can_take())) {
        ready |= POLLOUT;
    }
    return ready;
}

unsigned StreamHandle::poll(std::function<void()> notify) {
    const unsigned ready = events();
    constexpr unsigned kEverything = POLLIN | POLLOUT;
    notify_ = (ready & kEverything) == kEverything ? nullptr : std::move(notify);
    polled_ = ready;
    return ready;
}

std::uint64_t StreamHandle::reopened() {
    if (met_end_) {
        run_ = stream_.run_;
        met_end_ = false;
    }
    return run_;
}

void StreamHandle::wake() {
    while (!reads_.empty() && can_give()) {
        const auto read = reads_.take();
        read->reply(give(read->into));
    }
    if (notify_ && (events() & ~polled_) != 0) {
        std::exchange(notify_, nullptr)();
    }
}

void StreamHandle::on_retire() {
    reads_.fail_all(ENODEV);
    if (notify_) {
        std::exchange(notify_, nullptr)();
    }
}

std::shared_ptr<StreamFile> StreamFile::make(Options options) {
    return std::make_shared<StreamFile>(std::move(options));
}

StreamFile::StreamFile(Options options)
    : SynthNode(S_IFREG, {options.mode, options.name, options.errors}),
      options_(std::move(options)) {
    options_.capacity = std::max<std::size_t>(options_.capacity, 1);
}

Checked<HandlePtr> StreamFile::open_handle(RequestPtr, int flags) {
    return std::make_shared<StreamHandle>(std::static_pointer_cast<StreamFile>(shared_from_this()),
                                          flags);
}

void StreamFile::readers_changed(int by) {
    readers_ += static_cast<std::size_t>(by);
    if (options_.on_readers && !retired()) {
        options_.on_readers(readers_);
    }
}

std::string_view StreamFile::piece(Position from) const {
    const std::size_t skip = from - begin_;
    if (skip >= used_) {
        return {};
    }
    const std::size_t index = (head_ + skip) % ring_.size();
    return {ring_.data() + index, std::min(used_ - skip, ring_.size() - index)};
}

std::uint64_t StreamFile::newlines_before(Position at) const {
    std::uint64_t newlines = newlines_dropped_;
    if (!options_.lines) {
        return newlines;
    }
    for (Position from = begin_; from < at;) {
        const std::string_view bytes = piece(from).substr(0, at - from);
        newlines += static_cast<std::uint64_t>(std::ranges::count(bytes, '\n'));
        from += bytes.size();
    }
    return newlines;
}

StreamFile::Position StreamFile::line_begin(Position at) const {
    if (!options_.lines || at == begin_ || at == end() || piece(at - 1).front() == '\n') {
        return at;
    }
    while (at < end()) {
        const std::string_view bytes = piece(at);
        const std::size_t newline = bytes.find('\n');
        if (newline != std::string_view::npos) {
            return at + newline + 1;
        }
        at += bytes.size();
    }
    return at;
}

void StreamFile::drop(std::size_t bytes) {
    if (options_.lines) {
        newlines_dropped_ = newlines_before(begin_ + bytes);
    }
    begin_ += bytes;
    used_ -= bytes;
    head_ = ring_.empty() ? 0 : (head_ + bytes) % ring_.size();
}

// So that `bytes`, at most the capacity, fit behind what is kept.
void StreamFile::make_room(std::size_t bytes) {
    const std::size_t wanted = std::min(used_ + bytes, options_.capacity);
    if (wanted > ring_.size()) {
        std::vector<char> larger(std::min(std::max(wanted, 2 * ring_.size()), options_.capacity));
        std::size_t filled = 0;
        while (filled < used_) {
            const std::string_view bytes_kept = piece(begin_ + filled);
            std::memcpy(larger.data() + filled, bytes_kept.data(), bytes_kept.size());
            filled += bytes_kept.size();
        }
        ring_ = std::move(larger);
        head_ = 0;
    }
    if (used_ + bytes > ring_.size()) {
        const Position first = begin_ + (used_ + bytes - ring_.size());
        drop(line_begin(first) - begin_);
    }
}

void StreamFile::append(std::string_view bytes) {
    if (bytes.empty() || retired()) {
        return;
    }
    const auto self = shared_from_this();  // answering may end this stream's last user
    // Piece by piece: more than fits at once would push out its own beginning, and readers that
    // wait get everything.
    while (!bytes.empty()) {
        const std::string_view now = bytes.substr(0, options_.capacity);
        bytes.remove_prefix(now.size());
        make_room(now.size());
        for (std::size_t done = 0; done < now.size();) {
            const std::size_t tail = (head_ + used_) % ring_.size();
            const std::size_t length = std::min(now.size() - done, ring_.size() - tail);
            std::memcpy(ring_.data() + tail, now.data() + done, length);
            used_ += length;
            done += length;
        }
        wake();
    }
}

void StreamFile::append_aside(std::string_view bytes) {
    if (bytes.empty() || retired()) {
        return;
    }
    for (const auto& handle : handles()) {
        static_cast<StreamHandle&>(*handle).add_aside(bytes);
    }
    wake();
}

void StreamFile::set_eof() {
    if (!eof_) {
        eof_ = true;
        wake();
    }
}

void StreamFile::reopen() {
    if (!eof_) {
        return;
    }
    eof_ = false;
    ends_.push_back({run_++, end()});
    // What no open waits for any more is forgotten.
    std::uint64_t oldest = run_;
    for (const auto& handle : handles()) {
        oldest = std::min(oldest, static_cast<StreamHandle&>(*handle).reopened());
    }
    while (!ends_.empty() && ends_.front().run < oldest) {
        ends_.pop_front();
    }
}

void StreamFile::wake() {
    // Answering may end this stream's last user.
    const auto self = shared_from_this();
    for (const auto& handle : handles()) {
        static_cast<StreamHandle&>(*handle).wake();
    }
}

}  // namespace ennead::synthfs
