// SPDX-License-Identifier: MIT
// The header of a Linux image (Documentation/x86/boot.rst, "The Real-Mode Kernel Header").
#pragma once

#include <optional>
#include <span>

#include "vmcore/types.h"

namespace ennead::vmcore {

struct LinuxImage {
    static constexpr u32 kHeaderStart = 0x1f1;  // at the same place in the zero page

    u32 setup_bytes;  // boot sector and setup code, before the protected-mode code
    u32 header_end;   // the header's end, counted from the image's start
    u16 version;
    bool loaded_high;     // a bzImage: the code belongs at 1 MiB, a zImage's below 640 KiB
    u32 initrd_addr_max;  // the last byte
    u32 cmdline_size;     // without the zero
    u64 runtime_start;    // where the kernel moves itself before it unpacks
    u32 init_size;        // what it needs from there on until it knows its memory map

    // Nothing if it is no Linux image, one older than protocol 2.00, cut short, or for x86-64.
    [[nodiscard]] static std::optional<LinuxImage> parse(std::span<const u8> image);
    // A bzImage whose kernel is for 64-bit processors.
    [[nodiscard]] static bool is_64_bit(std::span<const u8> image);
    [[nodiscard]] static bool has_magic(std::span<const u8> image);

    // What a zero page says for a kernel that came without a header.
    static void write_header_of_elf(std::span<u8> zero_page);
};

}  // namespace ennead::vmcore
