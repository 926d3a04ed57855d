// SPDX-License-Identifier: MIT
// Verb tables: looking commands up and running a message's lines in order.
#include "synthfs/ctl_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace ennead::synthfs {

namespace {

class CtlNode final : public SynthNode {
  public:
    explicit CtlNode(CtlFile file)
        : SynthNode(S_IFREG, {file.mode, file.name, file.errors}), file_(std::move(file)) {}

    [[nodiscard]] const CtlFile& file() const { return file_; }
    [[nodiscard]] const Verb* find(std::string_view name) const {
        const auto& verbs = file_.verbs;
        const auto found =
            std::ranges::find_if(verbs, [&](const Verb& verb) { return verb.name == name; });
        return found == verbs.end() ? nullptr : &*found;
    }

  protected:
    [[nodiscard]] bool can_write() const override { return true; }
    Checked<HandlePtr> open_handle(RequestPtr request, int flags) override;

  private:
    CtlFile file_;
};

Fault at_column(Fault fault, std::size_t column) {
    fault.column = column;
    return fault;
}

// Whether `command` may be run, as far as can be told before anything has.
Checked<> check(const CtlNode& node, const Command& command) {
    const Verb* verb = node.find(command.verb());
    if (verb == nullptr) {
        std::string known;
        for (const Verb& each : node.file().verbs) {
            known += (known.empty() ? "" : " ") + std::string(each.name);
        }
        return at_column(make_fault(EINVAL, "unknown verb %s; known are: %s",
                                    quote(command.verb()).c_str(), known.c_str()),
                         command.words.front().column);
    }
    const int args = static_cast<int>(command.arg_count());
    const bool too_many = verb->max_args != kAnyArgs && args > verb->max_args;
    if (args < verb->min_args || too_many) {
        const std::size_t column =
            too_many ? command.arg(static_cast<std::size_t>(verb->max_args)).column
                     : command.line.size();
        return at_column(make_fault(EINVAL, "usage: %.*s", static_cast<int>(verb->usage.size()),
                                    verb->usage.data()),
                         column);
    }
    if (verb->check) {
        return verb->check(command);
    }
    return success();
}

// What names no word is about the verb.
Fault with_command(Fault fault, const Command& command) {
    if (fault.command.empty()) {
        fault.command = command.line;
        if (!fault.column) {
            fault.column = command.words.front().column;
        }
    }
    return fault;
}

// A message being carried out. Lives in the answers of its verbs.
class Message : public std::enable_shared_from_this<Message> {
  public:
    using Keep = std::function<void(std::shared_ptr<void>)>;
    Message(std::shared_ptr<const CtlNode> node, RequestPtr request, std::vector<Command> commands,
            Keep keep, CheckedReply<> reply)
        : node_(std::move(node)),
          request_(std::move(request)),
          commands_(std::move(commands)),
          keep_(std::move(keep)),
          reply_(std::move(reply)) {}

    // Most verbs answer before run() returns; a loop, as 64 KiB hold more lines than a stack.
    void proceed() {
        if (inside_) {
            again_ = true;
            return;
        }
        const auto self = shared_from_this();
        inside_ = true;
        do {
            again_ = false;
            run_next();
        } while (again_);
        inside_ = false;
    }

  private:
    void run_next() {
        if (next_ == commands_.size()) {
            reply_(success());
            return;
        }
        if (request_->cancelled()) {
            reply_(make_fault(EINTR, "interrupted"));
            return;
        }
        const Command& command = commands_[next_++];
        const Verb& verb = *node_->find(command.verb());
        verb.run(request_, command, [self = shared_from_this(), &command, &verb](Checked<> done) {
            if (!done) {
                self->reply_(with_command(std::move(done.error()), command));
                return;
            }
            if (verb.keep) {
                self->keep_(verb.keep());
            }
            self->proceed();
        });
    }

    std::shared_ptr<const CtlNode> node_;
    RequestPtr request_;
    std::vector<Command> commands_;
    Keep keep_;
    CheckedReply<> reply_;
    std::size_t next_ = 0;
    bool inside_ = false;
    bool again_ = false;
};

class CtlHandle final : public SynthHandle {
  public:
    CtlHandle(std::shared_ptr<CtlNode> node, RequestPtr request, int flags)
        : SynthHandle(node, flags), ctl_node_(std::move(node)), opener_(std::move(request)) {}

    ~CtlHandle() override {
        if (!assembler_.held().empty()) {
            ctl_node_->report(
                *opener_, {EINVAL, "the last line was cut and not applied", assembler_.held(), 0});
        }
    }

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
        if (offset == 0 || !captured_) {
            auto text = ctl_node_->file().text ? ctl_node_->file().text() : std::string();
            if (!text) {
                reply(ctl_node_->refuse(*request, text.error()));
                return;
            }
            captured_ = std::move(text.value());
        }
        reply(copy_out(*captured_, offset, into));
    }

    void write(RequestPtr request, std::uint64_t, std::span<const std::byte> data,
               Reply<std::size_t> reply) override {
        if (const int refusal = write_refusal()) {
            reply(error(refusal));
            return;
        }
        auto finish = [self = std::static_pointer_cast<CtlHandle>(shared_from_this()), request,
                       length = data.size(), reply = std::move(reply)](Checked<> done) {
            self->finish(*request, length, std::move(done), reply);
        };
        auto message = assembler_.add(data);
        if (!message) {
            finish(message.error());
            return;
        }
        auto commands = parse_commands(message.value());
        if (!commands) {
            finish(commands.error());
            return;
        }
        for (const Command& command : commands.value()) {
            if (auto allowed = check(*ctl_node_, command); !allowed) {
                finish(with_command(std::move(allowed.error()), command));
                return;
            }
        }
        // The message's answer has this open, and so it lasts as long.
        std::make_shared<Message>(
            ctl_node_, request, std::move(commands.value()),
            [this](std::shared_ptr<void> what) { kept_.push_back(std::move(what)); },
            std::move(finish))
            ->proceed();
    }

  private:
    void finish(const Request& request, std::size_t length, Checked<> done,
                const Reply<std::size_t>& reply) {
        if (done) {
            answer_.set("ok\n");
            ctl_node_->touch();
            reply(length);
            return;
        }
        assembler_.drop();
        answer_.set(done.error().text + "\n");
        reply(ctl_node_->refuse(request, done.error()));
    }

    std::shared_ptr<CtlNode> ctl_node_;
    RequestPtr opener_;
    std::optional<std::string> captured_;
    MessageAssembler assembler_;
    Answer answer_;
    std::vector<std::shared_ptr<void>> kept_;
};

Checked<HandlePtr> CtlNode::open_handle(RequestPtr request, int flags) {
    return std::make_shared<CtlHandle>(std::static_pointer_cast<CtlNode>(shared_from_this()),
                                       std::move(request), flags);
}

}  // namespace

SynthNodePtr make_ctl_file(CtlFile file) {
    return std::make_shared<CtlNode>(std::move(file));
}

}  // namespace ennead::synthfs
