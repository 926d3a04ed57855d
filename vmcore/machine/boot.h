// SPDX-License-Identifier: MIT
// Places a kernel in guest RAM and the CPU at its entry point, as a boot loader would.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "vmcore/cpu/state.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

struct BootImages {
    std::span<const u8> kernel;
    std::span<const u8> initrd;  // empty: none
    std::string command_line;    // without the terminating zero
    PhysAddr rsdp{};             // where the ACPI root pointer lies
};

// Loads a bzImage (protocol 2.02 or later) by the Linux/x86 boot protocol and sets `cpu` up for its
// 32-bit entry point. `cpu` must have been reset. On failure RAM may hold parts of the images;
// `cpu` is unchanged. Errors: unknown_kernel, image_too_large, bad_value (a command line longer
// than the kernel takes).
Result<> boot_linux(GuestRam& ram, CpuState& cpu, const BootImages& images);

// What a file that is no bootable kernel looks like ("an ELF file for x86-64", "a gzip stream"):
// for messages.
[[nodiscard]] std::string describe_image(std::span<const u8> image);

}  // namespace ennead::vmcore
