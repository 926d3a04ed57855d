// SPDX-License-Identifier: MIT
// Keys and files: QEMU's specs/fw_cfg, and SeaBIOS's docs/Runtime_config.md.
#include "vmcore/machine/firmware.h"

#include <iterator>
#include <string_view>
#include <utility>

#include "vmcore/machine/acpi_tables.h"
#include "vmcore/machine/linux_image.h"

namespace ennead::vmcore {
namespace {

#include "gen/optionrom.hex"

std::vector<u8> number(u64 value, unsigned size) {
    std::vector<u8> bytes;
    for (unsigned i = 0; i < size; i++) {
        bytes.push_back(static_cast<u8>(value >> (8 * i)));
    }
    return bytes;
}

// One entry: address and size of 8 bytes, type of 4. SeaBIOS adds what it takes for itself.
std::vector<u8> memory_map(u64 memory_bytes) {
    constexpr u32 kRam = 1;
    std::vector<u8> map = number(0, 8);
    for (const auto& [value, size] : {std::pair{memory_bytes, 8u}, {u64{kRam}, 4u}}) {
        const auto field = number(value, size);
        map.insert(map.end(), field.begin(), field.end());
    }
    return map;
}

std::vector<u8> lines(const std::vector<std::string>& list) {
    std::vector<u8> text;
    for (const std::string& line : list) {
        if (!text.empty()) {
            text.push_back('\n');
        }
        text.insert(text.end(), line.begin(), line.end());
    }
    text.push_back(0);
    return text;
}

// The option ROM reads the image in its two parts, and fills in the header itself.
Result<> offer_kernel(FwCfg& fw_cfg, const FirmwareConfig& config) {
    const auto image = LinuxImage::parse(config.kernel);
    if (!image) {
        return Error::unknown_kernel;
    }
    if (config.command_line.size() > image->cmdline_size) {
        return Error::bad_value;
    }
    std::vector<u8> command_line(config.command_line.begin(), config.command_line.end());
    command_line.push_back(0);
    const auto setup = config.kernel.first(image->setup_bytes);
    const auto code = config.kernel.subspan(image->setup_bytes);
    const std::pair<u16, std::size_t> sizes[] = {
        {FwCfg::kSetupSize, setup.size()},
        {FwCfg::kKernelSize, code.size()},
        {FwCfg::kInitrdSize, config.initrd.size()},
        {FwCfg::kCommandLineSize, command_line.size()},
    };
    for (const auto& [key, size] : sizes) {
        if (auto added = fw_cfg.add32(key, static_cast<u32>(size)); !added) {
            return added;
        }
    }
    const std::pair<u16, std::span<const u8>> contents[] = {
        {FwCfg::kSetupData, setup},
        {FwCfg::kKernelData, code},
        {FwCfg::kInitrdData, config.initrd},
    };
    for (const auto& [key, bytes] : contents) {
        if (auto added = fw_cfg.add_view(key, bytes); !added) {
            return added;
        }
    }
    return fw_cfg.add(FwCfg::kCommandLineData, std::move(command_line));
}

}  // namespace

Result<> offer_to_firmware(FwCfg& fw_cfg, const FirmwareConfig& config) {
    constexpr u16 kCom1 = 0x3f8;
    if (auto added = offer_acpi_tables(fw_cfg, {}); !added) {
        return added;
    }
    std::vector<std::pair<std::string_view, std::vector<u8>>> files{
        {"etc/e820", memory_map(config.memory_bytes)},
        {"etc/sercon-port", number(kCom1, 2)},
    };
    if (!config.boot_order.empty()) {
        files.emplace_back("bootorder", lines(config.boot_order));
    }
    if (!config.kernel.empty()) {
        if (auto offered = offer_kernel(fw_cfg, config); !offered) {
            return offered;
        }
        files.emplace_back("genroms/ennead.bin",
                           std::vector<u8>(std::begin(optionrom), std::end(optionrom)));
    }
    for (auto& [name, bytes] : files) {
        if (auto added = fw_cfg.add_file(name, std::move(bytes)); !added) {
            return added;
        }
    }
    const u16 menu = config.menu == BootMenu::off ? 0 : config.menu == BootMenu::on ? 1 : 2;
    const std::pair<u16, u16> numbers[] = {
        {FwCfg::kCpuCount, 1}, {FwCfg::kMaxCpus, 1}, {FwCfg::kBootMenu, menu}};
    for (const auto& [key, value] : numbers) {
        if (auto added = fw_cfg.add16(key, value); !added) {
            return added;
        }
    }
    return success();
}

}  // namespace ennead::vmcore
