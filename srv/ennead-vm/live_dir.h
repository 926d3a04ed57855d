// SPDX-License-Identifier: MIT
// The live files of a VM, which its own process serves: what the machine is doing now.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "srv/common/limits_page.h"
#include "srv/ennead-vm/guest_root.h"
#include "srv/ennead-vm/on_vcpu.h"
#include "srv/ennead-vm/trace_file.h"
#include "synthfs/stream_file.h"
#include "synthfs/tree.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::srv {

// The server mounts this tree and shows its files under /vm/N. Three of them are for the server
// itself:
//   instructions  `instructions n`, since power-on
//   ctl     `pause` `resume` `step [n]` `reset` `stop` `powerdown` `nmi` `trace` `notrace`
//   events  `running`, `paused`, `off reason cputime_ns instructions`; `breakpoint address kinds`
//           before the `paused` that comes of it; `limit disk`; and for every failed operation here
//           `error errno file column 'command' 'text'` (column -1: none), told before the operation
//           answers
// I/O thread only.
class LiveDir {
  public:
    // `tree`: what the guest has for its root, shown as `root`.
    LiveDir(boost::asio::io_context& io, GuestRoot& guest_root, synthfs::NodePtr tree,
            std::shared_ptr<const LimitsPage> limits);

    // To be called once, before anything is served or the guest runs.
    void attach(vmcore::Vcpu& vcpu) { on_vcpu_.attach(vcpu); }

    // To be called before the vCPU ends; nothing is served any more.
    void detach() { trace_.detach(); }

    [[nodiscard]] synthfs::NodePtr root() const { return root_; }

    void console_output(std::string_view bytes) { console_->append(bytes); }
    void com_output(unsigned port, std::string_view bytes) { com_[port]->append(bytes); }
    void state_changed(vmcore::RunState state, vmcore::OffReason reason,
                       std::uint64_t instructions);
    void breakpoint_hit(const vmcore::BreakpointHit& hit);
    void input_room();
    // The guest was refused something since it has all that it may have.
    void limit_reached(const std::string& what) { events_->append("limit " + what + '\n'); }
    // A line for the VM's `error` file that no operation on a file caused.
    void report(const std::string& file, int errnum, std::string text);

  private:
    [[nodiscard]] synthfs::ErrorSink error_sink();
    [[nodiscard]] std::shared_ptr<synthfs::StreamFile> make_console();
    [[nodiscard]] std::shared_ptr<synthfs::StreamFile> make_com(unsigned port, std::string name);
    [[nodiscard]] synthfs::NodePtr make_ctl();
    [[nodiscard]] synthfs::NodePtr make_consctl();
    [[nodiscard]] synthfs::NodePtr make_bp();
    [[nodiscard]] synthfs::NodePtr make_stats();
    [[nodiscard]] synthfs::NodePtr make_instructions();
    // What goes up only, as it stands.
    using Counters = std::vector<std::pair<std::string, vmcore::u64>>;
    void count(std::function<void(Counters)> then);
    [[nodiscard]] synthfs::NodePtr make_jit();

    boost::asio::io_context& io_;
    OnVcpu on_vcpu_;
    GuestRoot& guest_root_;
    const std::shared_ptr<const LimitsPage> limits_;
    std::shared_ptr<synthfs::StreamFile> console_, com_[2], events_;
    TraceFile trace_;
    std::map<std::string, vmcore::u64> zeros_;  // what counters of `stats` stood at when zeroed
    std::string console_size_ = "24 80";
    std::shared_ptr<synthfs::Directory> root_;
};

}  // namespace ennead::srv
