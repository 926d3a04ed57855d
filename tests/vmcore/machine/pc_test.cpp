// SPDX-License-Identifier: MIT
// The PC's list of devices and the state in which firmware would leave them.
#include "vmcore/machine/pc.h"

#include <gtest/gtest.h>

#include <map>

namespace ennead::vmcore {
namespace {

class PcTest : public testing::Test {
  protected:
    explicit PcTest(std::vector<u8> rom = {}, std::vector<PcWiring::Disk> disks = {})
        : bios(std::move(rom)) {
        pc = std::make_unique<Pc>(PcWiring{
            .ram = *ram,
            .clock = clock,
            .log = Log([this](LogLevel level, std::string_view line) {
                if (level <= LogLevel::warn) {
                    trouble += std::string(line) + '\n';
                }
            }),
            .mount_tag = "ennead",
            .bios = bios,
            .debug_line = {},
            .p9 = {.submit = [](P9Request) {}, .reset = [] {}},
            .disks = std::move(disks),
            .com_transmit = [this](unsigned port,
                                   u8 byte) { sent[port] += static_cast<char>(byte); },
            .console_transmit = [](std::span<const u8>) {},
            .wall_clock = [] { return i64{0}; },
            .power_off = [this] { ++power_offs; },
            .panicked = [this] { ++panics; },
            .reset = [this] { ++resets; },
        });
        EXPECT_TRUE(pc->connect());
    }

    u32 in(u64 port, unsigned size = 1) { return static_cast<u32>(pc->ports.read(port, size)); }
    void out(u64 port, u32 value, unsigned size = 1) { pc->ports.write(port, size, value); }
    u32 pci(unsigned slot, unsigned function, unsigned offset, unsigned size = 4) {
        out(0xcf8, 0x80000000 | slot << 11 | function << 8 | (offset & ~3u), 4);
        return in(0xcfc + (offset & 3), size);
    }
    // As after ljmp $0xf000,$0xfff0.
    void state_at_reset_vector() {
        pc->state.segment(Seg::cs).selector = 0xf000;
        pc->state.segment(Seg::cs).base = 0xf0000;
        pc->state.eip = 0xfff0;
        pc->cpu.mode_changed();
    }
    const Bus::Range* range(const Bus& bus, u64 base) {
        for (const Bus::Range& r : bus.ranges()) {
            if (r.base == base) {
                return &r;
            }
        }
        return nullptr;
    }

    std::vector<u8> bios;
    std::unique_ptr<GuestRam> ram = GuestRam::create(64 << 20).value();
    ManualClock clock;
    std::string trouble;
    std::map<unsigned, std::string> sent;
    int power_offs = 0, panics = 0, resets = 0;
    std::unique_ptr<Pc> pc;
};

TEST_F(PcTest, com1_without_carrier_has_it_back_after_half_a_second) {
    constexpr u64 kModemStatus = 0x3fe;
    constexpr u32 kCarrier = 0x80, kCarrierChanged = 0x08;
    EXPECT_EQ(in(kModemStatus) & (kCarrier | kCarrierChanged), kCarrier);
    pc->hang_up_com1();
    EXPECT_EQ(in(kModemStatus) & (kCarrier | kCarrierChanged), kCarrierChanged);
    clock.advance_ns(300'000'000);
    pc->hang_up_com1();  // counts from now
    clock.advance_ns(499'999'999);
    pc->timers.run_due();
    EXPECT_EQ(in(kModemStatus) & (kCarrier | kCarrierChanged), 0u);
    clock.advance_ns(1);
    pc->timers.run_due();
    EXPECT_EQ(in(kModemStatus) & (kCarrier | kCarrierChanged), kCarrier | kCarrierChanged);
}

TEST_F(PcTest, every_chip_is_at_the_ports_of_a_pc) {
    const std::map<u64, u64> expected{{0x20, 2},  {0x40, 4},   {0x60, 1},  {0x61, 1},  {0x64, 1},
                                      {0x70, 2},  {0x80, 16},  {0x92, 1},  {0xa0, 2},  {0xb2, 2},
                                      {0x2f8, 8}, {0x3f8, 8},  {0x4d0, 2}, {0x505, 1}, {0x510, 2},
                                      {0x514, 8}, {0x600, 64}, {0xcf8, 4}, {0xcfc, 4}};
    for (const auto& [base, length] : expected) {
        const Bus::Range* found = range(pc->ports, base);
        ASSERT_NE(found, nullptr) << std::hex << base;
        EXPECT_EQ(found->length, length) << std::hex << base;
    }
    for (const Bus::Range& r : pc->ports.ranges()) {
        // The PIIX4's SMBus has a place of its own choice.
        EXPECT_TRUE(expected.count(r.base) || r.name.find("smb") != std::string::npos)
            << r.name << " at " << std::hex << r.base;
    }
    EXPECT_EQ(trouble, "");
}

TEST_F(PcTest, interrupt_controllers_are_memory_mapped) {
    ASSERT_NE(range(pc->mmio, 0xfec00000), nullptr);
    ASSERT_NE(range(pc->mmio, 0xfee00000), nullptr);
    EXPECT_EQ(range(pc->mmio, 0xfee00000)->length, 4096u);
    EXPECT_EQ(pc->memory.read(PhysAddr{0xfee00030}, 4) & 0xff, 0x14u);  // APIC version
}

TEST_F(PcTest, unclaimed_ports_and_addresses_read_all_ones) {
    EXPECT_EQ(in(0x300), 0xffu);
    EXPECT_EQ(in(0x1f0, 2), 0xffffu);
    EXPECT_EQ(in(0x5000, 4), 0xffffffffu);
    EXPECT_EQ(pc->memory.read(PhysAddr{0xd0000000}, 4), 0xffffffffu);
    EXPECT_EQ(pc->memory.read(PhysAddr{0xa0000}, 4), 0xffffffffu);
    out(0x300, 1);  // swallowed
}

TEST_F(PcTest, cpu_is_as_after_reset) {
    EXPECT_EQ(pc->state.eip, 0xfff0u);
    EXPECT_EQ(pc->state.cr0, 0x60000010u);
    EXPECT_EQ(pc->state.eflags, 2u);
    EXPECT_EQ(pc->state.segment(Seg::cs).base, 0xffff0000u);
    EXPECT_EQ(pc->state.requests.load(), 0u);
}

TEST_F(PcTest, serial_ports_send_where_they_should) {
    out(0x3fb, 3);  // 8 bits a character
    out(0x2fb, 3);
    out(0x3f8, 'a');
    out(0x2f8, 'b');
    EXPECT_EQ(sent[0], "a");
    EXPECT_EQ(sent[1], "b");
}

TEST_F(PcTest, acpi_port_powers_off) {
    out(0x604, 0x2000, 2);
    EXPECT_EQ(power_offs, 1);
    EXPECT_EQ(resets, 0);
}

TEST_F(PcTest, jump_to_the_reset_vector_resets) {
    state_at_reset_vector();
    for (int i = 0; i < 10 && resets == 0; i++) {
        (void)pc->engine->run(1);
    }
    EXPECT_EQ(resets, 1);
}

TEST_F(PcTest, three_ways_to_reset) {
    out(0xcf9, 0x06);
    EXPECT_EQ(resets, 1);
    out(0x64, 0xfe);
    EXPECT_EQ(resets, 2);
    out(0x92, 0x01);
    EXPECT_EQ(resets, 3);
    EXPECT_EQ(power_offs, 0);
    EXPECT_EQ(panics, 0);
}

TEST_F(PcTest, pci_bus_has_the_bridges_and_three_virtio_devices) {
    EXPECT_EQ(pci(0, 0, 0), 0x12378086u);  // 82441FX
    EXPECT_EQ(pci(1, 0, 0) & 0xffff, 0x8086u);
    EXPECT_EQ(pci(1, 3, 0), 0x71138086u);  // PIIX4 power management
    EXPECT_EQ(pci(2, 0, 0), 0x10491af4u);  // 0x1040 + 9: 9P
    EXPECT_EQ(pci(3, 0, 0), 0x10431af4u);  // console
    EXPECT_EQ(pci(4, 0, 0), 0x10441af4u);  // entropy
    for (unsigned slot = 5; slot < 32; slot++) {
        EXPECT_EQ(pci(slot, 0, 0), 0xffffffffu) << slot;
    }
}

TEST_F(PcTest, pci_functions_are_placed_as_by_firmware) {
    u64 last = 0xfe000000;
    for (unsigned slot : {2u, 3u, 4u}) {
        EXPECT_EQ(pci(slot, 0, 4, 2) & 6u, 6u) << slot;  // memory space, bus master
        unsigned placed = 0;
        for (unsigned bar = 0x10; bar < 0x28; bar += 4) {
            const u32 at = pci(slot, 0, bar) & ~0xfu;
            if (at != 0) {
                ++placed;
                EXPECT_GE(at, last);
                EXPECT_LT(at, 0xfec00000u);
                EXPECT_NE(range(pc->mmio, at), nullptr) << std::hex << at;
                last = at + range(pc->mmio, at)->length;
            }
        }
        EXPECT_GE(placed, 1u) << slot;
    }
}

class PcWithDisks : public PcTest {
  protected:
    static PcWiring::Disk disk(unsigned number) {
        return {.number = number,
                .config = {.sectors = 8, .serial = ""},
                .submit = [](BlockRequest) {}};
    }
    PcWithDisks() : PcTest({}, {disk(0), disk(3)}) {}
};

TEST_F(PcWithDisks, each_has_a_slot_and_is_placed_as_by_firmware) {
    EXPECT_EQ(pci(5, 0, 0), 0x10421af4u);
    EXPECT_EQ(pci(6, 0, 0), 0xffffffffu);
    EXPECT_EQ(pci(7, 0, 0), 0xffffffffu);
    EXPECT_EQ(pci(8, 0, 0), 0x10421af4u);
    for (unsigned slot : {5u, 8u}) {
        EXPECT_EQ(pci(slot, 0, 4, 2) & 6u, 6u) << slot;
        unsigned placed = 0;
        for (unsigned bar = 0x10; bar < 0x28; bar += 4) {
            const u32 at = pci(slot, 0, bar) & ~0xfu;
            placed += at != 0 && range(pc->mmio, at) != nullptr ? 1 : 0;
        }
        EXPECT_GE(placed, 1u) << slot;
    }
    EXPECT_EQ(pci(5, 0, 0x3c, 1), 10u);
    EXPECT_EQ(pci(8, 0, 0x3c, 1), 11u);
}

TEST_F(PcTest, pci_interrupt_lines_agree_with_the_router) {
    for (unsigned slot : {2u, 3u, 4u}) {
        const unsigned pin = pci(slot, 0, 0x3d, 1);
        ASSERT_EQ(pin, 1u);
        const unsigned pirq = PciHost::pirq_of(slot, 0);
        EXPECT_EQ(pci(slot, 0, 0x3c, 1), pci(1, 0, 0x60 + pirq, 1)) << slot;
    }
    EXPECT_EQ(pci(2, 0, 0x3c, 1), 10u);
    EXPECT_EQ(pci(3, 0, 0x3c, 1), 11u);
    EXPECT_EQ(pci(4, 0, 0x3c, 1), 11u);
}

TEST_F(PcTest, shared_interrupts_are_level_triggered) {
    EXPECT_EQ(in(0x4d0), 0u);
    EXPECT_EQ(in(0x4d1), 0x0eu);  // 9, 10, 11
}

TEST_F(PcTest, interrupts_have_a_pcs_vectors_and_are_masked) {
    EXPECT_EQ(in(0x21), 0xfbu);
    EXPECT_EQ(in(0xa1), 0xffu);
    out(0x21, 0xfe);
    pc->irqs.set_irq(0, true);
    EXPECT_EQ(pc->pic.acknowledge(), 0x08);
}

TEST_F(PcTest, bios_data_area_tells_of_serial_ports_and_memory) {
    const auto word = [this](u32 at) { return ram->base()[at] | ram->base()[at + 1] << 8; };
    EXPECT_EQ(word(0x400), 0x3f8);
    EXPECT_EQ(word(0x402), 0x2f8);
    EXPECT_EQ(word(0x40e), 0x9fc0);
    EXPECT_EQ(word(0x413), 639);
}

// As programs from before the PC/AT count on, and as those after it test for.
TEST_F(PcTest, a20_gate_folds_odd_megabytes_onto_even_ones) {
    ram->base()[0] = 0x11;
    ram->base()[0x100000] = 0x22;
    pc->state.segment(Seg::ds).base = 0xffff0;
    pc->cpu.mode_changed();
    const auto high = [this] {
        u8 value = 0;
        EXPECT_TRUE(pc->cpu.load(Seg::ds, 0x10, value));
        return value;
    };
    EXPECT_EQ(high(), 0x22);
    out(0x92, in(0x92) & ~2u);
    EXPECT_EQ(high(), 0x11);
    EXPECT_TRUE(pc->cpu.store<u8>(Seg::ds, 0x10, 0x33));
    EXPECT_EQ(ram->base()[0], 0x33);
    EXPECT_EQ(ram->base()[0x100000], 0x22);
    EXPECT_EQ(pc->memory.read(PhysAddr{0x300000}, 4), pc->memory.read(PhysAddr{0x200000}, 4));
    out(0x64, 0xd1);  // the keyboard controller's output port
    out(0x60, 0xdf);
    EXPECT_EQ(high(), 0x22);
    out(0x64, 0xdd);
    EXPECT_EQ(high(), 0x33);
    EXPECT_EQ(resets, 0);
}

TEST_F(PcTest, acpi_tables_lie_in_rom) {
    EXPECT_EQ(std::memcmp(ram->base() + 0xe0000, "RSD PTR ", 8), 0);
    pc->memory.write(PhysAddr{0xe0000}, 1, 'X');
    EXPECT_EQ(ram->base()[0xe0000], 'R');
}

TEST_F(PcTest, cmos_tells_the_memory_size) {
    const auto cmos = [this](u8 index) {
        out(0x70, index);
        return in(0x71);
    };
    const u32 above_16m = cmos(0x34) | cmos(0x35) << 8;  // in 64 KiB
    EXPECT_EQ(above_16m * 0x10000, (64u - 16u) << 20);
}

TEST_F(PcTest, pit_raises_irq_0_and_the_cpu_is_asked) {
    for (const auto& [port, value] :
         {std::pair{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xfe}}) {
        out(static_cast<u64>(port), static_cast<u32>(value));
    }
    out(0x43, 0x34);  // channel 0, rate generator
    out(0x40, 0xa9);
    out(0x40, 0x04);  // 1193: about a millisecond
    ASSERT_NE(pc->timers.next_deadline_ns(), TimerQueue::kNever);
    clock.advance_ns(2'000'000);
    pc->timers.run_due();
    EXPECT_TRUE(pc->state.requests.load() & kRequestInterrupt);
}

TEST_F(PcTest, apic_moves_with_its_msr) {
    ASSERT_NE(range(pc->mmio, 0xfee00000), nullptr);
    ASSERT_TRUE(pc->apic.write_base_msr(0xfed00900));
    EXPECT_EQ(range(pc->mmio, 0xfee00000), nullptr);
    EXPECT_NE(range(pc->mmio, 0xfed00000), nullptr);
}

TEST_F(PcTest, apic_moved_onto_another_device_is_told) {
    (void)pc->apic.write_base_msr(0xfec00900);
    EXPECT_NE(trouble.find("range_overlap"), std::string::npos);
    EXPECT_NE(range(pc->mmio, 0xfec00000), nullptr);  // still the I/O APIC
    (void)pc->apic.write_base_msr(0xfee00900);
    EXPECT_NE(range(pc->mmio, 0xfee00000), nullptr);
}

// 192 KiB, each byte telling its 4 KiB page, so that the last 128 KiB begin with 16.
std::vector<u8> numbered_rom() {
    std::vector<u8> rom(192 * 1024);
    for (std::size_t i = 0; i < rom.size(); i++) {
        rom[i] = static_cast<u8>(i / 4096);
    }
    return rom;
}

class PcWithBios : public PcTest {
  protected:
    explicit PcWithBios(std::vector<u8> rom = numbered_rom()) : PcTest(std::move(rom)) {}

    u32 read(u64 at, unsigned size = 1) {
        return static_cast<u32>(pc->memory.read(PhysAddr{at}, size));
    }
    void write(u64 at, u32 value) { pc->memory.write(PhysAddr{at}, 1, value); }
    void pam(unsigned index, u8 value) {
        out(0xcf8, 0x80000000 | ((0x59 + index) & ~3u), 4);
        out(0xcfc + ((0x59 + index) & 3), value);
    }
};

TEST_F(PcWithBios, rom_ends_at_4_gib_and_its_last_128_kib_at_1_mib) {
    EXPECT_EQ(read(0xfffd0000), 0u);
    EXPECT_EQ(read(0xffffffff), 47u);
    EXPECT_EQ(read(0xfffcffff), 0xffu);  // nothing there
    EXPECT_EQ(read(0xe0000), 16u);
    EXPECT_EQ(read(0xffffc, 4), 0x2f2f2f2fu);
    EXPECT_EQ(read(0xdffff), 0xffu);
    write(0xf0000, 0x55);
    write(0xffff0000, 0x55);
    EXPECT_EQ(read(0xf0000), 32u);
    EXPECT_EQ(read(0xffff0000), 32u);
    EXPECT_EQ(ram->base()[0xf0000], 0);
}

TEST_F(PcWithBios, firmware_has_everything_still_to_do) {
    EXPECT_EQ(pc->state.eip, 0xfff0u);
    EXPECT_EQ(range(pc->ports, 0x600), nullptr);
    EXPECT_EQ(in(0x4d1), 0u);
    for (unsigned slot : {2u, 3u, 4u}) {
        EXPECT_EQ(pci(slot, 0, 4, 2) & 7u, 0u);
        EXPECT_EQ(pci(slot, 0, 0x10) & ~0xfu, 0u);
    }
    EXPECT_EQ(pci(1, 0, 0x60, 1), 0x80u);
    // By these SeaBIOS knows whose PC it is on.
    EXPECT_EQ(pci(0, 0, 0x2c), 0x11001af4u);
    EXPECT_EQ(trouble, "");
}

// 440FX data sheet, PAM: bit 0 of a nibble leads reads to DRAM, bit 1 writes.
TEST_F(PcWithBios, shadow_ram_is_switched_piece_by_piece) {
    pam(0, 0x20);  // 0xf0000: writes to DRAM, reads still from the ROM
    write(0xf0123, 0x77);
    EXPECT_EQ(read(0xf0123), 32u);
    pam(0, 0x30);
    EXPECT_EQ(read(0xf0123), 0x77u);
    EXPECT_EQ(read(0xf0124), 0u);
    pam(0, 0x10);
    write(0xf0123, 0x88);
    EXPECT_EQ(read(0xf0123), 0x77u);
    pam(0, 0x00);
    EXPECT_EQ(read(0xf0123), 32u);
    EXPECT_EQ(read(0xe8000), 24u);
    pam(6, 0x03);  // 0xe8000…0xebfff, and not its neighbours
    EXPECT_EQ(read(0xe8000), 0u);
    EXPECT_EQ(read(0xebfff), 0u);
    EXPECT_EQ(read(0xe7fff), 23u);
    EXPECT_EQ(read(0xec000), 28u);
    pam(1, 0x33);  // 0xc0000…0xc7fff: RAM for option ROMs
    write(0xc7fff, 1);
    EXPECT_EQ(read(0xc7fff), 1u);
    EXPECT_EQ(read(0xc8000), 0xffu);
}

TEST_F(PcWithBios, rom_of_64_kib_is_seen_once_below_1_mib) {
    bios.assign(64 * 1024, 0x42);
    pc = nullptr;
    Pc small(PcWiring{.ram = *ram,
                      .clock = clock,
                      .log = {},
                      .mount_tag = "ennead",
                      .bios = bios,
                      .debug_line = {},
                      .p9 = {.submit = [](P9Request) {}, .reset = [] {}},
                      .com_transmit = [](unsigned, u8) {},
                      .console_transmit = [](std::span<const u8>) {},
                      .wall_clock = [] { return i64{0}; },
                      .power_off = [] {},
                      .panicked = [] {},
                      .reset = [] {}});
    ASSERT_TRUE(small.connect());
    EXPECT_EQ(small.memory.read(PhysAddr{0xf0000}, 1), 0x42u);
    EXPECT_EQ(small.memory.read(PhysAddr{0xeffff}, 1), 0xffu);
    EXPECT_EQ(small.memory.read(PhysAddr{0xffff0000}, 1), 0x42u);
}

}  // namespace
}  // namespace ennead::vmcore
