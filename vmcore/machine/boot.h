// SPDX-License-Identifier: MIT
// Places a kernel in guest RAM and the CPU at its entry point, as a boot loader would.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmcore/cpu/state.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/result.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// An initial RAM disk: a part of the one that Linux is given, a module to a multiboot kernel.
struct BootModule {
    std::span<const u8> bytes;
    std::string_view name;  // what a multiboot kernel is told; no path
};

struct BootImages {
    std::span<const u8> kernel;
    std::vector<BootModule> initrds;
    std::string command_line;  // without the terminating zero
    PhysAddr rsdp{};           // where the ACPI root pointer lies; 0: where kernels look for it
};

enum class KernelFormat { unknown, linux, multiboot, elf };

// Which of the formats below an image has; the first one of: a Linux image that this CPU can run, a
// multiboot header, an ELF file for i386.
[[nodiscard]] KernelFormat kernel_format(std::span<const u8> image);

// Loads the kernel by its format and sets `cpu` up for its entry point. `cpu` must have been reset.
// On failure RAM may hold parts of the images; `cpu` is unchanged. Errors: unknown_kernel,
// image_too_large (something does not fit into RAM, or wants to lie where there is none),
// bad_value (a command line longer than the kernel takes).
Result<> boot_kernel(GuestRam& ram, CpuState& cpu, const BootImages& images);

// The Linux/x86 boot protocol, 2.00 or later, zImages too; 32-bit entry.
Result<> boot_linux(GuestRam& ram, CpuState& cpu, const BootImages& images);
// Multiboot 0.6.96: an ELF file, or anything with the addresses in its header.
Result<> boot_multiboot(GuestRam& ram, CpuState& cpu, const BootImages& images);
// An ELF file without a protocol of its own is entered as Linux' vmlinux is: flat segments, ESI
// points to a zero page.
Result<> boot_elf(GuestRam& ram, CpuState& cpu, const BootImages& images);

// The one initrd that Linux is given for several: each begins at a multiple of four, as parts of a
// cpio archive do.
[[nodiscard]] std::vector<u8> join_initrds(const std::vector<BootModule>& initrds);

// What a file that is no bootable kernel looks like ("an ELF file for x86-64", "a gzip stream"):
// for messages. The first 64 KiB are enough.
[[nodiscard]] std::string describe_image(std::span<const u8> image);

}  // namespace ennead::vmcore
