// SPDX-License-Identifier: MIT
// The VM process: builds the machine it was told to, serves its live files and its root, ends with
// its server.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "p9/stream.h"
#include "srv/common/limits_page.h"
#include "srv/common/start_message.h"
#include "srv/ennead-vm/disk_worker.h"
#include "srv/ennead-vm/guest_namespace.h"
#include "srv/ennead-vm/guest_root.h"
#include "srv/ennead-vm/io_limit.h"
#include "srv/ennead-vm/live_dir.h"
#include "srv/ennead-vm/slow_io.h"
#include "vmcore/machine/pc.h"
#include "vmcore/machine/vcpu.h"

namespace ennead::srv {

class VmProcess {
  public:
    VmProcess() = default;
    ~VmProcess();
    VmProcess(const VmProcess&) = delete;
    VmProcess& operator=(const VmProcess&) = delete;

    // Takes over the descriptors that the message names. The machine is built and paused.
    synthfs::Checked<> build(const StartMessage& message);
    // Serves the link until the server closes it.
    void serve(int link_fd);

  private:
    [[nodiscard]] vmcore::MachineHooks hooks();
    synthfs::Checked<> open_disks(const StartMessage& message, vmcore::MachineConfig& config);
    void await_names();
    void disk_done(unsigned number, vmcore::BlockRequest request, int errnum);
    synthfs::Checked<> take_limits(int fd);
    void close_disks(std::function<void()> then);

    // Ends when the vCPU thread has ended: it posts here.
    boost::asio::io_context io_;
    // Held by the thread that uses the guest's tree: the vCPU's, which answers the guest, or the
    // I/O thread, which serves `root`, changes the name space and brings late answers.
    std::recursive_mutex tree_;
    const std::shared_ptr<SlowIo> slow_io_ = std::make_shared<SlowIo>(io_, tree_);
    std::shared_ptr<LimitsPage> limits_ = std::make_shared<LimitsPage>();
    std::shared_ptr<IoLimit> io_limit_;
    GuestNamespace names_{io_, tree_, slow_io_};
    std::unique_ptr<boost::asio::posix::stream_descriptor> names_socket_;
    std::unique_ptr<GuestRoot> guest_root_;
    std::unique_ptr<LiveDir> live_;
    std::shared_ptr<p9::ServerConnection> link_;
    std::unique_ptr<vmcore::Vcpu> vcpu_;
    // Their threads end before the vCPU's, to which they post.
    std::unique_ptr<DiskWorker> disks_[vmcore::kMaxDisks];
    std::uint64_t last_disk_error_s_[vmcore::kMaxDisks] = {};  // each its disk's thread's
};

}  // namespace ennead::srv
