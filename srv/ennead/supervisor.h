// SPDX-License-Identifier: MIT
// Spawns a VM process and watches for its end.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "srv/common/fd.h"
#include "srv/common/start_message.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// What a VM process is given, all of it close-on-exec here.
struct Grants {
    Fd kernel;
    Fd bios;  // may be empty
    struct Initrd {
        Fd file;
        std::string name;  // for the guest
    };
    std::vector<Initrd> initrds;
    struct Disk {
        unsigned number;
        Fd image;
        Fd layer, map;  // empty: the image is written through
    };
    std::vector<Disk> disks;
    Fd limits;  // may be empty
};

// The server's ends of the sockets to a process.
struct ProcessSockets {
    Fd link;        // stream: the greeting, then 9P
    Fd name_space;  // SOCK_SEQPACKET: NamespaceMessage
};

// How a process ended.
struct Ending {
    bool signalled = false;
    int code = 0;  // the signal's number, or the exit status
};

// One VM process. Destruction kills it, if it still lives, and reaps it.
class VmProcess {
  public:
    using OnExit = std::function<void(Ending)>;

    // `on_exit` is called once, on the loop, unless this object is destroyed first. `message` gets
    // its descriptor numbers filled in.
    static synthfs::Checked<std::unique_ptr<VmProcess>> spawn(boost::asio::io_context& io,
                                                              const std::string& program,
                                                              StartMessage message, Grants grants,
                                                              OnExit on_exit,
                                                              ProcessSockets& sockets);
    ~VmProcess();
    VmProcess(const VmProcess&) = delete;
    VmProcess& operator=(const VmProcess&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    // SIGKILL; on_exit follows.
    void kill();
    // By SIGSTOP or its like.
    [[nodiscard]] bool stopped() const;

  private:
    VmProcess(boost::asio::io_context& io, pid_t pid, int pidfd, OnExit on_exit);
    void watch();
    void reap();

    pid_t pid_;
    bool reaped_ = false;
    boost::asio::posix::stream_descriptor pidfd_;
    OnExit on_exit_;
};

}  // namespace ennead::srv
