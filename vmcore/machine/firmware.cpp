// SPDX-License-Identifier: MIT
// Keys and files: QEMU's specs/fw_cfg, and SeaBIOS's docs/Runtime_config.md.
#include "vmcore/machine/firmware.h"

#include <iterator>
#include <string_view>
#include <utility>

#include "vmcore/machine/acpi_tables.h"
#include "vmcore/machine/boot_program.h"
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

Result<> offer_images(FwCfg& fw_cfg, std::span<const u8> kernel, std::span<const u8> initrd) {
    if (auto added = fw_cfg.add_view(FwCfg::kKernelData, kernel); !added) {
        return added;
    }
    return fw_cfg.add_view(FwCfg::kInitrdData, initrd);
}

// The option ROM reads the image in its two parts, and fills in the header itself.
Result<> offer_linux(FwCfg& fw_cfg, const FirmwareConfig& config) {
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
    if (auto added = fw_cfg.add_view(FwCfg::kSetupData, setup); !added) {
        return added;
    }
    if (auto added = offer_images(fw_cfg, code, config.initrd); !added) {
        return added;
    }
    return fw_cfg.add(FwCfg::kCommandLineData, std::move(command_line));
}

// Other kernels come with a list, under kSetupData, of what goes where; an entry under kKernelEntry
// tells the option ROM that there is one. It is read by guest/optionrom/program.S: all
// little-endian numbers of four bytes.
Result<> offer_program(FwCfg& fw_cfg, const FirmwareConfig& config, const Program& program) {
    constexpr std::size_t kMaxPieces = 256;  // for which the option ROM has room
    constexpr std::size_t kHeaderSize = 44, kPieceSize = 20;
    const std::size_t count = program.pieces.size() + 1;
    if (count > kMaxPieces) {
        return Error::unknown_kernel;
    }
    std::vector<u8> list;
    const auto put = [&list](u64 value) {
        const auto bytes = number(value, 4);
        list.insert(list.end(), bytes.begin(), bytes.end());
    };
    for (const u64 value :
         {u64{static_cast<u32>(program.map)}, u64{program.entry}, u64{program.eax},
          u64{program.ebx}, u64{program.esi}, u64{program.esp}, u64{program.gdt_at},
          u64{program.information_at}, u64{program.map_at}, u64{program.map_room}, u64{count}}) {
        put(value);
    }
    // The item that has the bytes, where in it, how many; the place, and its size.
    const auto put_piece = [&put](u16 key, u64 offset, u64 bytes, u64 address, u64 size) {
        for (const u64 value : {u64{key}, offset, bytes, address, size}) {
            put(value);
        }
    };
    for (const boot::Piece& p : program.pieces) {
        const bool of_kernel = p.bytes.data() >= config.kernel.data() &&
                               p.bytes.data() < config.kernel.data() + config.kernel.size();
        const auto& item = of_kernel ? config.kernel : config.initrd;
        const u64 offset = p.bytes.empty() ? 0 : static_cast<u64>(p.bytes.data() - item.data());
        put_piece(of_kernel ? FwCfg::kKernelData : FwCfg::kInitrdData, offset, p.bytes.size(),
                  p.address, p.size);
    }
    const u64 information_size = program.information.size();
    put_piece(FwCfg::kSetupData, kHeaderSize + count * kPieceSize, information_size,
              program.information_at, information_size);
    list.insert(list.end(), program.information.begin(), program.information.end());
    if (auto added = fw_cfg.add(FwCfg::kSetupData, std::move(list)); !added) {
        return added;
    }
    if (auto added = fw_cfg.add32(FwCfg::kKernelEntry, program.entry); !added) {
        return added;
    }
    return offer_images(fw_cfg, config.kernel, config.initrd);
}

Result<> offer_kernel(FwCfg& fw_cfg, const FirmwareConfig& config) {
    const KernelFormat format = kernel_format(config.kernel);
    if (format == KernelFormat::linux) {
        return offer_linux(fw_cfg, config);
    }
    if (format == KernelFormat::unknown) {
        return Error::unknown_kernel;
    }
    if (config.memory_bytes <= boot::kHighMemory) {
        return Error::image_too_large;
    }
    const BootImages images{.kernel = config.kernel,
                            .initrds = config.initrds,
                            .command_line = config.command_line,
                            .rsdp = {}};  // the BIOS has it where kernels look for it
    const auto plan = format == KernelFormat::elf ? plan_elf : plan_multiboot;
    const auto program = plan(images, config.memory_bytes, Environment::bios);
    if (!program) {
        return program.error();
    }
    return offer_program(fw_cfg, config, program.value());
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
