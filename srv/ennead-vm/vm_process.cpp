// SPDX-License-Identifier: MIT
// Puts the machine's thread and the I/O thread together.
#include "srv/ennead-vm/vm_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "synthfs/overlay.h"
#include "synthfs/result.h"
#include "vmcore/machine/boot.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::make_fault;

// An image is read whole: it was checked to be a regular file.
Checked<std::vector<vmcore::u8>> read_image(int fd) {
    struct stat st {};
    if (fstat(fd, &st) != 0) {
        return make_fault(errno, "image: %s", std::strerror(errno));
    }
    constexpr off_t kMaxImage = off_t{1} << 30;
    if (st.st_size > kMaxImage) {
        return make_fault(EFBIG, "an image of more than 1G");
    }
    std::vector<vmcore::u8> bytes(static_cast<std::size_t>(st.st_size));
    std::size_t have = 0;
    while (have < bytes.size()) {
        const ssize_t n =
            pread(fd, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
        if (n <= 0) {
            return make_fault(n < 0 ? errno : EIO, "image: %s",
                              n < 0 ? std::strerror(errno) : "became shorter");
        }
        have += static_cast<std::size_t>(n);
    }
    close(fd);
    return bytes;
}

std::string_view as_text(std::span<const vmcore::u8> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

vmcore::i64 wall_clock_ns() {
    std::timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<vmcore::i64>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// Lines go to standard error, which the server keeps as its log.
void log_line(std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

}  // namespace

VmProcess::~VmProcess() {
    // The vCPU thread first: it still calls into what follows.
    vcpu_ = nullptr;
    link_ = nullptr;
}

Checked<> VmProcess::build(const StartMessage& message) {
    vmcore::MachineConfig config;
    config.memory_bytes = message.memory_bytes;
    config.engine =
        message.engine == "interp" ? vmcore::EngineKind::interp : vmcore::EngineKind::jit;
    config.command_line = message.command_line;
    auto kernel = read_image(message.kernel_fd);
    if (!kernel) {
        return kernel.error();
    }
    config.kernel = std::move(kernel.value());
    if (message.bios_fd >= 0) {
        auto bios = read_image(message.bios_fd);
        if (!bios) {
            return bios.error();
        }
        config.bios = std::move(bios.value());
        config.boot_menu = message.boot_menu == "on"    ? vmcore::BootMenu::on
                           : message.boot_menu == "off" ? vmcore::BootMenu::off
                                                        : vmcore::BootMenu::choice;
    }
    config.bios_debug = message.bios_debug;
    for (const StartMessage::Initrd& each : message.initrds) {
        auto initrd = read_image(each.fd);
        if (!initrd) {
            return initrd.error();
        }
        config.initrds.push_back({std::move(initrd.value()), each.name});
    }
    auto root = synthfs::make_overlay(message.root_lower_fds, message.root_upper_fd);
    if (!root) {
        return make_fault(synthfs::to_errno(root.error()), "root: %s",
                          root.error().message().c_str());
    }
    const std::string name = "vm" + std::to_string(message.vm);
    guest_root_ = std::make_unique<GuestRoot>(
        io_, root.value(), name,
        [name](p9::LogLevel, std::string_view line) { log_line(name + " " + std::string(line)); });
    live_ = std::make_unique<LiveDir>(io_, *guest_root_);

    const std::vector<vmcore::u8> kernel_start(
        config.kernel.begin(),
        config.kernel.begin() + std::min<std::ptrdiff_t>(65536, std::ssize(config.kernel)));
    auto hooks = this->hooks();
    hooks.log = [name](vmcore::LogLevel level, std::string_view line) {
        if (level <= vmcore::LogLevel::info) {
            log_line(name + " " + std::string(line));
        }
    };
    const bool boots_directly =
        vmcore::kernel_format(config.kernel) != vmcore::KernelFormat::unknown;
    auto machine = vmcore::Machine::create(std::move(config), std::move(hooks));
    if (!machine) {
        const int number = synthfs::to_errno(machine.error());
        if (machine.error() == vmcore::Error::unknown_kernel) {
            if (boots_directly) {
                return make_fault(number,
                                  "boot bios takes a Linux image; this kernel boots with boot "
                                  "direct");
            }
            return make_fault(number,
                              "the kernel is %s; what boots is a bzImage, a multiboot kernel or an "
                              "ELF kernel for i386",
                              vmcore::describe_image(kernel_start).c_str());
        }
        return make_fault(number, "%s", machine.error().message().c_str());
    }
    vcpu_ = std::make_unique<vmcore::Vcpu>(
        std::move(machine.value()), [this](vmcore::RunState state, vmcore::OffReason reason) {
            boost::asio::post(
                io_, [this, state, reason, count = vcpu_->machine().cpu().state.instructions] {
                    live_->state_changed(state, reason, count);
                });
        });
    guest_root_->attach(*vcpu_);
    live_->attach(*vcpu_);
    return synthfs::success();
}

vmcore::MachineHooks VmProcess::hooks() {
    const auto output = [this](auto deliver) {
        return [this, deliver](std::span<const vmcore::u8> bytes) {
            boost::asio::post(io_, [this, deliver, text = std::string(as_text(bytes))] {
                deliver(*live_, text);
            });
        };
    };
    return {
        .log = {},
        .console_output =
            output([](LiveDir& live, const std::string& text) { live.console_output(text); }),
        .com1_output =
            output([](LiveDir& live, const std::string& text) { live.com_output(0, text); }),
        .com2_output =
            output([](LiveDir& live, const std::string& text) { live.com_output(1, text); }),
        .input_room = [this] { boost::asio::post(io_, [this] { live_->input_room(); }); },
        .p9_request =
            [this](vmcore::P9Request request) { guest_root_->request(std::move(request)); },
        .p9_reset = [this] { guest_root_->reset(); },
        .wall_clock = wall_clock_ns,
    };
}

void VmProcess::serve(int link_fd) {
    p9::ServerOptions options;
    options.on_end = [this](std::string_view) { io_.stop(); };
    link_ = p9::ServerConnection::start(p9::adopt_socket(io_, link_fd), live_->root(),
                                        std::move(options));
    const auto guard = boost::asio::make_work_guard(io_);
    io_.run();
}

}  // namespace ennead::srv
