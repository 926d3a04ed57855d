// SPDX-License-Identifier: MIT
// What a BIOS is told through the firmware configuration device: memory, tables, what to boot.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "vmcore/devices/fw_cfg.h"
#include "vmcore/machine/boot.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Whether SeaBIOS asks what to boot: never, if there is a choice, always.
enum class BootMenu : u8 { off, choice, on };

struct FirmwareConfig {
    u64 memory_bytes = 0;
    BootMenu menu = BootMenu::choice;
    // A kernel for the option ROM to boot; empty: the option ROM is not there. The spans must
    // outlive the FwCfg.
    std::span<const u8> kernel{};
    // The initial RAM disks as one (join_initrds()), and each, which is a part of that.
    std::span<const u8> initrd{};
    std::vector<BootModule> initrds{};
    std::string command_line{};
    // SeaBIOS's names of what to try first, first one first (docs/Runtime_config.md of SeaBIOS,
    // "bootorder"). Disks go in here: /pci@i0cf8/*@SLOT/disk@0,0
    std::vector<std::string> boot_order{};
};

// The name of the option ROM in a boot order.
inline constexpr std::string_view kOptionRomInBootOrder = "/rom@genroms/ennead.bin";

// The option ROM boots all kernels that boot_kernel() does, and fails as that does. Whether there
// is memory where a kernel wants to lie only the BIOS knows.
Result<> offer_to_firmware(FwCfg& fw_cfg, const FirmwareConfig& config);

}  // namespace ennead::vmcore
