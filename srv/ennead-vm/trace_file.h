// SPDX-License-Identifier: MIT
// `trace`: what the machine does, as lines for those who read them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <vector>

#include "srv/ennead-vm/on_vcpu.h"
#include "synthfs/stream_file.h"
#include "vmcore/cpu/interp/tracer.h"

namespace ennead::srv {

// Nothing is traced unless somebody reads, and when the last reader goes nothing is to be any more.
// The machine waits for no reader. I/O thread only.
class TraceFile {
  public:
    // As many lines of `trace` add up.
    static constexpr std::size_t kMostRules = 64;

    // `vcpu` outlives this.
    TraceFile(const OnVcpu& vcpu, boost::asio::io_context& io, synthfs::ErrorSink errors);

    [[nodiscard]] synthfs::NodePtr node() const { return stream_; }

    // ENOSPC beyond kMostRules; EBUSY once the machine is off.
    void add(vmcore::TraceRule rule, synthfs::CheckedReply<> reply);
    // Those who read come to the end of the file; who opens it later waits for the next trace.
    void end(synthfs::CheckedReply<> reply);
    void machine_off();
    // The vCPU is about to end. Opens may outlast it, and this.
    void detach() { off_ = true; }

  private:
    class Lines;

    void readers_changed(std::size_t count);
    // To the vCPU thread; `then` once it is so.
    void apply(std::function<void()> then);

    const OnVcpu& vcpu_;
    std::shared_ptr<TraceFile*> self_ = std::make_shared<TraceFile*>(this);
    std::shared_ptr<synthfs::StreamFile> stream_;
    std::shared_ptr<Lines> lines_;
    std::vector<vmcore::TraceRule> rules_;
    bool off_ = false;
};

}  // namespace ennead::srv
