// SPDX-License-Identifier: MIT
// What a BIOS finds behind the firmware configuration device, and that the option ROM is one.
#include "vmcore/machine/firmware.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "tests/vmcore/machine/tiny_kernel.h"

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
