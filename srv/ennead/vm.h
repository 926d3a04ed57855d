// SPDX-License-Identifier: MIT
// One VM as the server knows it: settings, state and what outlives its process.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "srv/common/limits_page.h"
#include "srv/ennead/console_log.h"
#include "srv/ennead/remote_machine.h"
#include "srv/ennead/remote_tree.h"
#include "srv/ennead/served_trees.h"
#include "srv/ennead/vm_conf.h"
#include "srv/ennead/vm_namespace.h"
#include "synthfs/error_log.h"
#include "synthfs/stream_file.h"
#include "synthfs/wait_file.h"

namespace ennead::srv {

class Vm;

// What all VMs share. Outlives them.
struct VmServices {
    boost::asio::io_context& io;
    Installation installation;
    int state_dir_fd =
        -1;  // each VM keeps its log and scratch layer in a directory of its own below
    std::shared_ptr<synthfs::StreamFile> events;  // of all VMs
    std::function<void(std::string)> log;         // the server's log, a line
    HiddenPlaces hidden{};                        // what no VM is given
    // What a VM has as `#vm`; the directory `n`, null if there is none.
    std::function<synthfs::NodePtr(Vm&)> tree_of{};
    std::function<synthfs::NodePtr()> mounted{};
};

enum class VmState { fresh, running, paused, stopped, dead };
[[nodiscard]] const char* state_name(VmState state);

// Loop thread only.
class Vm : public std::enable_shared_from_this<Vm> {
  public:
    // Makes the VM's directory in the state directory. With `parent`, that one's guest has it made,
    // and has room for it (may_have_child).
    static synthfs::Checked<std::shared_ptr<Vm>> make(VmServices& services, unsigned number,
                                                      Settings settings,
                                                      const std::shared_ptr<Vm>& parent = nullptr);
    ~Vm();
    Vm(const Vm&) = delete;
    Vm& operator=(const Vm&) = delete;

    [[nodiscard]] unsigned number() const { return number_; }
    [[nodiscard]] VmState state() const { return state_; }
    // Running or paused, or about to be.
    [[nodiscard]] bool active() const;
    // Somebody has given it settings, a name, a name space or a verb, or wanted to, or it was made
    // with such: it is in use, though it was not started yet.
    [[nodiscard]] bool touched() const { return touched_ || state_ != VmState::fresh; }
    void touch() { touched_ = true; }
    [[nodiscard]] const std::string& name() const { return name_; }
    void set_name(std::string name);

    [[nodiscard]] const Settings& settings() const { return settings_; }
    // EBUSY while the machine is active, but for its limits, which hold from then on.
    synthfs::Checked<> configure(const std::vector<synthfs::Command>& lines);

    // The VM whose guest had this one made; null for those at the top.
    [[nodiscard]] std::shared_ptr<Vm> parent() const { return parent_.lock(); }
    [[nodiscard]] bool is_nested() const { return nested_; }
    // Whether this is `other` or one that was made below it, at any depth.
    [[nodiscard]] bool is_in_family_of(const Vm& other) const;
    // The events of this VM and of those below it. Made when first asked for.
    [[nodiscard]] const std::shared_ptr<synthfs::StreamFile>& family_events();
    // EPERM: its own nesting limit or one further up. ENOSPC: a cap.
    [[nodiscard]] synthfs::Checked<> may_have_child() const;
    // What a VM below this one has at first.
    [[nodiscard]] Settings child_settings() const;
    // Whether a VM below this one may have these settings. EPERM: files or directories of the host,
    // more nesting. EDQUOT: more memory. `lines` are where the word at fault stands.
    [[nodiscard]] synthfs::Checked<> check_child(const Settings& settings,
                                                 const std::vector<synthfs::Command>& lines) const;

    // From fresh, stopped and dead. Answers when the machine runs, or could not be built.
    void start(synthfs::CheckedReply<> reply);
    // A verb that the VM's process carries out (LiveDir): a line.
    void control(const std::string& line, synthfs::CheckedReply<> reply);
    // From now on; 0: no longer at all. A machine that is still on then is stopped, and its reason
    // is `timeout`. EBUSY while it is not on.
    synthfs::Checked<> set_timeout(std::chrono::microseconds time);
    // Ends the process; an active machine then is dead.
    synthfs::Checked<> kill();
    // Ends everything, for good. The VM's files answer ENODEV from now on.
    void destroy();

    // The live files; null while there is no process.
    [[nodiscard]] synthfs::NodePtr tree() const { return machine_ ? machine_->tree() : nullptr; }
    // The guest's tree; null while there is no process.
    [[nodiscard]] synthfs::NodePtr guest_tree() const {
        return machine_ ? machine_->guest_tree() : nullptr;
    }
    [[nodiscard]] ConsoleLog& console() { return *console_; }
    [[nodiscard]] const std::shared_ptr<synthfs::ErrorLog>& errors() const { return errors_; }
    [[nodiscard]] const std::shared_ptr<synthfs::StreamFile>& events() const { return events_; }
    [[nodiscard]] const std::shared_ptr<synthfs::WaitFile>& wait() const { return wait_; }

    // `state reason exit uptime insns`. A machine that is on is asked how many instructions it has
    // done; if it does not answer at once, the number is the last one known.
    void status_text(synthfs::CheckedReply<std::string> reply);
    // The VM's row in the list of all.
    [[nodiscard]] std::string summary() const;
    // The text of `ns`.
    [[nodiscard]] std::string namespace_text() const;
    // `bind`, `mount` and `unbind` lines, all or none; `replace`: the default name space comes
    // before them. A machine that is on sees the change at once; if its process does not take it
    // over in time, ETIMEDOUT, and it may happen later.
    void change_namespace(std::vector<synthfs::Command> lines, bool replace,
                          synthfs::CheckedReply<> reply);

  private:
    struct End {
        std::string reason = "-";
        std::string code = "-";
        std::string text;
        std::uint64_t cpu_ns = 0;
    };

    Vm(VmServices& services, unsigned number, Settings settings, Fd directory,
       const std::shared_ptr<Vm>& parent);
    synthfs::Checked<Grants> open_grants() const;
    synthfs::Checked<> configure_nested(const std::vector<synthfs::Command>& lines);
    void set_limits();
    // vm_nesting.cpp
    [[nodiscard]] std::size_t count_below() const;
    // Bytes that its process takes for the guest, and those of all below it but `except`.
    [[nodiscard]] std::uint64_t memory_claim() const;
    [[nodiscard]] std::uint64_t memory_claims_below(const Vm* except) const;
    [[nodiscard]] std::uint64_t memory_limit() const;
    // Whether the VMs above have room for a process of so much memory and so many memory trees.
    [[nodiscard]] synthfs::Checked<> check_memory(std::uint64_t bytes, std::size_t ram_trees) const;
    // vm_sources.cpp
    [[nodiscard]] NamespaceContext namespace_context();
    [[nodiscard]] bool is_tree_source(const std::string& source) const;
    [[nodiscard]] synthfs::Checked<> check_source(const std::string& source) const;
    [[nodiscard]] synthfs::Checked<> allow_binds(const synthfs::BindTable& next) const;
    void find_source(const std::string& source, const synthfs::RequestPtr& request,
                     const synthfs::Reply<synthfs::NodePtr>& reply) const;
    [[nodiscard]] synthfs::Checked<Fd> open_tree_source(const std::string& source,
                                                        const std::string& target, bool read_only);
    [[nodiscard]] std::shared_ptr<RemoteTree> remote_tree(const std::string& address);
    [[nodiscard]] synthfs::NodePtr mounted_at(const std::string& address,
                                              const std::string& target);
    void look_at_sources(std::shared_ptr<const std::vector<synthfs::Command>> lines,
                         std::size_t from, synthfs::CheckedReply<> reply);
    [[nodiscard]] RemoteMachine::Hooks machine_hooks();
    void machine_ready(synthfs::Checked<> outcome);
    void fail_start(synthfs::Fault fault);
    void answer_start(synthfs::Checked<> outcome);
    void machine_off(const RemoteMachine::Off& off);
    void process_ended(Ending ending, const std::optional<RemoteMachine::Off>& told);
    void arm_timeout(std::chrono::microseconds time);
    void time_is_up();
    void drop_machine();
    void finish(VmState state, End end);
    void enter(VmState state, const std::string& detail = {});
    void emit(const std::string& text);
    void write_console(synthfs::RequestPtr request, std::span<const std::byte> data,
                       synthfs::CheckedReply<std::size_t> reply);
    [[nodiscard]] double uptime() const;

    VmServices& services_;
    unsigned number_;
    std::string name_;
    Settings settings_;
    SharedLimits limits_;
    Fd directory_;
    const std::weak_ptr<Vm> parent_;
    const bool nested_;
    std::vector<std::weak_ptr<Vm>> children_;
    ServedTrees trees_;
    // What its process has from other servers, by address.
    std::map<std::string, std::weak_ptr<RemoteTree>> remote_trees_;
    VmNamespace names_;

    VmState state_ = VmState::fresh;
    End end_;
    std::uint64_t started_ns_ = 0;  // CLOCK_MONOTONIC
    std::uint64_t ended_ns_ = 0;
    std::uint64_t instructions_ = 0;  // as last told by the process

    std::shared_ptr<synthfs::ErrorLog> errors_;
    std::shared_ptr<synthfs::StreamFile> events_;
    std::shared_ptr<synthfs::StreamFile> family_events_;  // null: nobody has asked for them
    std::shared_ptr<synthfs::WaitFile> wait_;
    std::unique_ptr<ConsoleLog> console_;

    std::shared_ptr<RemoteMachine> machine_;  // while there is a process
    std::uint64_t process_memory_ = 0;        // what the guest of that has
    bool guest_keeps_names_ = false;          // its kernel was told to (cache=loose)
    synthfs::CheckedReply<> start_reply_;     // while start is under way
    bool kill_wanted_ = false;
    bool touched_ = false;
    boost::asio::steady_timer timeout_;
    bool timed_out_ = false;  // it is being stopped for that
};

}  // namespace ennead::srv
