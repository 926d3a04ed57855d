// SPDX-License-Identifier: MIT
// The program `ennead-vm`: one VM, started by the server with its descriptors at fixed numbers.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <system_error>

#include "srv/ennead-vm/vm_process.h"
#include "synthfs/words.h"

namespace {

using ennead::srv::kLinkFd;
using ennead::srv::kMessageFd;
using ennead::synthfs::Checked;
using ennead::synthfs::make_fault;

// The VM must not outlive its server, whatever ends that; nor gain privileges or leave guest memory
// in a core file.
void settle() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::signal(SIGPIPE, SIG_IGN);
    // A limit on the size of files is the guest's I/O error, as a full disk is.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

std::string read_message() {
    std::string text;
    char buffer[4096];
    ssize_t n = 0;
    while ((n = read(kMessageFd, buffer, sizeof buffer)) > 0) {
        text.append(buffer, static_cast<std::size_t>(n));
    }
    close(kMessageFd);
    return text;
}

bool greet(const std::string& line) {
    return write(kLinkFd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

// What the host does not give shows as an exception of a library, here or there; a thread needs
// memory for its stack.
Checked<> build(const ennead::srv::StartMessage& message,
                std::unique_ptr<ennead::srv::VmProcess>& process) {
    try {
        process = std::make_unique<ennead::srv::VmProcess>();
        return process->build(message);
    } catch (const std::bad_alloc&) {
        return make_fault(ENOMEM, "the host has no memory for the machine's process");
    } catch (const std::system_error& failure) {
        return make_fault(ENOMEM, "a thread of the machine's: %s", failure.what());
    } catch (const boost::system::system_error& failure) {
        return make_fault(ENOMEM, "a thread of the machine's: %s", failure.what());
    }
}

}  // namespace

int main() {
    settle();
    try {
        auto message = ennead::srv::StartMessage::decode(read_message());
        if (!message) {
            std::fprintf(stderr, "ennead-vm is started by ennead, not by hand\n");
            return 2;
        }
        std::unique_ptr<ennead::srv::VmProcess> process;
        if (auto built = build(message.value(), process); !built) {
            greet("error " + std::to_string(built.error().errnum) + ' ' +
                  ennead::synthfs::quote(built.error().text) + '\n');
            return 1;
        }
        if (!greet("ok\n")) {
            return 1;
        }
        process->serve(kLinkFd);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "ennead-vm: %s\n", e.what());
        return 1;
    }
}
