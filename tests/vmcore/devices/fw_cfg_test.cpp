// SPDX-License-Identifier: MIT
// The firmware configuration device: items, directory, DMA, and guests that misuse it.
#include "vmcore/devices/fw_cfg.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/vmcore/devices/hostile.h"

namespace ennead::vmcore {
namespace {

class FwCfgTest : public testing::Test {
  protected:
    void select(u16 key) { fw.ports().write(0, 2, key); }
    std::string take(std::size_t n) {
        std::string out;
        for (std::size_t i = 0; i < n; i++) {
            out.push_back(static_cast<char>(fw.ports().read(1, 1)));
        }
        return out;
    }
    u32 take_be32() {
        u32 v = 0;
        for (const char c : take(4)) {
            v = v << 8 | static_cast<u8>(c);
        }
        return v;
    }
    void put_be(u64 address, u64 value, unsigned size) {
        for (unsigned i = 0; i < size; i++) {
            ram->base()[address + i] = static_cast<u8>(value >> (8 * (size - 1 - i)));
        }
    }
    // Runs a descriptor at 0x1000; its control field afterwards.
    u32 dma(u32 control, u32 length, u64 address) {
        put_be(0x1000, control, 4);
        put_be(0x1004, length, 4);
        put_be(0x1008, address, 8);
        fw.dma_ports().write(0, 4, 0);
        fw.dma_ports().write(4, 4, __builtin_bswap32(0x1000));
        const u8* d = ram->base() + 0x1000;
        return u32{d[0]} << 24 | u32{d[1]} << 16 | u32{d[2]} << 8 | d[3];
    }
    std::string memory(u64 at, std::size_t n) {
        return {reinterpret_cast<const char*>(ram->base()) + at, n};
    }
    static std::vector<u8> bytes(const std::string& s) { return {s.begin(), s.end()}; }

    std::unique_ptr<GuestRam> ram = GuestRam::create(1 << 20).value();
    FwCfg fw{*ram};
};

TEST_F(FwCfgTest, signature_and_features) {
    select(0);
    EXPECT_EQ(take(5), std::string("QEMU\0", 5));
    select(1);
    EXPECT_EQ(take(4), std::string("\3\0\0\0", 4));
}

TEST_F(FwCfgTest, numbers_are_little_endian) {
    ASSERT_TRUE(fw.add16(FwCfg::kCpuCount, 0x0102));
    ASSERT_TRUE(fw.add32(FwCfg::kKernelSize, 0x01020304));
    select(FwCfg::kCpuCount);
    EXPECT_EQ(take(2), "\2\1");
    select(FwCfg::kKernelSize);
    EXPECT_EQ(take(4), "\4\3\2\1");
}

TEST_F(FwCfgTest, directory_lists_the_files_in_big_endian) {
    ASSERT_TRUE(fw.add_file("etc/one", bytes("hello")));
    ASSERT_TRUE(fw.add_file("etc/two", bytes("worldly")));
    select(FwCfg::kFileDirectory);
    EXPECT_EQ(take_be32(), 2u);
    EXPECT_EQ(take_be32(), 5u);
    const u32 first = take_be32() >> 16;
    EXPECT_STREQ(take(56).c_str(), "etc/one");
    EXPECT_EQ(take_be32(), 7u);
    const u32 second = take_be32() >> 16;
    EXPECT_STREQ(take(56).c_str(), "etc/two");
    EXPECT_GE(first, 0x20u);
    EXPECT_NE(first, second);
    select(static_cast<u16>(second));
    EXPECT_EQ(take(7), "worldly");
}

TEST_F(FwCfgTest, reads_zeros_past_the_end_and_for_unknown_keys) {
    ASSERT_TRUE(fw.add_file("a", bytes("x")));
    select(0x20);
    EXPECT_EQ(take(3), std::string("x\0\0", 3));
    select(0x1234);
    EXPECT_EQ(take(2), std::string("\0\0", 2));
}

TEST_F(FwCfgTest, refuses_bad_names_and_reserved_keys) {
    EXPECT_EQ(fw.add_file("", {}).error(), Error::bad_value);
    EXPECT_EQ(fw.add_file(std::string(56, 'n'), {}).error(), Error::bad_value);
    EXPECT_TRUE(fw.add_file(std::string(55, 'n'), {}));
    EXPECT_EQ(fw.add_file(std::string(55, 'n'), {}).error(), Error::range_overlap);
    EXPECT_EQ(fw.add(FwCfg::kSignature, {}).error(), Error::bad_value);
    EXPECT_EQ(fw.add(0x20, {}).error(), Error::bad_value);
    EXPECT_TRUE(fw.add(0x8003, {1}));  // for this architecture alone
    select(0x8003);
    EXPECT_EQ(take(1), "\1");
}

TEST_F(FwCfgTest, dma_register_shows_its_signature) {
    EXPECT_EQ(fw.dma_ports().read(0, 4), 0x554d4551u);  // "QEMU"
    EXPECT_EQ(fw.dma_ports().read(4, 4), 0x47464320u);  // " CFG"
    EXPECT_EQ(fw.dma_ports().read(7, 1), u32{'G'});
}

TEST_F(FwCfgTest, dma_selects_skips_and_reads) {
    ASSERT_TRUE(fw.add_file("f", bytes("0123456789")));
    EXPECT_EQ(dma(0x0020'000a, 4, 0x2000), 0u);  // select and read
    EXPECT_EQ(memory(0x2000, 4), "0123");
    EXPECT_EQ(dma(0x04, 3, 0), 0u);
    std::memset(ram->base() + 0x2000, 'x', 8);
    EXPECT_EQ(dma(0x02, 5, 0x2000), 0u);
    EXPECT_EQ(memory(0x2000, 6), std::string("789\0\0x", 6));
}

TEST_F(FwCfgTest, dma_outside_of_ram_gives_the_error_bit) {
    ASSERT_TRUE(fw.add_file("f", bytes("0123456789")));
    EXPECT_EQ(dma(0x0020'000a, 4, (1 << 20) - 3), 1u);
    EXPECT_EQ(dma(0x0020'000a, 4, 0xffff'ffff'ffff'fffe), 1u);
    EXPECT_EQ(dma(0x0020'000a, 0xffff'ffff, 0), 1u);
    EXPECT_EQ(dma(0x0020'000a, 0, 1 << 20), 0u);
    // A descriptor outside of RAM is ignored.
    fw.dma_ports().write(0, 4, 0xffff'ffff);
    fw.dma_ports().write(4, 4, 0xffff'ffff);
    fw.dma_ports().write(0, 4, 0);
    fw.dma_ports().write(4, 4, __builtin_bswap32((1 << 20) - 8));
}

TEST_F(FwCfgTest, dma_writes_only_what_is_writable) {
    std::string written;
    ASSERT_TRUE(fw.add_file("ro", bytes("abcd")));
    ASSERT_TRUE(fw.add_file("rw", bytes("abcd"),
                            [&](std::span<const u8> b) { written.assign(b.begin(), b.end()); }));
    std::memcpy(ram->base() + 0x2000, "XYZW", 4);
    EXPECT_EQ(dma(0x0020'0018, 2, 0x2000), 1u);
    EXPECT_EQ(dma(0x0021'0018, 2, 0x2000), 0u);
    EXPECT_EQ(written, "XYcd");
    EXPECT_EQ(dma(0x10, 3, 0x2000), 1u);  // past the end
    EXPECT_EQ(dma(0x10, 2, 0x2000), 0u);
    EXPECT_EQ(written, "XYXY");
    EXPECT_EQ(dma(0x0fff'0018, 2, 0x2000), 1u);
}

TEST_F(FwCfgTest, selector_takes_only_words) {
    ASSERT_TRUE(fw.add_file("f", bytes("ab")));
    select(0x20);
    fw.ports().write(0, 1, 0x00);
    fw.ports().write(1, 1, 0x00);
    EXPECT_EQ(take(1), "a");
}

TEST_F(FwCfgTest, survives_random_accesses) {
    ManualClock clock;
    TimerQueue timers(clock);
    ASSERT_TRUE(fw.add_file("f", bytes("0123456789")));
    for (u32 round = 0; round < 50; round++) {
        hostile_accesses(fw.ports(), 2, 2, round, clock, timers, 200);
        hostile_accesses(fw.dma_ports(), 8, 4, round, clock, timers, 200);
    }
    std::mt19937 random(510);
    for (int i = 0; i < 5000; i++) {
        dma(static_cast<u32>(random()) & 0x003f'001f, random() % 2 != 0 ? random() % 64 : random(),
            random() % 2 != 0 ? random() % (1 << 21) : u64{random()} << 32);
    }
}

}  // namespace
}  // namespace ennead::vmcore
