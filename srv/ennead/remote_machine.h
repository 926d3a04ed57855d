// SPDX-License-Identifier: MIT
// A machine that another process runs: the process, the connection to it, and what comes over it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "srv/ennead/namespace_link.h"
#include "srv/ennead/supervisor.h"
#include "srv/ennead/vm_link.h"
#include "synthfs/error_log.h"
#include "synthfs/words.h"

namespace ennead::srv {

// From spawn to exit of one VM process; loop thread only. The machine is built paused.
class RemoteMachine : public std::enable_shared_from_this<RemoteMachine> {
  public:
    // The machine went off.
    struct Off {
        std::string reason;  // of vm(4): poweroff, stop, …
        std::uint64_t cpu_ns = 0;
        std::uint64_t instructions = 0;
    };
    struct Hooks {
        // Its files are open and being read, or why it could not be built. Called once, unless the
        // process ends before.
        std::function<void(synthfs::Checked<>)> ready;
        std::function<void(std::string_view bytes)> console;
        std::function<void()> running;
        std::function<void()> paused;
        // `address kinds`; `paused` comes next.
        std::function<void(const std::string&)> breakpoint;
        std::function<void(const std::string&)> limit;  // what the guest has all of
        // Told when the console has been read to its end, so nothing that the guest printed comes
        // after it.
        std::function<void(Off)> off;
        // A live file refused something; the process knows no words but these.
        std::function<void(synthfs::ErrorRecord)> error;
        // The last call. `told`: it had gone off, but its console was not read to the end.
        std::function<void(Ending, std::optional<Off> told)> ended;
        std::function<void(std::string line)> log;
    };

    static synthfs::Checked<std::shared_ptr<RemoteMachine>> spawn(
        boost::asio::io_context& io, const std::string& program, StartMessage message,
        Grants grants, const NamespaceGrant& names, Hooks hooks);
    ~RemoteMachine() { close(); }
    RemoteMachine(const RemoteMachine&) = delete;
    RemoteMachine& operator=(const RemoteMachine&) = delete;

    // Ends the process; calls no hook any more. What is pending on its files answers ENODEV.
    void close();
    // Ends the process; `ended` follows.
    void kill() { process_->kill(); }

    // Its process was stopped, by SIGSTOP or its like.
    [[nodiscard]] bool stopped() const { return process_ && process_->stopped(); }

    // The live files; null until the machine was built.
    [[nodiscard]] synthfs::NodePtr tree() const { return tree_; }
    // The guest's tree as the process serves it; null until the machine was built.
    [[nodiscard]] synthfs::NodePtr guest_tree() const { return guest_tree_; }
    // A verb of its `ctl` (LiveDir): a line. ETIMEDOUT from a process that hangs. With a tree only,
    // as count_instructions().
    void control(const std::string& line, synthfs::CheckedReply<> reply);
    // Another name space for the guest; answers when the process has it, however long that takes.
    // ENODEV once there is no process.
    void change_namespace(const NamespaceGrant& names, synthfs::CheckedReply<> reply);
    // Console input; EBUSY before the machine was built, EPIPE once it is off.
    void write_console(synthfs::RequestPtr request, std::span<const std::byte> data,
                       synthfs::CheckedReply<std::size_t> reply);
    // How many instructions the machine has done; nothing if it does not say.
    void count_instructions(std::function<void(std::optional<std::uint64_t>)> reply);

  private:
    RemoteMachine(boost::asio::io_context& io, Hooks hooks) : io_(io), hooks_(std::move(hooks)) {}
    void connect(ProcessSockets sockets);
    // A callback for others, which does nothing once this is closed or gone.
    template <class Method>
    auto callback(Method method);

    void tell_ready(synthfs::Checked<> outcome);
    void built(synthfs::Checked<synthfs::NodePtr> tree);
    void console_opened(synthfs::Result<synthfs::HandlePtr> handle);
    void events_opened(synthfs::Result<synthfs::HandlePtr> handle);
    void guest_tree_found(synthfs::Result<synthfs::NodePtr> node);
    void event_bytes(std::string_view bytes);
    void event(const std::string& line);
    void console_ended();
    void tell_off();
    void process_ended(Ending ending);

    boost::asio::io_context& io_;
    Hooks hooks_;
    synthfs::CheckedReply<> ready_;  // hooks_.ready, in time
    bool closed_ = false;
    std::unique_ptr<VmProcess> process_;
    std::unique_ptr<VmLink> link_;
    std::unique_ptr<NamespaceLink> name_space_;
    synthfs::NodePtr tree_, guest_tree_;
    synthfs::HandlePtr console_handle_;
    synthfs::HandlePtr event_handle_;  // until it is being read
    std::shared_ptr<StreamPump> console_pump_, event_pump_;
    std::string event_line_;     // an event not yet complete
    bool console_open_ = false;  // output may still come
    std::optional<Off> off_;     // to be told once the console is drained
};

}  // namespace ennead::srv
