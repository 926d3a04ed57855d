// SPDX-License-Identifier: MIT
// What the boot protocols have in common: bytes in images, the memory map, the zero page, flat
// segments.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "vmcore/machine/boot.h"

namespace ennead::vmcore::boot {

// Up to here is RAM that a PC's BIOS leaves to others; the rest up to 640 KiB is where it keeps
// data.
inline constexpr u32 kEndOfLowMemory = 0x9fc00;
inline constexpr u32 kHighMemory = 0x100000;

// `offset` and what lies there must be inside.
template <class T>
T get(std::span<const u8> bytes, u64 offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <class T>
void put(std::span<u8> bytes, u64 offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

struct MemoryRange {
    u64 address, size;
    u32 type;
};
inline constexpr u32 kRam = 1, kReserved = 2;

// INT 15h E820 of a machine that no firmware has been through.
[[nodiscard]] std::array<MemoryRange, 4> memory_map(u64 ram_size);

// [address, address+size) as a place for a kernel's bytes: inside RAM, and not in the hole between
// 640 KiB and 1 MiB, where writes go elsewhere. Nothing if it is none.
[[nodiscard]] std::optional<std::span<u8>> loadable(GuestRam& ram, u64 address, u64 size);

// What an ELF file's program headers placed.
struct Loaded {
    u32 entry;
    std::vector<MemoryRange> ranges;  // type unused
    [[nodiscard]] u64 end() const;
};

// Whether it is an executable ELF file for i386, with program headers that lie inside the file.
[[nodiscard]] bool is_elf_kernel(std::span<const u8> image);
// Copies the segments to their physical addresses and zeroes what they have beyond the file.
// unknown_kernel, image_too_large.
[[nodiscard]] Result<Loaded> load_elf(GuestRam& ram, std::span<const u8> image);

// Where the parts of Linux's zero page lie, in it and in RAM.
struct LinuxPlaces {
    PhysAddr gdt, zero_page, command_line;
    u32 command_line_room;
};
// Out of the way of kernels that are loaded at 1 MiB or higher.
inline constexpr LinuxPlaces kPlaces{PhysAddr{0x1000}, PhysAddr{0x7000}, PhysAddr{0x20000},
                                     0x10000};

// Puts the initrds, one behind the other at multiples of four bytes, as high below `limit` as RAM
// reaches and not below `floor`. Gives address and size; image_too_large.
struct Placed {
    u32 address = 0, size = 0;
};
[[nodiscard]] Result<Placed> place_initrd(GuestRam& ram, const std::vector<BootModule>& initrds,
                                          u64 floor, u64 limit);

// Fills in what a boot loader does, in a zero page whose setup header (or zeros) is there already.
void fill_zero_page(GuestRam& ram, const LinuxPlaces& places, const BootImages& images,
                    Placed initrd);
[[nodiscard]] std::span<u8> page_at(GuestRam& ram, PhysAddr at);

// Flat 32-bit protected mode with the GDT at `gdt`, interrupts off, registers zero.
void enter_flat(GuestRam& ram, CpuState& cpu, PhysAddr gdt, u32 eip);

}  // namespace ennead::vmcore::boot
