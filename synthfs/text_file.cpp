// SPDX-License-Identifier: MIT
// Capturing text at offset 0, and joining writes to messages.
#include "synthfs/text_file.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "synthfs/waiting_reads.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

namespace {

class TextNode final : public SynthNode {
  public:
    explicit TextNode(TextFile file)
        : SynthNode(S_IFREG, {file.mode, file.name, file.errors}), file_(std::move(file)) {}

    [[nodiscard]] const TextFile& file() const { return file_; }

  protected:
    [[nodiscard]] bool can_read() const override { return file_.text || file_.text_later; }
    [[nodiscard]] bool can_write() const override { return file_.write || file_.truncate; }
    [[nodiscard]] std::uint64_t size() const override { return file_.size ? file_.size() : 0; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

    void truncate(RequestPtr request, std::uint64_t size, CheckedReply<> reply) override {
        if (size == 0 && file_.truncate) {
            reply(file_.truncate());
        } else {
            SynthNode::truncate(std::move(request), size, std::move(reply));
        }
    }

  private:
    TextFile file_;
};

class TextHandle final : public SynthHandle {
  public:
    TextHandle(std::shared_ptr<TextNode> node, RequestPtr request, int flags)
        : SynthHandle(node, flags),
          text_node_(*node),
          opener_(std::move(request)),
          replace_((flags & O_TRUNC) != 0),
          append_((flags & O_APPEND) != 0),
          reads_([this] { abandon_capture(); }) {}
    ~TextHandle() override;

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override;
    void write(RequestPtr request, std::uint64_t offset, std::span<const std::byte> data,
               Reply<std::size_t> reply) override;
    void on_retire() override {
        abandon_capture();
        reads_.fail_all(ENODEV);
    }

  private:
    void start_capture(const RequestPtr& request);
    void end_capture(std::uint64_t number, Checked<std::string> text);
    void abandon_capture();

    TextNode& text_node_;
    RequestPtr opener_;

    std::optional<std::string> captured_;
    RequestPtr capture_;                // under way
    std::uint64_t capture_number_ = 0;  // tells an abandoned capture's late answer from this one's

    MessageAssembler assembler_;
    bool replace_;
    bool append_;

    WaitingReads reads_;  // last: it answers its reads first
};

Checked<HandlePtr> TextNode::open_handle(RequestPtr request, int flags) {
    if ((flags & O_TRUNC) != 0 && file_.truncate) {
        if (auto done = file_.truncate(); !done) {
            return done.error();
        }
    }
    return std::make_shared<TextHandle>(std::static_pointer_cast<TextNode>(shared_from_this()),
                                        std::move(request), flags);
}

TextHandle::~TextHandle() {
    if (!assembler_.held().empty()) {
        // Nothing may happen at close, so a line whose end never came is told and dropped.
        text_node_.report(*opener_,
                          {EINVAL, "the last line was cut and not applied", assembler_.held(), 0});
    }
    abandon_capture();
}

void TextHandle::read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
                      Reply<std::size_t> reply) {
    if (const int refusal = read_refusal()) {
        reply(error(refusal));
        return;
    }
    const bool fresh = offset == 0 || !captured_;
    if (!fresh && !capture_) {
        reply(copy_out(*captured_, offset, into));
        return;
    }
    const auto self = shared_from_this();
    reads_.add({request, offset, into, std::move(reply)});
    if (!capture_ && !reads_.empty()) {
        start_capture(request);
    }
}

void TextHandle::start_capture(const RequestPtr& request) {
    const std::uint64_t number = ++capture_number_;
    // Its own request: it lasts as long as any read waits for it, not only the first.
    capture_ = std::make_shared<Request>(request->caller());
    if (text_node_.file().text) {
        end_capture(number, text_node_.file().text());
        return;
    }
    text_node_.file().text_later(
        capture_, [weak = weak_from_this(), number](Checked<std::string> text) {
            if (const auto self = std::static_pointer_cast<TextHandle>(weak.lock())) {
                self->end_capture(number, std::move(text));
            }
        });
}

void TextHandle::end_capture(std::uint64_t number, Checked<std::string> text) {
    if (number != capture_number_ || !capture_) {
        return;
    }
    const RequestPtr capture = std::exchange(capture_, nullptr);
    if (!text) {
        captured_.reset();
        reads_.fail_all(text_node_.refuse(*capture, text.error()).value());
        return;
    }
    captured_ = std::move(text.value());
    while (auto read = reads_.take()) {
        read->reply(copy_out(*captured_, read->offset, read->into));
        if (!captured_) {
            break;  // the reply led to another capture, which failed and answered the rest
        }
    }
}

void TextHandle::abandon_capture() {
    if (const RequestPtr capture = std::exchange(capture_, nullptr)) {
        capture->cancel();
    }
}

void TextHandle::write(RequestPtr request, std::uint64_t, std::span<const std::byte> data,
                       Reply<std::size_t> reply) {
    if (const int refusal = write_refusal()) {
        reply(error(refusal));
        return;
    }
    auto message = assembler_.add(data);
    if (!message) {
        reply(text_node_.refuse(*request, message.error()));
        return;
    }
    const std::size_t length = data.size();
    if (message.value().empty()) {
        reply(length);
        return;
    }
    if (!text_node_.file().write) {
        // Only to be cleared: `echo > error` is as good as `: > error`.
        if (message.value().find_first_not_of(" \t\n") == std::string::npos) {
            reply(length);
        } else {
            reply(text_node_.refuse(*request, make_fault(EPERM, "this file can only be cleared")));
        }
        return;
    }
    TextWrite write{std::move(message.value()), replace_, append_};
    replace_ = false;
    append_ = true;
    const auto self = std::static_pointer_cast<TextHandle>(shared_from_this());
    text_node_.file().write(request, std::move(write),
                            [self, request, length, reply](Checked<> done) {
                                if (!done) {
                                    self->assembler_.drop();
                                    reply(self->text_node_.refuse(*request, done.error()));
                                    return;
                                }
                                self->text_node_.touch();
                                reply(length);
                            });
}

}  // namespace

SynthNodePtr make_text_file(TextFile file) {
    return std::make_shared<TextNode>(std::move(file));
}

}  // namespace ennead::synthfs
