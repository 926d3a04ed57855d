// SPDX-License-Identifier: MIT
// The life of a VM: new → running ⇄ paused → stopped or dead, and back to running by start.
#include "srv/ennead/vm.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "srv/ennead/deadline.h"
#include "synthfs/result.h"

namespace ennead::srv {
namespace {

using synthfs::Checked;
using synthfs::CheckedReply;
using synthfs::Command;
using synthfs::Fault;
using synthfs::HandlePtr;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::RequestPtr;
using synthfs::Result;

// `status` never blocks: this long it waits for a machine that is busy.
constexpr std::chrono::milliseconds kStatusPatience{50};

std::uint64_t clock_ns(clockid_t clock) {
    std::timespec t{};
    clock_gettime(clock, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(t.tv_nsec);
}

// A FIFO or a device named as an image would make the VM's process wait at its open or its reads.
Checked<Fd> open_image(const std::string& path, const char* what, const HiddenPlaces& hidden) {
    auto fd = open_host_file(path, O_RDONLY | O_NONBLOCK, what, hidden);
    struct stat st {};
    if (fd && (fstat(fd.value().get(), &st) != 0 || !S_ISREG(st.st_mode))) {
        return make_fault(S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "%s %s is no regular file", what,
                          path.c_str());
    }
    return fd;
}

// A ROM that a PC could have at the end of its address space, seen below 1 MiB too.
Checked<Fd> open_bios(const std::string& path, const HiddenPlaces& hidden) {
    constexpr off_t kLeast = 64 * 1024, kLargest = 1024 * 1024, kUnit = 4096;
    auto fd = open_image(path, "bios", hidden);
    struct stat st {};
    if (fd && (fstat(fd.value().get(), &st) != 0 || st.st_size < kLeast || st.st_size > kLargest ||
               st.st_size % kUnit != 0)) {
        return make_fault(EINVAL, "bios %s has %lld bytes; it takes 64K to 1M, a multiple of 4K",
                          path.c_str(), static_cast<long long>(st.st_size));
    }
    return fd;
}

// An image that is written through is locked against all others, one that is only read against
// those who write. The lock belongs to the open file, and so goes with the VM's process.
Checked<Fd> open_disk(const Settings::Disk& disk, const HiddenPlaces& hidden) {
    const std::string what = "disk" + std::to_string(disk.number);
    auto fd = open_host_file(disk.path, (disk.written_through ? O_RDWR : O_RDONLY) | O_NONBLOCK,
                             what.c_str(), hidden);
    struct stat st {};
    if (!fd) {
        return fd;
    }
    if (fstat(fd.value().get(), &st) != 0 || !S_ISREG(st.st_mode)) {
        return make_fault(S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "%s %s is no regular file",
                          what.c_str(), disk.path.c_str());
    }
    constexpr off_t kLeast = 512;
    if (st.st_size < kLeast) {
        return make_fault(EINVAL, "%s %s has less than 512 bytes", what.c_str(), disk.path.c_str());
    }
    if (flock(fd.value().get(), (disk.written_through ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return make_fault(errno, "%s %s: %s", what.c_str(), disk.path.c_str(),
                              std::strerror(errno));
        }
        return make_fault(EBUSY,
                          disk.written_through ? "%s %s is in use by another machine"
                                               : "%s %s is being written by another machine",
                          what.c_str(), disk.path.c_str());
    }
    return fd;
}

// The files of a disk's layer, one pair for each image that the disk ever was.
Checked<> open_layer(const Fd& directory, Grants::Disk& disk) {
    struct stat st {};
    if (fstat(disk.image.get(), &st) != 0) {
        return make_fault(errno, "disk%u: %s", disk.number, std::strerror(errno));
    }
    const std::string name = "disk" + std::to_string(disk.number) + '-' +
                             std::to_string(st.st_dev) + '-' + std::to_string(st.st_ino);
    for (const auto& [file, suffix] : {std::pair{&disk.layer, ".layer"}, {&disk.map, ".map"}}) {
        *file = Fd(
            openat(directory.get(), (name + suffix).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!*file) {
            return make_fault(errno, "layer of disk%u: %s", disk.number, std::strerror(errno));
        }
    }
    return synthfs::success();
}

std::string signal_name(int number) {
    const char* abbreviation = sigabbrev_np(number);
    return abbreviation != nullptr ? std::string("SIG") + abbreviation : std::to_string(number);
}

std::string seconds_text(double seconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", seconds);
    return text;
}

const char* reason_text(const std::string& reason) {
    if (reason == "poweroff") {
        return "the guest switched itself off";
    }
    if (reason == "stop") {
        return "stopped by ctl";
    }
    if (reason == "resetloop") {
        return "ten resets in ten seconds";
    }
    if (reason == "timeout") {
        return "on for longer than its timeout";
    }
    if (reason == "panic") {
        return "the guest's kernel panicked; its last words are in log";
    }
    return "";
}

}  // namespace

const char* state_name(VmState state) {
    switch (state) {
        case VmState::fresh:
            return "new";
        case VmState::running:
            return "running";
        case VmState::paused:
            return "paused";
        case VmState::stopped:
            return "stopped";
        case VmState::dead:
            return "dead";
    }
    return "?";
}

Checked<std::shared_ptr<Vm>> Vm::make(VmServices& services, unsigned number, Settings settings,
                                      const std::shared_ptr<Vm>& parent) {
    const std::string name = std::to_string(number);
    if (mkdirat(services.state_dir_fd, name.c_str(), 0700) != 0) {
        return make_fault(errno, "scratch directory of VM %u: %s", number, std::strerror(errno));
    }
    Fd directory(openat(services.state_dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || mkdirat(directory.get(), "upper", 0700) != 0) {
        return make_fault(errno, "scratch directory of VM %u: %s", number, std::strerror(errno));
    }
    auto limits = make_limits();
    if (!limits) {
        return limits.error();
    }
    auto vm = std::shared_ptr<Vm>(
        new Vm(services, number, std::move(settings), std::move(directory), parent));
    vm->limits_ = std::move(limits.value());
    vm->set_limits();
    auto console = ConsoleLog::make(
        vm->directory_.get(), vm->errors_->sink(),
        [weak = std::weak_ptr(vm)](RequestPtr request, std::span<const std::byte> data,
                                   CheckedReply<std::size_t> reply) {
            if (auto self = weak.lock()) {
                self->write_console(std::move(request), data, std::move(reply));
            } else {
                reply(make_fault(ENODEV, "the VM was destroyed"));
            }
        });
    if (!console) {
        return console.error();
    }
    vm->console_ = std::move(console.value());
    vm->wait_ = synthfs::WaitFile::make(
        {.name = "wait",
         .errors = vm->errors_->sink(),
         .text = [weak = std::weak_ptr(vm)]() -> std::optional<std::string> {
             const auto self = weak.lock();
             if (!self || (self->state_ != VmState::stopped && self->state_ != VmState::dead) ||
                 self->start_reply_) {
                 return std::nullopt;
             }
             return std::to_string(self->number_) + ' ' + self->end_.reason + ' ' +
                    self->end_.code + ' ' + seconds_text(self->uptime()) + ' ' +
                    seconds_text(static_cast<double>(self->end_.cpu_ns) / 1e9) + ' ' +
                    synthfs::quote(self->end_.text) + '\n';
         }});
    if (parent) {
        std::erase_if(parent->children_, [](const auto& child) { return child.expired(); });
        parent->children_.push_back(vm);
    }
    vm->emit("state new");
    return vm;
}

Vm::Vm(VmServices& services, unsigned number, Settings settings, Fd directory,
       const std::shared_ptr<Vm>& parent)
    : services_(services),
      number_(number),
      name_(std::to_string(number)),
      settings_(std::move(settings)),
      directory_(std::move(directory)),
      parent_(parent),
      nested_(parent != nullptr),
      trees_(services.io, "vm" + std::to_string(number), services.log),
      names_(directory_.get()),
      errors_(synthfs::ErrorLog::make(8)),
      events_(synthfs::StreamFile::make(
          {.name = "events", .errors = errors_->sink(), .capacity = 64 * 1024, .lines = true})),
      timeout_(services.io) {}

Vm::~Vm() {
    drop_machine();
    // Everything below the VM's directory was made by this VM.
    std::error_code ignored;
    std::filesystem::remove_all(
        "/proc/self/fd/" + std::to_string(services_.state_dir_fd) + '/' + std::to_string(number_),
        ignored);
}

void Vm::set_name(std::string name) {
    touch();
    name_ = std::move(name);
    emit("name " + synthfs::quote(name_));
}

bool Vm::active() const {
    return state_ == VmState::running || state_ == VmState::paused || start_reply_;
}

Checked<> Vm::configure(const std::vector<Command>& lines) {
    touch();
    const bool limits = std::ranges::all_of(
        lines, [](const Command& line) { return Settings::is_limit(line.verb()); });
    if (active() && !limits) {
        return make_fault(EBUSY, "settings are fixed while the machine is on");
    }
    auto changed = nested_ ? configure_nested(lines) : settings_.apply(lines);
    if (changed) {
        set_limits();
    }
    return changed;
}

// What the process goes by from now on, and the next one from its start.
void Vm::set_limits() {
    LimitsPage& page = *limits_.page;
    page.disk.limit = settings_.disk_limit();
    if (settings_.disk_limit() == 0) {
        page.disk.binds = 0;  // nothing is counted any more
    }
    page.io_operations = settings_.io_limit().operations;
    page.io_bytes = settings_.io_limit().bytes;
}

Checked<> Vm::configure_nested(const std::vector<Command>& lines) {
    const auto above = parent();
    Settings next = settings_;
    if (auto applied = next.apply(lines); !applied || !above) {
        return applied ? make_fault(ENODEV, "the VM was destroyed") : applied.error();
    }
    if (auto allowed = above->check_child(next, lines); !allowed) {
        return allowed;
    }
    settings_ = std::move(next);
    return synthfs::success();
}

void Vm::emit(const std::string& text) {
    const std::string line = std::to_string(clock_ns(CLOCK_REALTIME) / 1000) + ' ' +
                             std::to_string(number_) + ' ' + text + '\n';
    events_->append(line);
    services_.events->append(line);
    if (family_events_) {
        family_events_->append(line);
    }
    for (auto above = parent(); above; above = above->parent()) {
        if (above->family_events_) {
            above->family_events_->append(line);
        }
    }
}

void Vm::enter(VmState state, const std::string& detail) {
    state_ = state;
    emit(std::string("state ") + state_name(state) + (detail.empty() ? "" : ' ' + detail));
}

double Vm::uptime() const {
    if (started_ns_ == 0) {
        return 0;
    }
    const std::uint64_t until = ended_ns_ != 0 ? ended_ns_ : clock_ns(CLOCK_MONOTONIC);
    return static_cast<double>(until - started_ns_) / 1e9;
}

void Vm::status_text(CheckedReply<std::string> reply) {
    const auto tell = [reply = std::move(reply),
                       weak = weak_from_this()](std::optional<std::uint64_t> count) {
        const auto self = weak.lock();
        if (!self) {
            reply(make_fault(ENODEV, "the VM was destroyed"));
            return;
        }
        self->instructions_ = count.value_or(self->instructions_);
        reply(std::string(state_name(self->state_)) + ' ' + self->end_.reason + ' ' +
              self->end_.code + ' ' + seconds_text(self->uptime()) + ' ' +
              std::to_string(self->instructions_) + '\n');
    };
    if ((state_ != VmState::running && state_ != VmState::paused) || !tree()) {
        tell(std::nullopt);
        return;
    }
    machine_->count_instructions(answer_within<std::optional<std::uint64_t>>(
        services_.io, kStatusPatience, std::nullopt, tell));
}

std::string Vm::summary() const {
    return std::to_string(number_) + ' ' + synthfs::quote(name_) + ' ' + state_name(state_) + ' ' +
           end_.reason + ' ' + synthfs::format_size(settings_.memory_bytes()) + ' ' +
           seconds_text(uptime()) + '\n';
}

// --- start
// -------------------------------------------------------------------------------------------------------

Checked<Grants> Vm::open_grants() const {
    Grants grants;
    grants.limits = Fd(fcntl(limits_.file.get(), F_DUPFD_CLOEXEC, 0));
    if (!grants.limits) {
        return make_fault(errno, "limits: %s", std::strerror(errno));
    }
    auto kernel = open_image(settings_.kernel(), "kernel", services_.hidden);
    if (!kernel) {
        return kernel.error();
    }
    grants.kernel = std::move(kernel.value());
    if (settings_.boots_through_bios()) {
        auto bios = open_bios(settings_.bios(), services_.hidden);
        if (!bios) {
            return bios.error();
        }
        grants.bios = std::move(bios.value());
    }
    for (const std::string& path : settings_.initrds()) {
        auto initrd = open_image(path, "initrd", services_.hidden);
        if (!initrd) {
            return initrd.error();
        }
        grants.initrds.push_back({std::move(initrd.value()), path.substr(path.rfind('/') + 1)});
    }
    for (const Settings::Disk& disk : settings_.disks()) {
        auto image = open_disk(disk, services_.hidden);
        if (!image) {
            return image.error();
        }
        grants.disks.push_back({disk.number, std::move(image.value()), Fd(), Fd()});
        if (!disk.written_through) {
            if (auto opened = open_layer(directory_, grants.disks.back()); !opened) {
                return opened.error();
            }
        }
    }
    return grants;
}

void Vm::start(CheckedReply<> reply) {
    touch();
    if (active()) {
        reply(make_fault(EBUSY, "the VM is already %s",
                         start_reply_ ? "starting" : state_name(state_)));
        return;
    }
    auto grants = open_grants();
    if (!grants) {
        reply(grants.error());
        return;
    }
    drop_machine();
    if (auto allowed = check_memory(settings_.memory_bytes(), names_.ram_trees()); !allowed) {
        reply(allowed.error());
        return;
    }
    const auto names = names_.grant_all(namespace_context());
    if (!names) {
        reply(names.error());
        return;
    }
    // Those that its guest makes are to be seen there as they come and go, too.
    const bool shared_root = names_.shows_host() || settings_.nest() > 0 || settings_.host_write();
    guest_keeps_names_ = settings_.lets_guest_keep_names(shared_root);
    StartMessage message;
    message.vm = number_;
    message.memory_bytes = settings_.memory_bytes();
    message.engine = settings_.engine();
    message.boot_menu = settings_.boot_menu();
    message.bios_debug = settings_.bios_debug();
    message.seed = settings_.seed();
    message.command_line = settings_.command_line(number_, shared_root);
    message.disks_first = settings_.has_default_kernel();
    auto machine =
        RemoteMachine::spawn(services_.io, services_.installation.vm_program, std::move(message),
                             std::move(grants.value()), names.value(), machine_hooks());
    if (!machine) {
        reply(machine.error());
        return;
    }
    machine_ = std::move(machine.value());
    process_memory_ = settings_.memory_bytes();
    start_reply_ = std::move(reply);
}

RemoteMachine::Hooks Vm::machine_hooks() {
    // A machine that is closed calls none of these, and the VM closes it before it goes.
    return {.ready = [this](Checked<> outcome) { machine_ready(std::move(outcome)); },
            .console = [this](std::string_view bytes) { console_->append(bytes); },
            .running =
                [this] {
                    if (state_ != VmState::running) {
                        enter(VmState::running);
                    }
                },
            .paused =
                [this] {
                    if (state_ == VmState::running) {
                        enter(VmState::paused);
                    }
                },
            .breakpoint = [this](const std::string& what) { emit("breakpoint " + what); },
            .limit = [this](const std::string& what) { emit("limit " + what); },
            .off = [this](const RemoteMachine::Off& off) { machine_off(off); },
            .error =
                [this](synthfs::ErrorRecord record) {
                    // What this server asked of the machine on a user's behalf is told by the file
                    // that the user wrote.
                    if (record.file != "ctl" && record.file != "cons") {
                        errors_->add(std::move(record));
                    }
                },
            .ended = [this](Ending ending, const auto& told) { process_ended(ending, told); },
            .log =
                [this](const std::string& line) {
                    services_.log("vm=" + std::to_string(number_) + ' ' + line);
                }};
}

void Vm::machine_ready(Checked<> outcome) {
    if (!outcome) {
        fail_start(outcome.error());
        return;
    }
    console_->go_on();
    // The machine was built paused. Its time begins now.
    end_ = End{};
    instructions_ = 0;
    started_ns_ = clock_ns(CLOCK_MONOTONIC);
    ended_ns_ = 0;
    control("resume", [weak = weak_from_this()](Checked<> outcome) {
        auto self = weak.lock();
        if (self && outcome) {
            self->arm_timeout(self->settings_.timeout());
            self->answer_start(synthfs::success());
        } else if (self) {
            self->fail_start(outcome.error());
        }
    });
}

void Vm::fail_start(Fault fault) {
    drop_machine();
    console_->end();
    answer_start(std::move(fault));
}

void Vm::answer_start(Checked<> outcome) {
    if (auto reply = std::exchange(start_reply_, nullptr)) {
        reply(std::move(outcome));
    }
}

// --- while it runs
// -----------------------------------------------------------------------------------------------

void Vm::control(const std::string& line, CheckedReply<> reply) {
    touch();
    if (!tree()) {
        reply(make_fault(EBUSY, "the VM is %s", state_name(state_)));
        return;
    }
    machine_->control(line, std::move(reply));
}

Checked<> Vm::set_timeout(std::chrono::microseconds time) {
    touch();
    if (!active()) {
        return make_fault(EBUSY, "the VM is %s", state_name(state_));
    }
    arm_timeout(time);
    return synthfs::success();
}

void Vm::arm_timeout(std::chrono::microseconds time) {
    timeout_.cancel();
    if (time == time.zero()) {
        return;
    }
    timeout_.expires_after(time);
    timeout_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
        if (const auto self = weak.lock(); self && !ec) {
            self->time_is_up();
        }
    });
}

void Vm::time_is_up() {
    if (!active() || start_reply_) {
        return;
    }
    timed_out_ = true;
    control("stop", [weak = weak_from_this()](Checked<> done) {
        const auto self = weak.lock();
        // It hangs.
        if (self && !done && self->timed_out_ && self->machine_) {
            self->machine_->kill();
        }
    });
}

void Vm::write_console(RequestPtr request, std::span<const std::byte> data,
                       CheckedReply<std::size_t> reply) {
    touch();
    if (machine_ && active()) {
        machine_->write_console(std::move(request), data, std::move(reply));
    } else if (state_ == VmState::fresh) {
        reply(make_fault(EBUSY, "the VM was not started"));
    } else {
        reply(make_fault(EPIPE, "the VM is off"));
    }
}

// --- the end
// -----------------------------------------------------------------------------------------------------

void Vm::finish(VmState state, End end) {
    timeout_.cancel();
    timed_out_ = false;
    end_ = std::move(end);
    ended_ns_ = clock_ns(CLOCK_MONOTONIC);
    enter(state, end_.reason + ' ' + end_.code);
    console_->end();
    wait_->wake();
}

void Vm::machine_off(const RemoteMachine::Off& off) {
    instructions_ = off.instructions;
    const std::string reason = timed_out_ && off.reason == "stop" ? "timeout" : off.reason;
    finish(VmState::stopped,
           {.reason = reason, .code = "0", .text = reason_text(reason), .cpu_ns = off.cpu_ns});
}

Checked<> Vm::kill() {
    touch();
    if (!machine_) {
        return make_fault(EBUSY, "the VM has no process");
    }
    kill_wanted_ = true;
    machine_->kill();
    return synthfs::success();
}

void Vm::process_ended(Ending ending, const std::optional<RemoteMachine::Off>& told) {
    const bool was_active = active();
    const bool timed_out = timed_out_;
    const bool wanted = std::exchange(kill_wanted_, false);
    // Taken first: `wait` answers nobody while a start is under way.
    const auto starter = std::exchange(start_reply_, nullptr);
    drop_machine();
    if (!was_active) {
        return;  // it had stopped before
    }
    if (told) {
        machine_off(*told);
    } else {
        End end;
        end.reason = timed_out                                                ? "timeout"
                     : wanted || (ending.signalled && ending.code == SIGKILL) ? "kill"
                                                                              : "crash";
        end.code = ending.signalled ? signal_name(ending.code) : std::to_string(ending.code);
        end.text = ending.signalled ? "process ended by signal " + std::to_string(ending.code) +
                                          " (" + sigdescr_np(ending.code) + ')'
                                    : "process ended with status " + std::to_string(ending.code);
        finish(VmState::dead, end);
    }
    if (starter) {
        starter(make_fault(EIO, "the VM's process ended: %s", end_.text.c_str()));
    }
}

void Vm::drop_machine() {
    if (const auto machine = std::exchange(machine_, nullptr)) {
        machine->close();
    }
    timeout_.cancel();
    kill_wanted_ = false;
}

void Vm::destroy() {
    answer_start(make_fault(ECANCELED, "the VM was destroyed"));
    drop_machine();
    trees_.close();
    emit("state destroyed");
    events_->set_eof();
    if (family_events_) {
        family_events_->set_eof();
    }
    if (const auto above = parent()) {
        std::erase_if(above->children_,
                      [this](const auto& child) { return child.lock().get() == this; });
    }
}

}  // namespace ennead::srv
