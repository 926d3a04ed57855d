// SPDX-License-Identifier: MIT
// Memory by linear address: across pages, and where there is none.
#include "vmcore/machine/linear_memory.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/vmcore/machine/test_machine.h"
#include "vmcore/machine/memory_map.h"
#include "vmcore/machine/registers.h"

namespace ennead::vmcore {
namespace {

constexpr u32 kDirectory = 0x200000, kTable = 0x201000;
constexpr u32 kPresent = 1, kWritable = 2;

// Linear 0x400000… : two pages that lie apart, in the wrong order; a hole; a page that the guest
// may not write; the local APIC.
class LinearMemory : public testing::Test {
  protected:
    void SetUp() override {
        put(kDirectory + 4, kTable | kPresent | kWritable);
        put(kTable, 0x305000 | kPresent | kWritable);
        put(kTable + 4, 0x302000 | kPresent | kWritable);
        put(kTable + 12, 0x306000 | kPresent);
        put(kTable + 16, 0xfee00000 | kPresent | kWritable);
        std::iota(at(0x305000), at(0x306000), u8{1});
        std::iota(at(0x302000), at(0x303000), u8{101});
    }
    void page() { ASSERT_TRUE(set_registers(cpu, {{"cr3", kDirectory}, {"cr0", 0x80000011}})); }
    void put(u32 address, u32 value) { std::memcpy(at(address), &value, sizeof value); }
    u8* at(u32 address) { return machine->ram().base() + address; }
    // The bytes read, or none.
    std::vector<u8> read(u64 address, std::size_t size) {
        std::vector<u8> bytes(size);
        const auto n = read_linear(cpu.mmu, address, bytes);
        if (!n) {
            EXPECT_EQ(n.error(), Error::unmapped_address);
        }
        bytes.resize(n ? n.value() : 0);
        return bytes;
    }
    bool write(u64 address, const std::vector<u8>& bytes) {
        return static_cast<bool>(write_linear(cpu.mmu, address, bytes));
    }
    using Bytes = std::vector<u8>;

    test::Told told;
    std::unique_ptr<Machine> machine = test::make_machine(told, test::code::kHello);
    Cpu& cpu = machine->cpu();
};

TEST_F(LinearMemory, without_paging_it_is_physical) {
    EXPECT_EQ(read(0x305000, 3), Bytes({1, 2, 3}));
    EXPECT_TRUE(write(0x305001, {9}));
    EXPECT_EQ(read(0x305000, 3), Bytes({1, 9, 3}));
    EXPECT_EQ(read((4u << 20) - 2, 8).size(), 2u);  // RAM ends
    EXPECT_EQ(read(4u << 20, 8), Bytes());
}

TEST_F(LinearMemory, follows_the_page_tables_over_a_pages_end) {
    page();
    EXPECT_EQ(read(0x400ffe, 4), Bytes({255, 0, 101, 102}));
    EXPECT_TRUE(write(0x400fff, {7, 8}));
    EXPECT_EQ(*at(0x305fff), 7);
    EXPECT_EQ(*at(0x302000), 8);
    u32 entry = 0;
    std::memcpy(&entry, at(kTable), sizeof entry);
    EXPECT_EQ(entry, 0x305000 | kPresent | kWritable) << "an accessed or dirty bit was set";
}

TEST_F(LinearMemory, a_hole_ends_a_read_and_refuses_a_write_whole) {
    page();
    EXPECT_EQ(read(0x401ffe, 100).size(), 2u);
    EXPECT_EQ(read(0x402000, 1), Bytes());
    EXPECT_EQ(read(0x7fffffff, 1), Bytes());
    EXPECT_FALSE(write(0x401fff, {1, 2}));
    EXPECT_EQ(*at(0x302fff), static_cast<u8>(101 + 0xfff));
    EXPECT_TRUE(write(0x401fff, {1}));
}

TEST_F(LinearMemory, rights_do_not_matter_and_devices_are_left_alone) {
    page();
    EXPECT_TRUE(write(0x403000, {5}));
    EXPECT_EQ(*at(0x306000), 5);
    EXPECT_EQ(read(0x404000, 4), Bytes());
    EXPECT_FALSE(write(0x404020, {1}));
}

TEST_F(LinearMemory, ends_at_4_gib) {
    put(kDirectory + 4092, kTable | kPresent | kWritable);
    put(kTable + 4092, 0x305000 | kPresent | kWritable);
    page();
    EXPECT_EQ(read(0xfffffffe, 4).size(), 2u);
    EXPECT_EQ(read(u64{1} << 32, 4), Bytes());
    EXPECT_FALSE(write(0xffffffff, {1, 2}));
    EXPECT_EQ(*at(0x305fff), 0);
    EXPECT_EQ(read(0x400000, 0), Bytes());
}

// Ranges in order and apart, RAM from 0 to its end but for the window, the chips where the manual
// has them.
TEST_F(LinearMemory, map_lists_ram_and_devices) {
    std::string text;
    u64 next = 0;
    for (const MemoryRegion& r : memory_map(machine->memory())) {
        EXPECT_GE(r.first, next);
        EXPECT_GE(r.last, r.first);
        next = r.last + 1;
        char line[160];
        std::snprintf(
            line, sizeof line, "%llx-%llx %d %s\n", static_cast<unsigned long long>(r.first),
            static_cast<unsigned long long>(r.last), static_cast<int>(r.kind), r.name.c_str());
        text += line;
    }
    EXPECT_EQ(text.find("0-9ffff 0 ram\n"), 0u) << text;
    EXPECT_NE(text.find("-3fffff 0 ram\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\nfec00000-fec00fff 2 ioapic\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\nfee00000-fee00fff 2 apic\n"), std::string::npos) << text;
}

TEST_F(LinearMemory, map_shows_a_device_only_where_ram_is_not_in_front) {
    class Nothing final : public Device {
        u32 read(u64, unsigned) override { return 0; }
        void write(u64, unsigned, u32) override {}
    } nothing;
    Bus& bus = machine->memory().mmio();
    ASSERT_TRUE(bus.add(0x9f000, 0x22000, 4, nothing, "straddling"));
    ASSERT_TRUE(bus.add(0x3ff000, 0x2000, 4, nothing, "behind"));
    std::string text;
    for (const MemoryRegion& r : memory_map(machine->memory())) {
        if (r.kind == MemoryRegion::Kind::device && r.first < 0x10000000) {
            text += std::to_string(r.first) + '-' + std::to_string(r.last) + ' ' + r.name + '\n';
        }
    }
    bus.remove(0x9f000);
    bus.remove(0x3ff000);
    EXPECT_EQ(text, "655360-786431 straddling\n4194304-4198399 behind\n");
}

}  // namespace
}  // namespace ennead::vmcore
