// SPDX-License-Identifier: MIT
// A machine around its PC: boot, power cycles, and the bytes that go in and out of its consoles.
#include "vmcore/machine/machine.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "vmcore/machine/boot.h"
#include "vmcore/machine/pc.h"

namespace ennead::vmcore {
namespace {

constexpr std::size_t kInputLimit = 64 * 1024;
constexpr std::size_t kLeastBios = 64 * 1024, kLargestBios = 1024 * 1024;
// Serial output is handed on in pieces of this size, or when a slice of guest code is done.
constexpr std::size_t kComOutputPiece = 4096;
// What is typed at the console while firmware starts a kernel is meant for the kernel; a boot
// loader that has a question waits longer than this.
constexpr u64 kConsolePatienceNs = 2'000'000'000;

}  // namespace

Machine::Machine(MachineConfig config, MachineHooks hooks, std::unique_ptr<GuestRam> ram)
    : config_(std::move(config)),
      hooks_(std::move(hooks)),
      log_(hooks_.log),
      ram_(std::move(ram)) {}

Machine::~Machine() = default;

Result<std::unique_ptr<Machine>> Machine::create(MachineConfig config, MachineHooks hooks) {
    auto ram = GuestRam::create(config.memory_bytes);
    if (!ram) {
        return ram.error();
    }
    std::unique_ptr<Machine> machine(
        new Machine(std::move(config), std::move(hooks), std::move(ram.value())));
    if (auto built = machine->build(); !built) {
        return built.error();
    }
    return machine;
}

Result<> Machine::build() {
    // From here on it goes with the machine's time, and so stops with it. A host whose date is set
    // anew, or that slept, is followed at the next reset.
    const i64 epoch_ns = hooks_.wall_clock() - static_cast<i64>(clock_.now_ns());
    PcWiring wiring{
        .ram = *ram_,
        .clock = clock_,
        .log = log_,
        .engine = config_.engine,
        .mount_tag = config_.mount_tag,
        .bios = config_.bios,
        .debug_line = {},
        .p9 = {.submit = hooks_.p9_request, .reset = hooks_.p9_reset},
        .com_transmit = [this](unsigned port, u8 byte) { com_transmit(port, byte); },
        .console_transmit = [this](std::span<const u8> bytes) { console_transmit(bytes); },
        .wall_clock = [this, epoch_ns] { return epoch_ns + static_cast<i64>(clock_.now_ns()); },
        .power_off = [this] { request(MachineRequest::power_off); },
        .panicked = [this] { request(MachineRequest::panic); },
        .reset = [this] { request(MachineRequest::reset); },
    };
    wiring.seed = config_.seed;
    // An answer to another PC's request must not be taken for one to this one's.
    wiring.first_disk_request = ++builds_ << 48;
    for (const MachineConfig::Disk& disk : config_.disks) {
        wiring.disks.push_back({.number = disk.number,
                                .config = disk.config,
                                .submit = [this, n = disk.number](BlockRequest request) {
                                    hooks_.disk_request(n, std::move(request));
                                }});
    }
    if (config_.bios_debug) {
        wiring.debug_line = [this](std::string_view line) {
            flush_com(0);
            console_->add_line(line);
        };
    }
    auto pc = std::make_unique<Pc>(std::move(wiring));
    if (auto connected = pc->connect(); !connected) {
        return connected;
    }
    if (auto booted = config_.bios.empty() ? boot_directly(*pc) : boot_through_bios(*pc); !booted) {
        return booted;
    }
    const std::lock_guard lock(pc_mutex_);
    console_ = std::make_unique<LineMixer>(pc->timers, hooks_.console_output);
    if (pc_) {
        pc->cpu.set_breakpoints(pc_->cpu.breakpoints.list());
        pc->cpu.set_trace(pc_->cpu.tracer.rules(), pc_->cpu.tracer.sink());
    }
    pc_.swap(pc);
    virtio_speaks_ = false;
    return success();
}

Result<> Machine::boot_directly(Pc& pc) {
    BootImages images{.kernel = config_.kernel,
                      .initrds = {},
                      .command_line = config_.command_line,
                      .rsdp = Pc::kAcpiTables};
    for (const MachineConfig::Initrd& initrd : config_.initrds) {
        images.initrds.push_back({initrd.bytes, initrd.name});
    }
    if (auto booted = boot_kernel(*ram_, pc.state, images); !booted) {
        return booted;
    }
    if (kernel_format(config_.kernel) == KernelFormat::linux) {
        pc.program_pics(0x20, 0x28);  // as setup code does; kernels up to 2.2 count on it
    }
    pc.cpu.mode_changed();
    return success();
}

Result<> Machine::boot_through_bios(Pc& pc) {
    if (config_.bios.size() < kLeastBios || config_.bios.size() > kLargestBios ||
        config_.bios.size() % kPageSize != 0) {
        return Error::bad_value;
    }
    // One that has all of them, made once; it takes their place.
    if (initrds_.empty() && !config_.initrds.empty()) {
        std::vector<BootModule> apart;
        for (const MachineConfig::Initrd& initrd : config_.initrds) {
            apart.push_back({initrd.bytes, initrd.name});
        }
        joined_initrds_ = join_initrds(apart);
        std::span<const u8> rest = joined_initrds_;
        for (MachineConfig::Initrd& initrd : config_.initrds) {
            initrds_.push_back({rest.first(initrd.bytes.size()), initrd.name});
            rest = rest.subspan(std::min((initrd.bytes.size() + 3) / 4 * 4, rest.size()));
            initrd.bytes = {};
        }
    }
    return offer_to_firmware(pc.fw_cfg, {.memory_bytes = config_.memory_bytes,
                                         .menu = config_.boot_menu,
                                         .kernel = config_.kernel,
                                         .initrd = joined_initrds_,
                                         .initrds = initrds_,
                                         .command_line = config_.command_line,
                                         .boot_order = boot_order()});
}

// SeaBIOS's names of what it tries, first one first.
std::vector<std::string> Machine::boot_order() const {
    std::vector<std::string> order;
    for (const MachineConfig::Disk& disk : config_.disks) {
        char name[40];
        std::snprintf(name, sizeof name, "/pci@i0cf8/*@%x/disk@0,0", kFirstDiskSlot + disk.number);
        order.emplace_back(name);
    }
    order.emplace(config_.disks_first ? order.end() : order.begin(), kOptionRomInBootOrder);
    return order;
}

void Machine::power_cycle() {
    finish_output();
    // Whatever still answers the old PC's 9P requests must not reach the new one's.
    hooks_.p9_reset();
    request_ = MachineRequest::none;
    for (Input* input : {&console_in_, &com_in_[0], &com_in_[1]}) {
        *input = {};
    }
    hooks_.input_room();
    ram_->clear();
    clock_.restart();
    if (auto built = build(); !built) {
        // The same images went in before.
        log_.error("what=power_cycle error=%s", built.error().message().c_str());
    }
}

Engine& Machine::engine() {
    return *pc_->engine;
}
Cpu& Machine::cpu() {
    return pc_->cpu;
}
u64 Machine::interrupts() const {
    return pc_->interrupts();
}
TimerQueue& Machine::timers() {
    return pc_->timers;
}
PhysicalMemory& Machine::memory() {
    return pc_->memory;
}
P9Channel& Machine::p9_channel() {
    return pc_->p9;
}

void Machine::complete_disk(unsigned number, u64 id, bool ok, std::span<const std::byte> data) {
    for (const auto& disk : pc_->disks) {
        if (disk->number == number) {
            disk->device.complete(id, ok, data);
        }
    }
}

void Machine::request(MachineRequest what) {
    request_ = what;
    request_exit();
}

MachineRequest Machine::take_request() {
    return std::exchange(request_, MachineRequest::none);
}

void Machine::tell_triple_fault() {
    if (triple_fault_lines_.allow()) {
        const CpuState& s = pc_->state;
        log_.warn("what=triple_fault cs=0x%04x eip=0x%08x esp=0x%08x cr0=0x%08x cr2=0x%08x",
                  s.segment(Seg::cs).selector, s.eip, s.gpr[kEsp], s.cr0, s.cr2);
    }
}

void Machine::press_power_button() {
    pc_->acpi.press_power_button();
}

void Machine::raise_nmi() {
    if (!pc_->rtc.nmi_masked()) {
        pc_->state.request(kRequestNmi);
    }
}

void Machine::console_size(u16 columns, u16 rows) {
    pc_->console.resize(columns, rows);
}
void Machine::console_hangup() {
    pc_->hang_up_com1();
    pc_->console.hang_up();
}
void Machine::console_break() {
    pc_->com1.receive_break();
}

void Machine::request_exit() {
    const std::lock_guard lock(pc_mutex_);
    if (pc_) {
        pc_->state.request(kRequestExit);
    }
}

void Machine::com_transmit(unsigned port, u8 byte) {
    com_out_[port].push_back(byte);
    if (com_out_[port].size() >= kComOutputPiece) {
        flush_com(port);
    }
}

void Machine::flush_com(unsigned port) {
    if (com_out_[port].empty()) {
        return;
    }
    if (port == 0) {
        hooks_.com1_output(com_out_[0]);
        if (!virtio_speaks_) {
            console_->print(com_out_[0]);
        }
    } else {
        hooks_.com2_output(com_out_[1]);
    }
    com_out_[port].clear();
}

void Machine::console_transmit(std::span<const u8> bytes) {
    flush_com(0);
    virtio_speaks_ = true;
    console_->print(bytes);
}

void Machine::finish_output() {
    pc_->debug.flush();
    flush_com(0);
    flush_com(1);
    console_->flush();
}

std::size_t Machine::queue(Input& input, std::span<const u8> bytes) {
    const std::size_t n = std::min(bytes.size(), kInputLimit - input.bytes.size());
    input.bytes.insert(input.bytes.end(), bytes.begin(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(n));
    input.was_full = n < bytes.size();
    exchange_bytes();
    return n;
}

std::size_t Machine::console_input(std::span<const u8> bytes) {
    return queue(console_in_, bytes);
}
std::size_t Machine::com_input(unsigned port, std::span<const u8> bytes) {
    return queue(com_in_[port], bytes);
}

void Machine::feed(Input& input, const std::function<std::size_t(std::span<const u8>)>& take) {
    if (input.bytes.empty()) {
        return;
    }
    const std::size_t n = take(input.bytes);
    input.bytes.erase(input.bytes.begin(), input.bytes.begin() + static_cast<std::ptrdiff_t>(n));
    if (n != 0 && std::exchange(input.was_full, false)) {
        hooks_.input_room();
    }
}

void Machine::exchange_bytes() {
    flush_com(0);
    flush_com(1);
    // Before somebody listens, what is sent would be dropped when a driver starts; and while one
    // sets a port up, or looks which bits of it there are, it keeps interrupts off. `patience_ns`:
    // how long a program without interrupts must have been waiting.
    const bool interruptible = (pc_->state.eflags & eflags::kIf) != 0;
    const auto to = [interruptible](Uart16550& com, std::span<const u8> bytes,
                                    u64 patience_ns) -> std::size_t {
        const auto polled = com.polled_for_ns();
        const bool listening = interruptible && com.listening();
        return listening || (polled && *polled >= patience_ns) ? com.receive(bytes) : 0;
    };
    // Linux opens the virtio console as its driver starts, even if the shell is on COM1.
    const bool by_virtio = pc_->console.listening() && (virtio_speaks_ || !pc_->com1.listening());
    feed(console_in_, [&](std::span<const u8> bytes) {
        return by_virtio ? pc_->console.input(bytes) : to(pc_->com1, bytes, kConsolePatienceNs);
    });
    feed(com_in_[0], [&](std::span<const u8> bytes) { return to(pc_->com1, bytes, 0); });
    feed(com_in_[1], [&](std::span<const u8> bytes) { return to(pc_->com2, bytes, 0); });
}

}  // namespace ennead::vmcore
