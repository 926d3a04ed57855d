// SPDX-License-Identifier: MIT
// How the I/O thread asks the vCPU thread: work there, the answer back here.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "synthfs/fault.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::srv {

// Shared by the live files, which outlive no vCPU. I/O thread only.
class OnVcpu {
  public:
    explicit OnVcpu(boost::asio::io_context& io) : io_(io) {}
    // To be called once, before anything is asked.
    void attach(vmcore::Vcpu& vcpu) { vcpu_ = &vcpu; }

    // Does `work` on the vCPU thread and `then` here with what it gave.
    template <class Work, class Then>
    void operator()(Work work, Then then) const {
        vcpu_->post(
            [&io = io_, work = std::move(work), then = std::move(then)](vmcore::Vcpu& v) mutable {
                boost::asio::post(io, [then = std::move(then), result = work(v)]() mutable {
                    then(std::move(result));
                });
            });
    }
    [[nodiscard]] vmcore::Vcpu& vcpu() const { return *vcpu_; }

  private:
    boost::asio::io_context& io_;
    vmcore::Vcpu* vcpu_ = nullptr;
};

// For what needs a paused machine.
[[nodiscard]] synthfs::Fault wrong_state(vmcore::RunState state);

}  // namespace ennead::srv
