// SPDX-License-Identifier: MIT
// posix_spawn with exactly the descriptors that the VM is granted; a pidfd tells its end.
#include "srv/ennead/supervisor.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <tuple>
#include <utility>

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::Fault;
using synthfs::make_fault;

Fault last_error(const char* what) {
    return make_fault(errno, "%s: %s", what, std::strerror(errno));
}

// The descriptors of the child are dup2'ed to low numbers one after another; sources below this
// could be overwritten before their turn.
constexpr int kAboveAllTargets = 64;

Checked<Fd> lift(int fd) {
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, kAboveAllTargets);
    if (high < 0) {
        return last_error("descriptor");
    }
    return Fd(high);
}

Checked<Fd> message_file(const std::string& text) {
    Fd fd(memfd_create("start-message", MFD_CLOEXEC));
    if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        lseek(fd.get(), 0, SEEK_SET) != 0) {
        return last_error("start message");
    }
    return fd;
}

}  // namespace

Checked<std::unique_ptr<VmProcess>> VmProcess::spawn(boost::asio::io_context& io,
                                                     const std::string& program,
                                                     StartMessage message, Grants grants,
                                                     OnExit on_exit, ProcessSockets& sockets) {
    Fd our_link, their_link, our_names, their_names;
    for (const auto& [type, ours, theirs] : {std::tuple{SOCK_STREAM, &our_link, &their_link},
                                             {SOCK_SEQPACKET, &our_names, &their_names}}) {
        int ends[2];
        if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) {
            return last_error("socketpair");
        }
        *ours = Fd(ends[0]);
        *theirs = Fd(ends[1]);
    }

    // In the order of their numbers in the child, from kLinkFd on; the message goes in between,
    // once it is known, and so do the sockets.
    std::vector<Fd> granted;
    const auto grant = [&granted](Fd fd) {
        granted.push_back(std::move(fd));
        return kFirstGrantFd + static_cast<int>(granted.size()) - 1;
    };
    message.kernel_fd = grant(std::move(grants.kernel));
    if (grants.bios) {
        message.bios_fd = grant(std::move(grants.bios));
    }
    if (grants.limits) {
        message.limits_fd = grant(std::move(grants.limits));
    }
    for (Grants::Initrd& initrd : grants.initrds) {
        message.initrds.push_back({grant(std::move(initrd.file)), std::move(initrd.name)});
    }
    for (Grants::Disk& disk : grants.disks) {
        StartMessage::Disk told{.number = disk.number, .image_fd = grant(std::move(disk.image))};
        if (disk.layer) {
            told.layer_fd = grant(std::move(disk.layer));
            told.map_fd = grant(std::move(disk.map));
        }
        message.disks.push_back(told);
    }
    auto text = message_file(message.encode());
    if (!text) {
        return text.error();
    }
    granted.insert(granted.begin(), std::move(their_names));
    granted.insert(granted.begin(), std::move(text.value()));
    granted.insert(granted.begin(), std::move(their_link));

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A process group of its own: Ctrl-C on a server in the foreground is the server's to handle.
    sigset_t defaults, none;
    sigfillset(&defaults);
    sigemptyset(&none);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    std::vector<Fd> lifted;
    int target = kLinkFd;
    for (const Fd& fd : granted) {
        auto high = lift(fd.get());
        if (!high) {
            return high.error();
        }
        posix_spawn_file_actions_adddup2(&actions, high.value().get(), target++);
        lifted.push_back(std::move(high.value()));
    }
    // Nor what this process was started with and knows nothing of.
    posix_spawn_file_actions_addclosefrom_np(&actions, target);

    std::string name = "ennead-vm", number = std::to_string(message.vm);
    char* argv[] = {name.data(), number.data(), nullptr};
    char* environment[] = {nullptr};
    pid_t pid = 0;
    const int status = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (status != 0) {
        return make_fault(status, "%s: %s", program.c_str(), std::strerror(status));
    }
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
        const Fault fault = last_error("pidfd_open");
        ::kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        return fault;
    }
    sockets = {std::move(our_link), std::move(our_names)};
    return std::unique_ptr<VmProcess>(new VmProcess(io, pid, pidfd, std::move(on_exit)));
}

VmProcess::VmProcess(boost::asio::io_context& io, pid_t pid, int pidfd, OnExit on_exit)
    : pid_(pid), pidfd_(io, pidfd), on_exit_(std::move(on_exit)) {
    watch();
}

VmProcess::~VmProcess() {
    on_exit_ = nullptr;
    if (!reaped_) {
        kill();
        waitpid(pid_, nullptr, 0);
    }
}

void VmProcess::kill() {
    if (!reaped_) {
        ::kill(pid_, SIGKILL);
    }
}

bool VmProcess::stopped() const {
    siginfo_t info{};
    // Left to be told again. It is no longer, once the process goes on.
    return !reaped_ &&
           waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
}

void VmProcess::watch() {
    // A pidfd becomes readable when the process has ended.
    pidfd_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this](boost::system::error_code ec) {
                          if (!ec) {
                              reap();
                          }
                      });
}

void VmProcess::reap() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == 0) {
        watch();
        return;
    }
    // Where SIGCHLD is ignored the kernel has reaped it already, and its status is lost.
    reaped_ = true;
    const Ending ending =
        WIFSIGNALED(status) ? Ending{true, WTERMSIG(status)} : Ending{false, WEXITSTATUS(status)};
    if (auto told = std::exchange(on_exit_, nullptr)) {
        told(ending);
    }
}

}  // namespace ennead::srv
