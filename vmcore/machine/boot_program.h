// SPDX-License-Identifier: MIT
// A kernel that is entered in flat 32-bit protected mode, as a value: what is in memory and in
// registers then. It can be put into RAM, or handed to a BIOS's option ROM.
#pragma once

#include <span>
#include <vector>

#include "vmcore/machine/boot.h"
#include "vmcore/machine/boot_parts.h"

namespace ennead::vmcore {

// What is in the machine before the kernel: nothing, or a BIOS, whose data must stay, which knows
// the memory map, and whose tables are at the end of RAM.
enum class Environment : u8 { bare, bios };

struct Program {
    // How the kernel is told the memory map; the option ROM knows these numbers.
    enum class Map : u32 { multiboot = 1, zero_page = 2 };
    static constexpr u32 kMapRoom = 64;
    // Behind a BIOS, memory from here on is free: below are its data, and the option ROM's.
    static constexpr u32 kFirstBehindBios = 0x10000;

    std::vector<boot::Piece> pieces{};  // of the kernel and the initrds; they overlap nothing
    std::vector<u8> information{};      // made for the kernel, at information_at
    u32 information_at = 0;
    u32 gdt_at = 0;  // inside: boot::kFlatGdt
    // Where the map goes, inside too, and how many ranges fit. Filled in if there is no BIOS.
    Map map{};
    u32 map_at = 0, map_room = 0;
    u32 entry = 0, eax = 0, ebx = 0, esi = 0, esp = 0;  // the other registers are zero
};

// For the formats that kernel_format() tells. Pieces are parts of `images`, which must outlive
// them. Errors as those of boot_kernel(); image_too_large also if something wants to lie where a
// BIOS has its data.
[[nodiscard]] Result<Program> plan_multiboot(const BootImages& images, u64 ram_size,
                                             Environment environment);
[[nodiscard]] Result<Program> plan_elf(const BootImages& images, u64 ram_size,
                                       Environment environment);

// The program, if it leaves to a BIOS what is its own.
[[nodiscard]] Result<Program> check_program(Program program, Environment environment);

// Puts it into RAM, and the CPU at its entry.
void enter_program(GuestRam& ram, CpuState& cpu, const Program& program);

}  // namespace ennead::vmcore
