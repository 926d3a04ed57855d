// SPDX-License-Identifier: MIT
// What a BIOS is told through the firmware configuration device: memory, tables, what to boot.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "vmcore/devices/fw_cfg.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Whether SeaBIOS asks what to boot: never, if there is a choice, always.
enum class BootMenu : u8 { off, choice, on };

struct FirmwareConfig {
    u64 memory_bytes = 0;
    BootMenu menu = BootMenu::choice;
    // A Linux image for the option ROM to boot; empty: the option ROM is not there. The spans must
    // outlive the FwCfg.
    std::span<const u8> kernel{};
    std::span<const u8> initrd{};
    std::string command_line{};
    // SeaBIOS's names of what to try first, first one first (docs/Runtime_config.md of SeaBIOS,
    // "bootorder"). Disks go in here: /pci@i0cf8/*@SLOT/disk@0,0
    std::vector<std::string> boot_order{};
};

// The name of the option ROM in a boot order.
inline constexpr std::string_view kOptionRomInBootOrder = "/rom@genroms/ennead.bin";

// unknown_kernel: the kernel is none that the option ROM boots, which are those of the Linux/x86
// boot protocol.
Result<> offer_to_firmware(FwCfg& fw_cfg, const FirmwareConfig& config);

}  // namespace ennead::vmcore
