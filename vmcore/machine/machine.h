// SPDX-License-Identifier: MIT
// One PC: its RAM, CPU and chips, wired together.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmcore/cpu/engine.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/log.h"
#include "vmcore/machine/boot.h"
#include "vmcore/machine/firmware.h"
#include "vmcore/machine/host_clock.h"
#include "vmcore/machine/line_mixer.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/result.h"
#include "vmcore/virtio/block.h"
#include "vmcore/virtio/p9_channel.h"

namespace ennead::vmcore {

class Pc;

struct MachineConfig {
    u64 memory_bytes = 0;
    EngineKind engine = EngineKind::jit;
    // A ROM image, 64 KiB to 1 MiB, that the machine starts in and that boots the kernel. Empty:
    // the kernel is entered directly.
    std::vector<u8> bios{};
    BootMenu boot_menu = BootMenu::choice;
    bool bios_debug = false;  // what is written to the debug port goes to the console's output
    std::vector<u8> kernel;
    // Whether a BIOS tries the disks before the kernel.
    bool disks_first = false;
    struct Disk {
        unsigned number = 0;  // 0 to 3, each once: its PCI slot, and its place in a BIOS's order
        BlockConfig config;
    };
    std::vector<Disk> disks{};
    struct Initrd {
        std::vector<u8> bytes;
        std::string name;  // of the file, without its directory
    };
    std::vector<Initrd> initrds;
    std::string command_line;
    std::string mount_tag = "ennead";  // of the 9P device that carries the root
    // What the entropy device gives from each power-on; none: the host's random bytes.
    std::optional<u64> seed{};
};

// What the machine tells its surroundings; all called on the vCPU thread, so they must not block.
struct MachineHooks {
    LogSink log;
    // What the guest prints on its console: COM1 until the guest prints through the virtio console,
    // then that.
    std::function<void(std::span<const u8>)> console_output;
    std::function<void(std::span<const u8>)> com1_output;
    std::function<void(std::span<const u8>)> com2_output;
    // There is room again for input (the queues below were full).
    std::function<void()> input_room;
    // A 9P request; to be answered by P9Channel::complete on the vCPU thread.
    std::function<void(P9Request)> p9_request;
    // The 9P device was reset: all fids are gone.
    std::function<void()> p9_reset;
    // A request to a disk; to be answered by Machine::complete_disk() on the vCPU thread. Requests
    // of one disk are to be done in their order.
    std::function<void(unsigned disk, BlockRequest)> disk_request;
    // Nanoseconds since 1970, UTC; what the RTC shows at power-on. From then on it goes with the
    // machine's clock.
    std::function<i64()> wall_clock;
};

// What the guest asked of the power supply; a panic asks for nothing, but the machine is not to go
// on.
enum class MachineRequest { none, power_off, reset, panic };

// Machine state belongs to the vCPU thread; only request_exit() may be called by others.
class Machine {
  public:
    // Builds the PC: the CPU stands at the kernel's entry point, or at the BIOS's.
    static Result<std::unique_ptr<Machine>> create(MachineConfig config, MachineHooks hooks);
    ~Machine();

    // Off and on again: RAM zero, every chip in its reset state, the kernel placed anew.
    void power_cycle();

    [[nodiscard]] Engine& engine();
    [[nodiscard]] Cpu& cpu();
    [[nodiscard]] TimerQueue& timers();
    [[nodiscard]] HostClock& clock() { return clock_; }
    [[nodiscard]] PhysicalMemory& memory();
    [[nodiscard]] GuestRam& ram() { return *ram_; }
    [[nodiscard]] P9Channel& p9_channel();
    // How many interrupts the CPU has taken since power-on, NMIs left out.
    [[nodiscard]] u64 interrupts() const;
    // Answers a request of disk `number`, as VirtioBlock::complete(). One from before a power cycle
    // is dropped silently.
    void complete_disk(unsigned number, u64 id, bool ok, std::span<const std::byte> data);

    // Gives and clears the guest's last request.
    [[nodiscard]] MachineRequest take_request();
    [[nodiscard]] bool has_request() const { return request_ != MachineRequest::none; }
    // Moves what is buffered: output to the hooks, input to the guest. To be called between runs of
    // guest code.
    void exchange_bytes();
    // Hands on all output that waits for more to come: the guest prints nothing for the time being.
    void finish_output();

    // A line for the log: the CPU has shut down, and what is known of it is about to be lost.
    void tell_triple_fault();
    // ACPI's power button.
    void press_power_button();
    void raise_nmi();
    // Input for the console: how many bytes were queued, the first ones; 64 KiB wait at most.
    [[nodiscard]] std::size_t console_input(std::span<const u8> bytes);
    [[nodiscard]] std::size_t com_input(unsigned port, std::span<const u8> bytes);  // port 0: COM1
    void console_size(u16 columns, u16 rows);
    void console_break();
    // The line to the terminal is dropped: COM1 has no carrier for half a second, and the virtio
    // console's port goes and comes back.
    void console_hangup();

    // Makes Engine::run return soon. Any thread.
    void request_exit();

  private:
    // Bytes on their way to the guest; lost when the power is, as on a serial line.
    struct Input {
        std::vector<u8> bytes;
        bool was_full = false;
    };

    Machine(MachineConfig config, MachineHooks hooks, std::unique_ptr<GuestRam> ram);
    Result<> build();
    Result<> boot_directly(Pc& pc);
    Result<> boot_through_bios(Pc& pc);
    [[nodiscard]] std::vector<std::string> boot_order() const;
    void request(MachineRequest what);
    void com_transmit(unsigned port, u8 byte);
    void console_transmit(std::span<const u8> bytes);
    std::size_t queue(Input& input, std::span<const u8> bytes);
    void feed(Input& input, const std::function<std::size_t(std::span<const u8>)>& take);
    void flush_com(unsigned port);

    MachineConfig config_;
    MachineHooks hooks_;
    Log log_;
    LogLimit triple_fault_lines_{16};
    std::unique_ptr<GuestRam> ram_;
    HostClock clock_;
    MachineRequest request_ = MachineRequest::none;
    // From the first byte that comes through the virtio console on, COM1 no longer is the console.
    bool virtio_speaks_ = false;
    u64 builds_ = 0;  // how many PCs there were
    Input console_in_, com_in_[2];
    // With a BIOS: all initrds in one, and each of them in it.
    std::vector<u8> joined_initrds_;
    std::vector<BootModule> initrds_;
    std::vector<u8> com_out_[2];
    std::unique_ptr<Pc> pc_;
    std::unique_ptr<LineMixer> console_;  // of this PC, whose timers it uses
    std::mutex pc_mutex_;  // guards pc_ itself, against request_exit() during a power cycle
};

}  // namespace ennead::vmcore
