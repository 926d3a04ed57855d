// SPDX-License-Identifier: MIT
// Collecting settings, and making something at the first read.
#include "synthfs/clone_file.h"

#include <sys/stat.h>

#include <utility>

#include "synthfs/waiting_reads.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

namespace {

class CloneNode final : public SynthNode {
  public:
    explicit CloneNode(CloneFile file)
        : SynthNode(S_IFREG, {file.mode, file.name, file.errors}), file_(std::move(file)) {}

    [[nodiscard]] const CloneFile& file() const { return file_; }
    [[nodiscard]] bool reading_makes() const override { return true; }

  protected:
    [[nodiscard]] bool can_write() const override { return true; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

  private:
    CloneFile file_;
};

Checked<std::vector<Setting>> parse_settings(const CloneNode& node, std::string_view text) {
    auto commands = parse_commands(text);
    if (!commands) {
        return commands.error();
    }
    std::vector<Setting> settings;
    for (const Command& command : commands.value()) {
        for (const Word& word : command.words) {
            const std::size_t equals = word.text.find('=');
            if (equals == std::string::npos || equals == 0) {
                return Fault{EINVAL, quote(word.text) + " is not key=value", command.line,
                             word.column};
            }
            Setting setting{word.text.substr(0, equals), word.text.substr(equals + 1), command.line,
                            word.column};
            if (node.file().check) {
                if (auto allowed = node.file().check(setting); !allowed) {
                    Fault fault = std::move(allowed.error());
                    if (fault.command.empty()) {
                        fault.command = command.line;
                        fault.column = word.column;
                    }
                    return fault;
                }
            }
            settings.push_back(std::move(setting));
        }
    }
    return settings;
}

class CloneHandle final : public SynthHandle {
  public:
    CloneHandle(std::shared_ptr<CloneNode> node, int flags)
        : SynthHandle(node, flags), clone_node_(*node) {}

    void read(RequestPtr request, std::uint64_t offset, std::span<std::byte> into,
              Reply<std::size_t> reply) override {
        if (const int refusal = read_refusal()) {
            reply(error(refusal));
            return;
        }
        if (answer_.given()) {
            reply(answer_.read(offset, into));
            return;
        }
        if (refused_ != 0) {
            // What was asked for could not be had; making something else would be a surprise.
            reply(error(refused_));
            return;
        }
        const auto self = std::static_pointer_cast<CloneHandle>(shared_from_this());
        reads_.add({request, offset, into, std::move(reply)});
        if (making_ || reads_.empty()) {
            return;
        }
        making_ = true;
        // With a request of its own: an interrupted reader finds what was made by reading again.
        clone_node_.file().make(
            std::make_shared<Request>(request->caller()), settings_,
            [self, request](Checked<std::string> made) { self->made(*request, std::move(made)); });
    }

    void write(RequestPtr request, std::uint64_t, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(error(refusal));
            return;
        }
        if (making_ || answer_.given()) {
            reply(clone_node_.refuse(*request, make_fault(EBUSY, "made already; use its files")));
            return;
        }
        auto message = assembler_.add(data);
        if (!message) {
            reply(clone_node_.refuse(*request, message.error()));
            return;
        }
        auto settings = parse_settings(clone_node_, message.value());
        if (!settings) {
            assembler_.drop();
            refused_ = settings.error().errnum;
            reply(clone_node_.refuse(*request, settings.error()));
            return;
        }
        for (Setting& setting : settings.value()) {
            settings_.push_back(std::move(setting));
        }
        reply(data.size());
    }

    void on_retire() override { reads_.fail_all(ENODEV); }

  private:
    void made(const Request& request, Checked<std::string> text) {
        making_ = false;
        if (!text) {
            reads_.fail_all(clone_node_.refuse(request, text.error()).value());
            return;
        }
        answer_.set(std::move(text.value()));
        while (const auto read = reads_.take()) {
            read->reply(answer_.read(read->offset, read->into));
        }
    }

    CloneNode& clone_node_;
    std::vector<Setting> settings_;
    MessageAssembler assembler_;
    int refused_ = 0;  // errno of settings that were refused
    bool making_ = false;
    Answer answer_;
    WaitingReads reads_;
};

Checked<HandlePtr> CloneNode::open_handle(RequestPtr, int flags) {
    return std::make_shared<CloneHandle>(std::static_pointer_cast<CloneNode>(shared_from_this()),
                                         flags);
}

}  // namespace

SynthNodePtr make_clone_file(CloneFile file) {
    return std::make_shared<CloneNode>(std::move(file));
}

}  // namespace ennead::synthfs
