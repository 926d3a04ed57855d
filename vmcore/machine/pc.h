// SPDX-License-Identifier: MIT
// The PC's parts and wires: the single list of devices with the address, length and IRQ of each.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmcore/cpu/arena.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/devices/acpi_pm.h"
#include "vmcore/devices/apic.h"
#include "vmcore/devices/debug_port.h"
#include "vmcore/devices/fw_cfg.h"
#include "vmcore/devices/i440fx.h"
#include "vmcore/devices/i8042.h"
#include "vmcore/devices/ioapic.h"
#include "vmcore/devices/irq_router.h"
#include "vmcore/devices/pci_host.h"
#include "vmcore/devices/pic8259.h"
#include "vmcore/devices/piix.h"
#include "vmcore/devices/pit8254.h"
#include "vmcore/devices/pvpanic.h"
#include "vmcore/devices/rom.h"
#include "vmcore/devices/rtc146818.h"
#include "vmcore/devices/scratch_ports.h"
#include "vmcore/devices/uart16550.h"
#include "vmcore/virtio/block.h"
#include "vmcore/virtio/console.h"
#include "vmcore/virtio/p9_channel.h"
#include "vmcore/virtio/pci_transport.h"
#include "vmcore/virtio/rng.h"

namespace ennead::vmcore {

// What the parts need from the machine that holds them. All called on the vCPU thread.
struct PcWiring {
    GuestRam& ram;
    const Clock& clock;
    Log log;
    EngineKind engine = EngineKind::jit;
    std::string mount_tag;
    // The firmware's ROM, 64 KiB to 1 MiB: the CPU starts there. Empty: a kernel is entered
    // directly, and what firmware would have done before is done here.
    std::span<const u8> bios;
    // Each line written to the debug port. Empty: there is no such port.
    std::function<void(std::string_view)> debug_line;
    P9Channel::Hooks p9;
    struct Disk {
        unsigned number;  // 0 to kMaxDisks - 1
        BlockConfig config;
        VirtioBlock::Submit submit;
    };
    std::vector<Disk> disks{};
    // What the entropy device gives follows from it, from the start; none: the host's.
    std::optional<u64> seed{};
    u64 first_disk_request = 1;  // ids of disk requests count from here
    std::function<void(unsigned port, u8 byte)> com_transmit;
    std::function<void(std::span<const u8>)> console_transmit;
    std::function<i64()> wall_clock;  // ns since 1970
    std::function<void()> power_off;
    std::function<void()> panicked;
    std::function<void()> reset;
};

inline constexpr unsigned kMaxDisks = 4;
// Disk N is in slot kFirstDiskSlot + N of PCI bus 0.
inline constexpr unsigned kFirstDiskSlot = 5;

// A PC that has just been switched on. Without a BIOS it also has been through what firmware does:
// interrupts routed, PCI functions placed, ACPI tables in memory. vCPU thread only, but for
// CpuState::requests.
class Pc final : private InterruptSource {
  public:
    explicit Pc(PcWiring wiring);
    Pc(const Pc&) = delete;
    Pc& operator=(const Pc&) = delete;

    // range_overlap if the list of devices contradicts itself.
    Result<> connect();

    // How many interrupts the CPU has taken from the interrupt controllers, NMIs left out.
    [[nodiscard]] u64 interrupts() const { return interrupts_; }

    // Gives the 8259s their vectors and masks all interrupts, for a kernel that is entered
    // directly.
    void program_pics(u8 master_vector, u8 slave_vector);

    // COM1's carrier is lost, and there again half a second of machine time later.
    void hang_up_com1();

    // Where the ACPI root pointer lies, if there is no BIOS.
    static constexpr PhysAddr kAcpiTables{0xe0000};

  private:
    PcWiring wiring_;

  public:
    Bus ports, mmio;
    PhysicalMemory memory;
    TimerQueue timers;
    CpuArena arena;
    CpuState& state = arena.state();

    Pic8259 pic;
    LocalApic apic;
    IoApic ioapic;
    IrqRouter irqs;
    Pit8254 pit;
    Rtc146818 rtc;
    Uart16550 com1, com2;
    Timer carrier;  // of COM1, comes back
    I8042 keyboard;
    ScratchPorts scratch;
    DebugPort debug;
    PvPanic panic;
    FwCfg fw_cfg;
    Rom bios, bios_alias;
    AcpiPm acpi;
    PciHost pci;
    I440fx host_bridge;
    PiixIsaBridge isa_bridge;
    PiixPowerManagement power_management;

    P9Channel p9;
    VirtioConsole console;
    VirtioRng rng;
    PciTransport p9_pci, console_pci, rng_pci;
    struct Disk {
        Disk(PcWiring::Disk wiring, Pc& pc);
        const unsigned number;
        VirtioBlock device;
        PciTransport pci;
    };
    std::vector<std::unique_ptr<Disk>> disks;

    Cpu cpu;
    std::unique_ptr<Engine> engine;

  private:
    bool intr() override { return apic.has_interrupt(); }
    u8 acknowledge() override {
        ++interrupts_;
        return apic.acknowledge();
    }
    void apic_base_written(u64 value) override;
    void tsc_deadline_written(u64 deadline) override { apic.write_tsc_deadline(deadline); }
    u64 tsc_deadline() override { return apic.tsc_deadline(); }
    void ferr_changed(bool asserted) override { irqs.set_irq(13, asserted); }

    [[nodiscard]] PciDevice::Wiring pci_wiring(unsigned slot);
    void request(u32 bit, bool on);
    void relocate_apic(PhysAddr base, bool enabled);
    Result<> claim_rom();
    void shadow_changed(const I440fx::Segments& segments);
    [[nodiscard]] Result<> act_as_firmware();
    void write_bios_data();
    void place_pci_functions();

    u64 apic_at_ = 0;  // 0: not on the bus
    u64 interrupts_ = 0;
};

}  // namespace ennead::vmcore
