// SPDX-License-Identifier: MIT
// Wires the chips and does what firmware would have done before a kernel is entered directly.
#include "vmcore/machine/pc.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/jit/jit.h"
#include "vmcore/machine/acpi_tables.h"

namespace ennead::vmcore {
namespace {

std::unique_ptr<Engine> make_engine(EngineKind kind, Cpu& cpu) {
    if (kind == EngineKind::interp) {
        return std::make_unique<Interpreter>(cpu);
    }
    return std::make_unique<Jit>(cpu);
}

// Slots of PCI bus 0.
constexpr unsigned kP9Slot = 2, kConsoleSlot = 3, kRngSlot = 4;

// Level-triggered ISA interrupts: the SCI, and the two that PCI's wires share.
constexpr u16 kLevelTriggered = 1u << 9 | 1u << 10 | 1u << 11;

// The largest 9P request: 512 KiB of data, its headers, and some slack.
constexpr std::size_t kMaxP9Request = 512 * 1024 + 4096;

// How much of a ROM's end is seen below 1 MiB too, as in PCs with a 440FX.
constexpr std::size_t kAliasSize = 128 * 1024;

constexpr u16 kDebugPort = 0x402;

// Where firmware would place memory BARs: the top of the PCI hole, below the I/O APIC.
constexpr u32 kFirstBar = 0xfe000000;

// Offsets in a type-0 configuration space, PCI 3.0 §6.1.
constexpr unsigned kPciCommand = 0x04, kPciBar0 = 0x10, kPciInterruptLine = 0x3c,
                   kPciInterruptPin = 0x3d;
constexpr u16 kPciMemorySpace = 1u << 1, kPciBusMaster = 1u << 2;

}  // namespace

// clang-format off
Pc::Pc(PcWiring wiring)
    : wiring_(std::move(wiring)),
      memory(wiring_.ram, mmio),
      timers(wiring_.clock),
      pic([this](bool level) { apic.set_lint0(level); }),
      apic(timers,
           {.intr = [this](bool level) { request(kRequestInterrupt, level); },
            .nmi = [this] { request(kRequestNmi, true); },
            .extint_acknowledge = [this] { return pic.acknowledge(); },
            .eoi = [this](u8 vector) { ioapic.end_of_interrupt(vector); },
            .tsc_to_ns = [this](u64 tsc) {
                 // A TSC value from before machine time began is long past.
                 const auto ns = static_cast<i64>(tsc - state.tsc_offset);
                 return ns < 0 ? u64{0} : static_cast<u64>(ns);
             },
            .relocate = [this](PhysAddr base, bool enabled) { relocate_apic(base, enabled); }},
           wiring_.log),
      ioapic(apic),
      irqs(pic, ioapic),
      pit(timers, irqs.line(0), [this] { return irqs.pending(0); }),
      rtc(timers, wiring_.wall_clock, irqs.line(8)),
      com1(timers, {.irq = irqs.line(4), .transmit = [this](u8 b) { wiring_.com_transmit(0, b); },
                    .room = {}, .transmit_break = {}, .modem_control = {}}),
      com2(timers, {.irq = irqs.line(3), .transmit = [this](u8 b) { wiring_.com_transmit(1, b); },
                    .room = {}, .transmit_break = {}, .modem_control = {}}),
      carrier(timers, [this] { com1.set_modem_lines({}); }),
      keyboard({.irq1 = irqs.line(1), .reset = wiring_.reset,
                .a20 = [this](bool on) {
                     memory.set_a20(on);
                     cpu.mmu.flush_all();
                 }}),
      debug(wiring_.debug_line),
      panic(wiring_.panicked, wiring_.log),
      fw_cfg(wiring_.ram, wiring_.log),
      bios(wiring_.bios),
      bios_alias(wiring_.bios.last(std::min(wiring_.bios.size(), kAliasSize))),
      acpi(timers, {.sci = irqs.line(9), .power_off = wiring_.power_off}, wiring_.log),
      pci({.pirq = [this](unsigned n, bool level) { isa_bridge.set_pirq(n, level); },
           .reset = [this](bool) { wiring_.reset(); }}),
      host_bridge([this](const I440fx::Segments& segments) { shadow_changed(segments); }),
      isa_bridge([this](unsigned irq, bool level) { irqs.set_irq(irq, level); }),
      power_management(ports, acpi),
      p9(wiring_.mount_tag, kMaxP9Request, wiring_.p9),
      console([this](std::span<const u8> bytes) { wiring_.console_transmit(bytes); }),
      rng(wiring_.seed ? seeded_bytes(*wiring_.seed) : VirtioRng::Source{}),
      p9_pci(p9, wiring_.ram, pci_wiring(kP9Slot)),
      console_pci(console, wiring_.ram, pci_wiring(kConsoleSlot)),
      rng_pci(rng, wiring_.ram, pci_wiring(kRngSlot)),
      cpu(arena, CpuWiring{.memory = memory, .ports = ports, .interrupts = *this, .clock = wiring_.clock,
                           .log = wiring_.log}),
      engine(make_engine(wiring_.engine, cpu)) {
    p9.set_tap({.on = [this] { return cpu.tracer.messages(); },
                .frame = [this](std::span<const std::byte> frame) { cpu.tracer.message(frame); }});
    for (PcWiring::Disk& disk : wiring_.disks) {
        assert(disk.number < kMaxDisks);
        disks.push_back(std::make_unique<Disk>(std::move(disk), *this));
    }
}
// clang-format on

Pc::Disk::Disk(PcWiring::Disk wiring, Pc& pc)
    : number(wiring.number),
      device(std::move(wiring.config), pc.wiring_.first_disk_request, std::move(wiring.submit)),
      pci(device, pc.wiring_.ram, pc.pci_wiring(kFirstDiskSlot + number)) {}

PciDevice::Wiring Pc::pci_wiring(unsigned slot) {
    return {.ports = ports,
            .mmio = mmio,
            .intx = pci.intx(slot, 0),
            .msi = [this](u64 address, u32 data) { apic.deliver_msi(address, data); },
            .log = wiring_.log,
            .name = {}};
}

Result<> Pc::connect() {
    struct Claim {
        Bus& bus;
        u64 base;
        u64 length;
        unsigned width;
        Device& device;
        const char* name;
    };
    // clang-format off
    const Claim claims[] = {
        {ports, 0x0020, 2, 1, pic.master_ports(),       "pic1"},        // → LINT0
        {ports, 0x0040, 4, 1, pit.ports(),              "pit"},         // IRQ 0
        {ports, 0x0060, 1, 1, keyboard.data_port(),     "i8042-data"},  // IRQ 1
        {ports, 0x0061, 1, 1, pit.port61(),             "port61"},
        {ports, 0x0064, 1, 1, keyboard.command_port(),  "i8042"},
        {ports, 0x0070, 2, 1, rtc,                      "rtc"},         // IRQ 8
        {ports, 0x0080, 16, 1, scratch,                 "dma-page"},
        {ports, 0x0092, 1, 1, keyboard.port92(),        "port92"},
        {ports, 0x00a0, 2, 1, pic.slave_ports(),        "pic2"},        // → IRQ 2
        {ports, 0x02f8, 8, 1, com2,                     "com2"},        // IRQ 3
        {ports, 0x03f8, 8, 1, com1,                     "com1"},        // IRQ 4
        {ports, 0x04d0, 2, 1, pic.elcr_ports(),         "elcr"},
        {ports, PvPanic::kPort, 1, 1, panic,            "pvpanic"},
        {ports, 0x0510, 2, 2, fw_cfg.ports(),           "fw_cfg"},
        {ports, 0x0514, 8, 4, fw_cfg.dma_ports(),       "fw_cfg-dma"},
        {ports, 0x00b2, 2, 1, acpi.smi_ports(),         "apm"},
        {ports, 0x0cf8, 4, 4, pci.address_port(),       "pci-address"},
        {ports, 0x0cfc, 4, 4, pci.data_port(),          "pci-data"},
        // 0x600: ACPI (SCI: IRQ 9), placed through its PCI function below.
        {mmio, IoApic::kBase, IoApic::kLength, 4, ioapic, "ioapic"},
    };
    // clang-format on
    std::string clash;
    for (const Claim& c : claims) {
        if (auto added = c.bus.add(c.base, c.length, c.width, c.device, c.name, &clash); !added) {
            wiring_.log.error("what=range_overlap %s", clash.c_str());
            return added;
        }
    }
    struct Place {
        unsigned slot, number;
        PciFunction& function;
    };
    const Place places[] = {
        {0, 0, host_bridge},
        {1, 0, isa_bridge},
        {1, 3, power_management},
        {kP9Slot, 0, p9_pci},            // INTA → IRQ 10
        {kConsoleSlot, 0, console_pci},  // INTA → IRQ 11
        {kRngSlot, 0, rng_pci},          // INTA → IRQ 11
    };
    for (const Place& p : places) {
        if (auto added = pci.add(p.slot, p.number, p.function); !added) {
            return added;
        }
    }
    for (const auto& disk : disks) {  // INTA → IRQ 10, 10, 11, 11
        if (auto added = pci.add(kFirstDiskSlot + disk->number, 0, disk->pci); !added) {
            return added;
        }
    }
    if (wiring_.debug_line) {
        if (auto added = ports.add(kDebugPort, 1, 1, debug, "debug"); !added) {
            return added;
        }
    }
    state.reset();
    cpu.mode_changed();
    relocate_apic(PhysAddr{LocalApic::kDefaultBase}, true);
    rtc.set_memory_size(wiring_.ram.size());
    shadow_changed(host_bridge.segments());
    return wiring_.bios.empty() ? act_as_firmware() : claim_rom();
}

// Below 4 GiB, where the CPU starts, and the last part once more below 1 MiB, until the firmware
// has RAM there instead.
Result<> Pc::claim_rom() {
    const u64 size = wiring_.bios.size(), alias = std::min<u64>(size, kAliasSize);
    if (auto added = mmio.add((u64{1} << 32) - size, size, 4, bios, "bios"); !added) {
        return added;
    }
    return mmio.add(PhysicalMemory::kShadowEnd - alias, alias, 4, bios_alias, "bios alias");
}

void Pc::shadow_changed(const I440fx::Segments& segments) {
    for (const I440fx::Segment& s : segments) {
        for (u32 at = s.base; at < s.base + s.length; at += PhysicalMemory::kShadowPiece) {
            memory.set_shadow(PhysAddr{at}, {.read = s.read_dram, .write = s.write_dram});
        }
    }
    cpu.mmu.flush_all();
}

void Pc::hang_up_com1() {
    // A driver that is interrupted looks at the line only then.
    constexpr u64 kWithoutCarrierNs = 500'000'000;
    com1.set_modem_lines({.dcd = false});
    carrier.arm_at_ns(wiring_.clock.now_ns() + kWithoutCarrierNs);
}

void Pc::program_pics(u8 master_vector, u8 slave_vector) {
    constexpr u8 kIcw1 = 0x11, kCascade = 2, kIcw4 = 0x01,
                 kAllButCascade = 0xff & ~(1u << kCascade);
    // Ports and values in the order of the 8259A's initialisation.
    for (const auto& [port, value] : {std::pair<u16, u8>{0x20, kIcw1},
                                      {0x21, master_vector},
                                      {0x21, 1u << kCascade},
                                      {0x21, kIcw4},
                                      {0x21, kAllButCascade},
                                      {0xa0, kIcw1},
                                      {0xa1, slave_vector},
                                      {0xa1, kCascade},
                                      {0xa1, kIcw4},
                                      {0xa1, 0xff}}) {
        ports.write(port, 1, value);
    }
}

// The BIOS data area, of which small kernels read where the serial ports are and how much memory
// there is.
void Pc::write_bios_data() {
    constexpr u32 kExtendedArea = 0x9fc00;
    constexpr u16 kTwoSerialPorts = 2u << 9;
    const auto put = [this](u32 at, u16 value) {
        std::copy_n(reinterpret_cast<const u8*>(&value), 2, wiring_.ram.base() + at);
    };
    put(0x400, 0x3f8);
    put(0x402, 0x2f8);
    put(0x40e, kExtendedArea >> 4);
    put(0x410, kTwoSerialPorts);
    put(0x413, kExtendedArea >> 10);
    wiring_.ram.base()[kExtendedArea] = 1;  // its size in KiB
}

Result<> Pc::act_as_firmware() {
    pic.set_elcr(kLevelTriggered);
    program_pics(0x08, 0x70);
    write_bios_data();
    isa_bridge.route_as_firmware();
    power_management.enable_as_firmware();
    place_pci_functions();
    host_bridge.shadow_as_firmware();
    // Who jumps to the reset vector below 1 MiB wants a reset: mov $0xcf9,%dx; mov $6,%al; out
    // %al,%dx; hlt
    constexpr u8 kResetVector[] = {0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd};
    std::copy(std::begin(kResetVector), std::end(kResetVector), wiring_.ram.base() + 0xffff0);
    return install_acpi_tables(wiring_.ram, kAcpiTables, {});
}

void Pc::request(u32 bit, bool on) {
    if (on) {
        state.request(bit);
    } else {
        state.requests.fetch_and(~bit, std::memory_order_relaxed);
    }
}

void Pc::apic_base_written(u64 value) {
    // The MSR's reserved bits have been refused by WRMSR; what is left is valid here too.
    (void)apic.write_base_msr(value);
    cpu.mmu.flush_all();
}

void Pc::relocate_apic(PhysAddr base, bool enabled) {
    if (apic_at_ != 0) {
        mmio.remove(apic_at_);
        apic_at_ = 0;
    }
    std::string clash;
    if (enabled && mmio.add(raw(base), LocalApic::kLength, 4, apic, "apic", &clash)) {
        apic_at_ = raw(base);
    } else if (enabled) {
        wiring_.log.warn("dev=apic what=range_overlap %s", clash.c_str());
    }
}

void Pc::place_pci_functions() {
    u32 next = kFirstBar;
    std::vector<std::pair<unsigned, PciFunction*>> functions{
        {kP9Slot, &p9_pci}, {kConsoleSlot, &console_pci}, {kRngSlot, &rng_pci}};
    for (const auto& disk : disks) {
        functions.emplace_back(kFirstDiskSlot + disk->number, &disk->pci);
    }
    for (const auto& [slot, function] : functions) {
        for (unsigned bar = kPciBar0; bar < kPciBar0 + 24; bar += 4) {
            // PCI 3.0 §6.2.5.1: all ones written, the size bits read back as zero.
            function->config_write(bar, 4, 0xffffffff);
            const u32 mask = function->config_read(bar, 4) & ~0xfu;
            if (mask == 0) {
                continue;
            }
            const u32 size = ~mask + 1;
            next = (next + size - 1) & ~(size - 1);
            function->config_write(bar, 4, next);
            next += size;
        }
        const unsigned pin = function->config_read(kPciInterruptPin, 1);
        if (pin != 0) {
            const u8 irq = PiixIsaBridge::kFirmwareRoute[PciHost::pirq_of(slot, pin - 1)];
            function->config_write(kPciInterruptLine, 1, irq);
        }
        function->config_write(kPciCommand, 2, kPciMemorySpace | kPciBusMaster);
    }
}

}  // namespace ennead::vmcore
