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

// Whether [address, address+size) is a place for a kernel's bytes: inside RAM, and not in the hole
// between 640 KiB and 1 MiB, where writes go elsewhere.
[[nodiscard]] bool loadable(u64 ram_size, u64 address, u64 size);

// Bytes and where they belong. The memory behind them up to `size` is to be zero.
struct Piece {
    u64 address;
    std::span<const u8> bytes;
    u64 size;  // not less than there are bytes
    [[nodiscard]] bool overlaps(u64 begin, u64 end) const {
        return address < end && begin < address + size;
    }
};

// A kernel's pieces, in the kernel's image, and its entry.
struct Loaded {
    u32 entry;
    std::vector<Piece> pieces;
    [[nodiscard]] u64 end() const;
    [[nodiscard]] bool overlaps(u64 begin, u64 end) const;
};

// Whether it is an executable ELF file for i386, with program headers that lie inside the file.
[[nodiscard]] bool is_elf_kernel(std::span<const u8> image);
// The segments at their physical addresses. unknown_kernel; image_too_large if one is not
// loadable().
[[nodiscard]] Result<Loaded> elf_pieces(std::span<const u8> image, u64 ram_size);

// Where in RAM lie the zero page of Linux and what belongs to it.
struct LinuxPlaces {
    PhysAddr gdt, zero_page, command_line;
    u32 command_line_room;
};
// Out of the way of kernels that are loaded at 1 MiB or higher.
inline constexpr LinuxPlaces kPlaces{PhysAddr{0x1000}, PhysAddr{0x7000}, PhysAddr{0x20000},
                                     0x10000};

// Where the initrds go as one, at a page: as high below `limit` as RAM reaches, not below `floor`.
// image_too_large.
struct Placed {
    u32 address = 0, size = 0;
};
[[nodiscard]] Result<Placed> place_initrd(u64 ram_size, const std::vector<BootModule>& initrds,
                                          u64 floor, u64 limit);
// The initrds one behind the other from `at` on, each at a multiple of four bytes.
[[nodiscard]] std::vector<Piece> initrd_pieces(const std::vector<BootModule>& initrds, u64 at);

// Copies the pieces to their places, which are inside RAM.
void put_pieces(GuestRam& ram, std::span<const Piece> pieces);

// Fills in what a boot loader does, in a zero page whose setup header (or zeros) is there already.
void fill_zero_page(std::span<u8> page, const LinuxPlaces& places, PhysAddr rsdp, Placed initrd,
                    u64 ram_size);

// Flat segments as the 32-bit boot protocol asks for them: CS 0x10, the others 0x18.
inline constexpr std::array<u64, 4> kFlatGdt{0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
// Flat 32-bit protected mode with kFlatGdt at `gdt`, interrupts off, registers zero.
void enter_flat(GuestRam& ram, CpuState& cpu, PhysAddr gdt, u32 eip);

}  // namespace ennead::vmcore::boot
