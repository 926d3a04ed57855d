// SPDX-License-Identifier: MIT
// Puts the machine's thread and the I/O thread together.
#include "srv/ennead-vm/vm_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "synthfs/result.h"
#include "synthfs/words.h"
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

// Linux with cache=loose keeps a file open for as long as it keeps its inode, which takes it about
// so much memory; it takes the server no more.
std::size_t most_files(std::uint64_t memory_bytes) {
    constexpr std::uint64_t kOneIn = 1024, kLeast = 64 * 1024;
    return std::max(memory_bytes / kOneIn, kLeast);
}

}  // namespace

VmProcess::~VmProcess() {
    for (const auto& disk : disks_) {
        if (disk) {
            disk->stop();
        }
    }
    if (live_) {
        live_->detach();
    }
    // The vCPU thread next: it still calls into what follows.
    vcpu_ = nullptr;
    link_ = nullptr;
    slow_io_->stop();
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
    config.seed = message.seed;
    for (const StartMessage::Initrd& each : message.initrds) {
        auto initrd = read_image(each.fd);
        if (!initrd) {
            return initrd.error();
        }
        config.initrds.push_back({std::move(initrd.value()), each.name});
    }
    config.disks_first = message.disks_first;
    if (auto taken = take_limits(message.limits_fd); !taken) {
        return taken.error();
    }
    if (auto opened = open_disks(message, config); !opened) {
        return opened.error();
    }
    // The first one was sent before this process began.
    auto names = receive_message(kNamespaceFd, false);
    if (!names) {
        return names.error();
    }
    const auto taken = std::make_shared<std::optional<Checked<>>>();
    names_.change(std::move(names.value()),
                  [taken](Checked<> outcome) { *taken = std::move(outcome); });
    // A target may lie in a tree that the server has to be asked about.
    constexpr std::chrono::seconds kPatience{20};
    for (const auto limit = std::chrono::steady_clock::now() + kPatience;
         !*taken && std::chrono::steady_clock::now() < limit;) {
        io_.restart();
        io_.run_one_until(limit);
    }
    if (!*taken) {
        return make_fault(ETIMEDOUT, "name space: a tree that is bound does not answer");
    }
    if (!**taken) {
        return (**taken).error();
    }
    if (auto answered = send_message(kNamespaceFd, encode_answer(**taken)); !answered) {
        return answered.error();
    }
    const std::string name = "vm" + std::to_string(message.vm);
    guest_root_ = std::make_unique<GuestRoot>(
        io_, tree_, names_.root(), name, most_files(message.memory_bytes), io_limit_,
        [name](p9::LogLevel, std::string_view line) { log_line(name + " " + std::string(line)); });
    live_ = std::make_unique<LiveDir>(io_, *guest_root_, names_.root(), limits_);

    const std::vector<vmcore::u8> kernel_start(
        config.kernel.begin(),
        config.kernel.begin() + std::min<std::ptrdiff_t>(65536, std::ssize(config.kernel)));
    auto hooks = this->hooks();
    hooks.log = [name](vmcore::LogLevel level, std::string_view line) {
        if (level <= vmcore::LogLevel::info) {
            log_line(name + " " + std::string(line));
        }
    };
    auto machine = vmcore::Machine::create(std::move(config), std::move(hooks));
    if (!machine) {
        const int number = synthfs::to_errno(machine.error());
        if (machine.error() == vmcore::Error::unknown_kernel) {
            return make_fault(number,
                              "the kernel is %s; what boots is a bzImage, a multiboot kernel or an "
                              "ELF kernel for i386",
                              vmcore::describe_image(kernel_start).c_str());
        }
        if (number == ENOMEM) {
            return make_fault(number, "the host has no memory for a guest of %s",
                              synthfs::format_size(message.memory_bytes).c_str());
        }
        return make_fault(number, "%s", machine.error().message().c_str());
    }
    vcpu_ = std::make_unique<vmcore::Vcpu>(
        std::move(machine.value()),
        [this](vmcore::RunState state, vmcore::OffReason reason) {
            auto tell = [this, state, reason, count = vcpu_->machine().cpu().state.instructions] {
                boost::asio::post(io_, [this, state, reason, count] {
                    live_->state_changed(state, reason, count);
                });
            };
            if (state == vmcore::RunState::off) {
                close_disks(std::move(tell));
            } else {
                tell();
            }
        },
        [this](const vmcore::BreakpointHit& hit) {
            boost::asio::post(io_, [this, hit] { live_->breakpoint_hit(hit); });
        });
    guest_root_->attach(*vcpu_);
    live_->attach(*vcpu_);
    return synthfs::success();
}

Checked<> VmProcess::take_limits(int fd) {
    if (fd >= 0) {
        auto page = map_limits(Fd(fd));
        if (!page) {
            return page.error();
        }
        limits_ = std::move(page.value());
    }
    io_limit_ = std::make_shared<IoLimit>(limits_);
    names_.set_quota(std::make_shared<synthfs::Quota>(
        std::shared_ptr<synthfs::QuotaCounters>(limits_, &limits_->disk),
        [this] { boost::asio::post(io_, [this] { live_->limit_reached("disk"); }); }));
    return synthfs::success();
}

Checked<> VmProcess::open_disks(const StartMessage& message, vmcore::MachineConfig& config) {
    for (const StartMessage::Disk& each : message.disks) {
        auto image = each.layer_fd < 0 ? DiskImage::write_through(Fd(each.image_fd))
                                       : DiskImage::copy_on_write(
                                             Fd(each.image_fd), Fd(each.layer_fd), Fd(each.map_fd));
        const std::string name = "disk" + std::to_string(each.number);
        if (!image) {
            return make_fault(image.error().errnum, "%s: %s", name.c_str(),
                              image.error().text.c_str());
        }
        config.disks.push_back({.number = each.number,
                                .config = {.sectors = image.value()->sectors(),
                                           .read_only = false,
                                           .serial = "ennead-" + name}});
        disks_[each.number] = std::make_unique<DiskWorker>(
            std::move(image.value()), io_limit_,
            [this, number = each.number](vmcore::BlockRequest request, int errnum) {
                disk_done(number, std::move(request), errnum);
            });
    }
    return synthfs::success();
}

// On the disk's thread.
void VmProcess::disk_done(unsigned number, vmcore::BlockRequest request, int errnum) {
    if (errnum != 0) {
        // A full host fails every request; `error` has room for few lines.
        constexpr std::uint64_t kPauseS = 10;
        std::timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        std::uint64_t& last = last_disk_error_s_[number];
        const auto seconds = static_cast<std::uint64_t>(now.tv_sec);
        if (last == 0 || seconds - last >= kPauseS) {
            last = seconds;
            boost::asio::post(io_, [this, number, errnum, what = describe_request(request)] {
                live_->report("disk" + std::to_string(number), errnum,
                              what + ": " + std::strerror(errnum));
            });
        }
    }
    vcpu_->post([number, errnum, done = std::make_shared<vmcore::BlockRequest>(std::move(request))](
                    vmcore::Vcpu& vcpu) {
        const bool is_read = done->kind == vmcore::BlockRequest::Kind::read;
        vcpu.machine().complete_disk(
            number, done->id, errnum == 0,
            is_read ? std::span<const std::byte>(done->data) : std::span<const std::byte>());
    });
}

// The machine is off: another may have the disks. `then` is called on any thread.
void VmProcess::close_disks(std::function<void()> then) {
    for (const auto& disk : disks_) {
        if (disk) {
            then = [&disk, then = std::move(then)] { disk->close(then); };
        }
    }
    then();
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
        .disk_request =
            [this](unsigned number, vmcore::BlockRequest request) {
                disks_[number]->submit(std::move(request));
            },
        .wall_clock = wall_clock_ns,
    };
}

void VmProcess::serve(int link_fd) {
    p9::ServerOptions options;
    // The server is trusted, and may ask for whole trees that it hands on to other machines.
    options.max_fids = std::size_t{1} << 22;
    options.tree = &tree_;
    options.on_end = [this](std::string_view) { io_.stop(); };
    link_ = p9::ServerConnection::start(p9::adopt_socket(io_, link_fd), live_->root(),
                                        std::move(options));
    names_socket_ = std::make_unique<boost::asio::posix::stream_descriptor>(io_, kNamespaceFd);
    await_names();
    const auto guard = boost::asio::make_work_guard(io_);
    io_.restart();
    io_.run();
}

// The server changes the guest's name space.
void VmProcess::await_names() {
    names_socket_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                              [this](boost::system::error_code ec) {
                                  if (ec) {
                                      return;
                                  }
                                  auto message = receive_message(kNamespaceFd, true);
                                  if (message && message.value().text.empty()) {
                                      return;  // closed: the link's end ends the process
                                  }
                                  const auto answer = [](const Checked<>& outcome) {
                                      // A server that does not read its answers has hung, and
                                      // learns nothing more.
                                      (void)send_message(kNamespaceFd, encode_answer(outcome));
                                  };
                                  if (message) {
                                      const std::lock_guard held(tree_);
                                      names_.change(std::move(message.value()), answer);
                                  } else if (message.error().errnum != EAGAIN) {
                                      answer(message.error());
                                  }
                                  await_names();
                              });
}

}  // namespace ennead::srv
