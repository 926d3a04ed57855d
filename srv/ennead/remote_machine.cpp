// SPDX-License-Identifier: MIT
// Spawns the process, opens its live files as they come up, and turns its streams into calls.
#include "srv/ennead/remote_machine.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "srv/ennead/deadline.h"
#include "synthfs/result.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::Fault;
using synthfs::HandlePtr;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::RequestPtr;
using synthfs::Result;

namespace {

// A write to ctl keeps other writers of the file out, so it must not wait for a process that
// hangs: after this long it fails, and `kill` has its turn. A process that lives answers within
// milliseconds; to build a machine it has to read a kernel.
constexpr std::chrono::seconds kControlPatience{5}, kBuildPatience{30};

Fault no_answer() {
    return make_fault(ETIMEDOUT, "%s", kNoAnswer);
}

// With the words for a process that hangs.
Fault fault_of(const std::error_code& code) {
    return synthfs::to_errno(code) == ETIMEDOUT ? no_answer() : synthfs::fault_of(code);
}

// After a write that failed, a `ctl` file reads as the error's text.
void explain(const HandlePtr& ctl, Fault fault, CheckedReply<> reply) {
    auto buffer = std::make_shared<std::array<char, 512>>();
    ctl->read(std::make_shared<synthfs::Request>(), 0, std::as_writable_bytes(std::span(*buffer)),
              [ctl, buffer, fault = std::move(fault),
               reply = std::move(reply)](Result<std::size_t> count) mutable {
                  const std::string_view text(buffer->data(), count ? count.value() : 0);
                  if (const std::size_t end = text.find('\n'); end != 0 && end != text.npos) {
                      fault.text = text.substr(0, end);
                  }
                  reply(std::move(fault));
              });
}

// `error errno file column 'command' 'text'`, as LiveDir tells it.
synthfs::ErrorRecord error_record(const Command& event) {
    synthfs::ErrorRecord record;
    if (const auto number = synthfs::parse_number(event.arg(0))) {
        record.errnum = static_cast<int>(number.value());
    }
    record.file = event.arg(1).text;
    if (const auto column = synthfs::parse_number(event.arg(2))) {
        record.column = column.value();
    }
    record.command = event.arg(3).text;
    record.text = event.arg(4).text;
    return record;
}

// The value of `key value` among the lines of a text.
std::optional<std::uint64_t> number_of(std::string_view text, std::string_view key) {
    const auto lines = synthfs::parse_commands(text);
    for (const Command& line : lines ? lines.value() : std::vector<Command>{}) {
        if (line.verb() == key && line.arg_count() == 1) {
            if (const auto number = synthfs::parse_number(line.arg(0))) {
                return number.value();
            }
        }
    }
    return std::nullopt;
}

}  // namespace

template <class Method>
auto RemoteMachine::callback(Method method) {
    return [weak = weak_from_this(), method](auto&&... args) {
        if (const auto self = weak.lock(); self && !self->closed_) {
            (*self.*method)(std::forward<decltype(args)>(args)...);
        }
    };
}

// --- start
// -------------------------------------------------------------------------------------------------------

Checked<std::shared_ptr<RemoteMachine>> RemoteMachine::spawn(boost::asio::io_context& io,
                                                             const std::string& program,
                                                             StartMessage message, Grants grants,
                                                             const NamespaceGrant& names,
                                                             Hooks hooks) {
    auto machine = std::shared_ptr<RemoteMachine>(new RemoteMachine(io, std::move(hooks)));
    ProcessSockets sockets;
    auto process = VmProcess::spawn(io, program, std::move(message), std::move(grants),
                                    machine->callback(&RemoteMachine::process_ended), sockets);
    if (!process) {
        return process.error();
    }
    machine->process_ = std::move(process.value());
    machine->connect(std::move(sockets));
    // If it cannot be taken over, the greeting says so.
    machine->name_space_->send(names, [](const Checked<>&) {});
    return machine;
}

void RemoteMachine::connect(ProcessSockets sockets) {
    name_space_ = std::make_unique<NamespaceLink>(io_, std::move(sockets.name_space));
    ready_ = answer_within<Checked<>>(io_, kBuildPatience, no_answer(),
                                      callback(&RemoteMachine::tell_ready));
    link_ = std::make_unique<VmLink>(
        io_, std::move(sockets.link),
        VmLink::Hooks{.ready = callback(&RemoteMachine::built),
                      // A process that closes its end is about to be reaped.
                      .lost = callback(&RemoteMachine::kill),
                      .stopped = [this] { return stopped(); }});
}

void RemoteMachine::tell_ready(Checked<> outcome) {
    hooks_.ready(std::move(outcome));
}

void RemoteMachine::built(Checked<NodePtr> tree) {
    if (!tree) {
        ready_(tree.error());
        return;
    }
    tree_ = std::move(tree.value());
    open_file(tree_, "cons", O_RDWR, callback(&RemoteMachine::console_opened));
}

void RemoteMachine::console_opened(Result<HandlePtr> handle) {
    if (!handle) {
        ready_(synthfs::fault_of(handle.error()));
        return;
    }
    console_handle_ = handle.value();
    open_file(tree_, "events", O_RDONLY, callback(&RemoteMachine::events_opened));
}

void RemoteMachine::events_opened(Result<HandlePtr> handle) {
    if (!handle) {
        ready_(synthfs::fault_of(handle.error()));
        return;
    }
    event_handle_ = handle.value();
    tree_->walk(std::make_shared<synthfs::Request>(), "root",
                callback(&RemoteMachine::guest_tree_found));
}

void RemoteMachine::guest_tree_found(Result<NodePtr> node) {
    if (!node) {
        ready_(synthfs::fault_of(node.error()));
        return;
    }
    guest_tree_ = std::move(node.value());
    console_open_ = true;
    console_pump_ =
        StreamPump::start(console_handle_, hooks_.console, callback(&RemoteMachine::console_ended));
    event_pump_ =
        StreamPump::start(std::move(event_handle_), callback(&RemoteMachine::event_bytes), [] {});
    ready_(synthfs::success());
}

// --- while it runs
// -----------------------------------------------------------------------------------------------

void RemoteMachine::control(const std::string& line, CheckedReply<> answer) {
    const auto reply =
        answer_within<Checked<>>(io_, kControlPatience, no_answer(), std::move(answer));
    open_file(tree_, "ctl", O_RDWR, [line, reply](Result<HandlePtr> opened) {
        if (!opened) {
            reply(fault_of(opened.error()));
            return;
        }
        // The text and the handle live until the answer.
        auto text = std::make_shared<std::string>(line + '\n');
        HandlePtr handle = opened.value();
        handle->write(std::make_shared<synthfs::Request>(), 0, std::as_bytes(std::span(*text)),
                      [reply, text, handle](Result<std::size_t> written) {
                          if (written) {
                              reply(synthfs::success());
                          } else if (const Fault fault = fault_of(written.error());
                                     fault.errnum == ETIMEDOUT) {
                              reply(fault);
                          } else {
                              explain(handle, fault, reply);
                          }
                      });
    });
}

void RemoteMachine::change_namespace(const NamespaceGrant& names, CheckedReply<> reply) {
    if (!name_space_) {
        reply(make_fault(ENODEV, "the VM's process ended"));
        return;
    }
    name_space_->send(names, std::move(reply));
}

void RemoteMachine::write_console(RequestPtr request, std::span<const std::byte> data,
                                  CheckedReply<std::size_t> reply) {
    if (!console_handle_) {
        reply(make_fault(EBUSY, "the VM is starting"));
        return;
    }
    if (off_) {
        reply(make_fault(EPIPE, "the VM is off"));
        return;
    }
    console_handle_->write(std::move(request), 0, data,
                           [reply = std::move(reply)](Result<std::size_t> written) {
                               if (written) {
                                   reply(written.value());
                               } else {
                                   reply(fault_of(written.error()));
                               }
                           });
}

void RemoteMachine::count_instructions(std::function<void(std::optional<std::uint64_t>)> reply) {
    open_file(
        tree_, "instructions", O_RDONLY, [reply = std::move(reply)](Result<HandlePtr> opened) {
            if (!opened) {
                reply(std::nullopt);
                return;
            }
            auto buffer = std::make_shared<std::array<char, 64>>();
            const HandlePtr handle = opened.value();
            handle->read(
                std::make_shared<synthfs::Request>(), 0, std::as_writable_bytes(std::span(*buffer)),
                [reply, buffer, handle](Result<std::size_t> count) {
                    reply(number_of({buffer->data(), count ? count.value() : 0}, "instructions"));
                });
        });
}

void RemoteMachine::event_bytes(std::string_view bytes) {
    event_line_ += bytes;
    std::size_t end = 0;
    while (!closed_ && (end = event_line_.find('\n')) != std::string::npos) {
        const std::string line = event_line_.substr(0, end);
        event_line_.erase(0, end + 1);
        event(line);
    }
}

void RemoteMachine::event(const std::string& line) {
    const auto words = synthfs::parse_commands(line);
    if (!words || words.value().empty()) {
        hooks_.log("bad event: " + line);
        return;
    }
    const Command& event = words.value().front();
    if (event.verb() == "running") {
        hooks_.running();
    } else if (event.verb() == "paused") {
        hooks_.paused();
    } else if (event.verb() == "breakpoint" && event.arg_count() == 2) {
        hooks_.breakpoint(event.rest());
    } else if (event.verb() == "limit" && event.arg_count() == 1) {
        hooks_.limit(event.rest());
    } else if (event.verb() == "off" && event.arg_count() == 3) {
        off_ = Off{.reason = event.arg(0).text};
        if (const auto cpu = synthfs::parse_number(event.arg(1))) {
            off_->cpu_ns = cpu.value();
        }
        if (const auto count = synthfs::parse_number(event.arg(2))) {
            off_->instructions = count.value();
        }
        tell_off();
    } else if (event.verb() == "error" && event.arg_count() == 5) {
        hooks_.error(error_record(event));
    }
}

// --- the end
// -----------------------------------------------------------------------------------------------------

void RemoteMachine::console_ended() {
    console_open_ = false;
    tell_off();
}

void RemoteMachine::tell_off() {
    if (off_ && !console_open_) {
        hooks_.off(*off_);
    }
}

void RemoteMachine::process_ended(Ending ending) {
    hooks_.ended(ending, console_open_ ? off_ : std::nullopt);
}

void RemoteMachine::close() {
    closed_ = true;
    if (console_pump_) {
        console_pump_->stop();
    }
    if (event_pump_) {
        event_pump_->stop();
    }
    console_handle_ = nullptr;
    event_handle_ = nullptr;
    guest_tree_ = nullptr;
    tree_ = nullptr;
    link_ = nullptr;
    // What is pending there is answered inside.
    const auto names = std::move(name_space_);
    process_ = nullptr;
}

}  // namespace ennead::srv
