// SPDX-License-Identifier: MIT
// What a BIOS finds behind the firmware configuration device, and that the option ROM is one.
#include "vmcore/machine/firmware.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "tests/vmcore/machine/tiny_elf.h"
#include "tests/vmcore/machine/tiny_kernel.h"
#include "vmcore/machine/boot_program.h"

namespace ennead::vmcore {
namespace {

#include "gen/optionrom.hex"

class Firmware : public testing::Test {
  protected:
    std::vector<u8> read(u16 key, std::size_t size) {
        fw_cfg.ports().write(0, 2, key);
        std::vector<u8> bytes;
        while (bytes.size() < size) {
            bytes.push_back(static_cast<u8>(fw_cfg.ports().read(1, 1)));
        }
        return bytes;
    }
    u32 number(u16 key, unsigned size) {
        u32 value = 0;
        std::memcpy(&value, read(key, size).data(), size);
        return value;
    }
    static u32 big_endian(const std::vector<u8>& b, std::size_t at) {
        return u32{b[at]} << 24 | u32{b[at + 1]} << 16 | u32{b[at + 2]} << 8 | b[at + 3];
    }
    // Every file, by its name.
    std::map<std::string, std::vector<u8>> files() {
        std::map<std::string, std::vector<u8>> all;
        const u32 count = big_endian(read(FwCfg::kFileDirectory, 4), 0);
        const auto directory = read(FwCfg::kFileDirectory, 4 + 64 * count);
        for (u32 i = 0; i < count; i++) {
            const std::size_t at = 4 + 64 * i;
            const u16 key = static_cast<u16>(directory[at + 4] << 8 | directory[at + 5]);
            all[reinterpret_cast<const char*>(&directory[at + 8])] =
                read(key, big_endian(directory, at));
        }
        return all;
    }

    std::unique_ptr<GuestRam> ram = GuestRam::create(1 << 20).value();
    FwCfg fw_cfg{*ram};
};

TEST_F(Firmware, tells_of_memory_tables_and_the_serial_console) {
    ASSERT_TRUE(offer_to_firmware(fw_cfg, {.memory_bytes = 64 << 20, .boot_order = {"a", "b"}}));
    const auto all = files();
    EXPECT_EQ(all.at("etc/e820"),
              (std::vector<u8>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0}));
    EXPECT_EQ(all.at("etc/sercon-port"), (std::vector<u8>{0xf8, 3}));
    EXPECT_EQ(all.at("bootorder"), (std::vector<u8>{'a', '\n', 'b', 0}));
    EXPECT_TRUE(all.count("etc/table-loader"));
    EXPECT_TRUE(all.count("etc/acpi/tables"));
    EXPECT_TRUE(all.count("etc/acpi/rsdp"));
    EXPECT_FALSE(all.count("genroms/ennead.bin"));
    EXPECT_EQ(number(FwCfg::kCpuCount, 2), 1u);
    EXPECT_EQ(number(FwCfg::kMaxCpus, 2), 1u);
}

TEST_F(Firmware, boot_menu_is_a_number_to_seabios) {
    for (const auto& [menu, value] :
         {std::pair{BootMenu::off, 0u}, {BootMenu::on, 1u}, {BootMenu::choice, 2u}}) {
        FwCfg fresh(*ram);
        ASSERT_TRUE(offer_to_firmware(fresh, {.memory_bytes = 1 << 20, .menu = menu}));
        fresh.ports().write(0, 2, FwCfg::kBootMenu);
        EXPECT_EQ(fresh.ports().read(1, 1), value);
    }
}

TEST_F(Firmware, kernel_comes_in_its_two_parts_with_the_option_rom) {
    const auto kernel = test::TinyKernel{.code = {1, 2, 3, 4, 5}, .setup_sectors = 4}.image();
    const std::vector<u8> initrd{9, 8, 7};
    ASSERT_TRUE(offer_to_firmware(
        fw_cfg,
        {.memory_bytes = 1 << 20, .kernel = kernel, .initrd = initrd, .command_line = "quiet"}));
    EXPECT_EQ(number(FwCfg::kSetupSize, 4), 5u * 512);
    EXPECT_EQ(number(FwCfg::kKernelSize, 4), 5u);
    EXPECT_EQ(number(FwCfg::kInitrdSize, 4), 3u);
    EXPECT_EQ(number(FwCfg::kCommandLineSize, 4), 6u);
    EXPECT_EQ(read(FwCfg::kSetupData, 5 * 512),
              std::vector<u8>(kernel.begin(), kernel.begin() + 5 * 512));
    EXPECT_EQ(read(FwCfg::kKernelData, 5), (std::vector<u8>{1, 2, 3, 4, 5}));
    EXPECT_EQ(read(FwCfg::kInitrdData, 3), initrd);
    EXPECT_EQ(read(FwCfg::kCommandLineData, 6), (std::vector<u8>{'q', 'u', 'i', 'e', 't', 0}));
    EXPECT_EQ(files().at("genroms/ennead.bin").size(), sizeof optionrom);
}

TEST_F(Firmware, kernel_that_the_option_rom_cannot_boot_is_refused) {
    const std::vector<u8> no_kernel(4096, 0x90);
    EXPECT_EQ(offer_to_firmware(fw_cfg, {.memory_bytes = 1 << 20, .kernel = no_kernel}).error(),
              Error::unknown_kernel);
    const auto kernel = test::TinyKernel{.code = {1}}.image();
    FwCfg fresh(*ram);
    EXPECT_EQ(offer_to_firmware(fresh, {.memory_bytes = 1 << 20,
                                        .kernel = kernel,
                                        .command_line = std::string(256, 'a')})
                  .error(),
              Error::bad_value);
}

// What the option ROM does with a list: copies pieces of items to their places, with zeros behind.
class FirmwareProgram : public Firmware {
  protected:
    struct Piece {
        u32 key, offset, bytes, address, size;
    };
    // Reads the list and carries it out into `memory`; the header's words are kept.
    void load(const FirmwareConfig& config) {
        ASSERT_TRUE(offer_to_firmware(fw_cfg, config));
        const auto start = read(FwCfg::kSetupData, 44);
        std::memcpy(header.data(), start.data(), 44);
        const auto list = read(FwCfg::kSetupData, 44 + 20 * header[10]);
        for (u32 i = 0; i < header[10]; i++) {
            Piece p;
            std::memcpy(&p, &list[44 + 20 * i], sizeof p);
            ASSERT_LE(p.bytes, p.size);
            ASSERT_GE(p.address, Program::kFirstBehindBios);
            ASSERT_LE(p.address + p.size, memory.size());
            const auto item = read(static_cast<u16>(p.key), p.offset + p.bytes);
            std::copy_n(item.begin() + p.offset, p.bytes, memory.begin() + p.address);
            std::fill_n(memory.begin() + p.address + p.bytes, p.size - p.bytes, u8{0});
        }
    }
    [[nodiscard]] u32 word(u32 at) const {
        u32 value;
        std::memcpy(&value, &memory[at], sizeof value);
        return value;
    }
    [[nodiscard]] std::string text(u32 at) const {
        return reinterpret_cast<const char*>(&memory[at]);
    }

    static constexpr u32 kMiB = 1 << 20;
    std::vector<u8> memory = std::vector<u8>(4 * kMiB, 0xff);
    std::array<u32, 11> header{};
    // One after the other at multiples of four.
    const std::vector<u8> joined{1, 2, 3, 4, 5, 0, 0, 0, 6, 7};
    const std::vector<BootModule> modules{{std::span(joined).first(5), "one"},
                                          {std::span(joined).subspan(8), "two"}};
};

TEST_F(FirmwareProgram, multiboot_kernel_comes_with_its_modules_and_room_for_the_map) {
    const auto kernel =
        test::TinyElf{.segments = {{kMiB, kMiB, test::multiboot_header(3), 0x1800}}, .entry = kMiB}
            .image();
    load({.memory_bytes = 4 * kMiB,
          .kernel = kernel,
          .initrd = joined,
          .initrds = modules,
          .command_line = "a b"});
    EXPECT_EQ(number(FwCfg::kKernelEntry, 4), kMiB);
    EXPECT_EQ(header[0], 1u);
    EXPECT_EQ(header[1], kMiB);
    EXPECT_EQ(header[2], 0x2badb002u);
    const u32 info = header[3];
    EXPECT_EQ(header[7], info);
    EXPECT_EQ(word(kMiB), 0x1badb002u);
    EXPECT_EQ(word(kMiB + 0x17fc), 0u);
    EXPECT_EQ(word(kMiB + 0x1800), 0xffffffffu);
    EXPECT_EQ(text(word(info + 16)), "a b");
    EXPECT_EQ(word(info + 48), header[8]);
    EXPECT_EQ(header[9], 64u);
    ASSERT_EQ(word(info + 20), 2u);
    const u32 list = word(info + 24);
    EXPECT_GE(list, header[8] + 64 * 24);
    EXPECT_EQ(text(word(list + 8)), "one");
    EXPECT_EQ(word(list + 4) - word(list), 5u);
    EXPECT_EQ(word(word(list)), 0x04030201u);
    EXPECT_EQ(text(word(list + 24)), "two");
    EXPECT_EQ(word(list + 20) - word(list + 16), 2u);
    EXPECT_EQ(memory[word(list + 16) + 1], 7);
    EXPECT_EQ(word(header[6] + 20), 0x00cf9b00u);  // the code segment's upper half
}

TEST_F(FirmwareProgram, elf_kernel_comes_with_a_zero_page_and_its_initrds_behind_it) {
    const auto kernel = test::TinyElf{.segments = {{kMiB, kMiB, {0xf4}, 5000}}}.image();
    load({.memory_bytes = 4 * kMiB,
          .kernel = kernel,
          .initrd = joined,
          .initrds = modules,
          .command_line = "quiet"});
    EXPECT_EQ(header[0], 2u);
    const u32 page = header[4];
    EXPECT_EQ(header[8], page + 0x2d0);
    EXPECT_EQ(std::memcmp(&memory[page + 0x202], "HdrS", 4), 0);
    EXPECT_EQ(text(word(page + 0x228)), "quiet");
    EXPECT_EQ(word(page + 0x218), kMiB + 0x2000);
    EXPECT_EQ(word(page + 0x21c), 10u);
    EXPECT_TRUE(std::equal(joined.begin(), joined.end(), &memory[kMiB + 0x2000]));
}

TEST_F(FirmwareProgram, what_would_lie_on_the_bios_or_outside_is_refused) {
    const auto error = [this](const test::TinyElf& elf) {
        FwCfg fresh(*ram);
        const auto kernel = elf.image();
        return offer_to_firmware(fresh, {.memory_bytes = 4 * kMiB, .kernel = kernel}).error();
    };
    EXPECT_EQ(error({.segments = {{0xf000, 0xf000, {0xf4}}}, .entry = 0xf000}),
              Error::image_too_large);
    EXPECT_EQ(error({.segments = {{4 * kMiB, 4 * kMiB, {0xf4}}}, .entry = 4 * kMiB}),
              Error::image_too_large);
    EXPECT_EQ(error({.segments = std::vector<test::TinyElf::Segment>(300, {kMiB, kMiB, {0xf4}})}),
              Error::unknown_kernel);
}

// Plug and Play BIOS Specification 1.0A, §3.
TEST(OptionRom, has_its_headers_and_checksums) {
    const std::span<const u8> rom(optionrom);
    ASSERT_EQ(rom.size() % 512, 0u);
    EXPECT_EQ(rom[0], 0x55);
    EXPECT_EQ(rom[1], 0xaa);
    EXPECT_EQ(rom[2] * 512u, rom.size());
    EXPECT_EQ(std::accumulate(rom.begin(), rom.end(), 0) % 256, 0);
    const unsigned at = rom[0x1a] | rom[0x1b] << 8;
    const auto header = rom.subspan(at, 32);
    EXPECT_EQ(std::memcmp(header.data(), "$PnP", 4), 0);
    EXPECT_EQ(header[5] * 16, 32);
    EXPECT_EQ(std::accumulate(header.begin(), header.end(), 0) % 256, 0);
    const unsigned boot = header[0x1a] | header[0x1b] << 8;
    EXPECT_GT(boot, at);
    EXPECT_LT(boot, rom.size());
}

}  // namespace
}  // namespace ennead::vmcore
