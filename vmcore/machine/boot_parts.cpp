// SPDX-License-Identifier: MIT
// Memory map, ELF segments (System V ABI, i386 supplement), zero page
// (Documentation/x86/zero-page.rst).
#include "vmcore/machine/boot_parts.h"

#include <algorithm>

namespace ennead::vmcore::boot {
namespace {

// The flat segments that the 32-bit boot protocol asks for.
constexpr u16 kBootCs = 0x10, kBootDs = 0x18;

// ELF header and program header, offsets and values.
constexpr u32 kElfHeaderSize = 52, kProgramHeaderSize = 32;
constexpr u32 kEiClass = 4, kEiData = 5, kEType = 16, kEMachine = 18, kEEntry = 24, kEPhoff = 28,
              kEPhentsize = 42, kEPhnum = 44;
constexpr u32 kPType = 0, kPOffset = 4, kPVaddr = 8, kPPaddr = 12, kPFilesz = 16, kPMemsz = 20;
constexpr u32 kPtLoad = 1, kPtInterp = 3;

// Offsets in the zero page, zero-page.rst.
constexpr u32 kExtMemK = 0x002, kOldCommandLineMagic = 0x020, kOldCommandLineOffset = 0x022,
              kAcpiRsdpAddr = 0x070, kAltMemK = 0x1e0, kE820Entries = 0x1e8, kVersion = 0x206,
              kTypeOfLoader = 0x210, kLoadFlags = 0x211, kRamdiskImage = 0x218,
              kRamdiskSize = 0x21c, kHeapEndPtr = 0x224, kCmdLinePtr = 0x228, kE820Table = 0x2d0;
constexpr u8 kCanUseHeap = 1u << 7, kUndefinedLoader = 0xff;

struct ProgramHeaders {
    std::span<const u8> image;
    u32 offset, size, count;
    [[nodiscard]] std::span<const u8> at(u32 i) const {
        return image.subspan(offset + u64{i} * size, kProgramHeaderSize);
    }
};

std::optional<ProgramHeaders> program_headers(std::span<const u8> image) {
    if (image.size() < kElfHeaderSize ||
        std::memcmp(image.data(),
                    "\x7f"
                    "ELF",
                    4) != 0 ||
        image[kEiClass] != 1 || image[kEiData] != 1) {
        return std::nullopt;
    }
    const ProgramHeaders h{image, get<u32>(image, kEPhoff), get<u16>(image, kEPhentsize),
                           get<u16>(image, kEPhnum)};
    if (h.size < kProgramHeaderSize || h.offset > image.size() ||
        u64{h.size} * h.count > image.size() - h.offset) {
        return std::nullopt;
    }
    return h;
}

}  // namespace

std::array<MemoryRange, 4> memory_map(u64 ram_size) {
    return {{{0, kEndOfLowMemory, kRam},
             {kEndOfLowMemory, 0xa0000 - kEndOfLowMemory, kReserved},
             {0xe0000, 0x20000, kReserved},  // ACPI tables
             {kHighMemory, ram_size - kHighMemory, kRam}}};
}

bool loadable(u64 ram_size, u64 address, u64 size) {
    if (address < kHighMemory && address + size > 0xa0000) {
        return false;
    }
    return address <= ram_size && size <= ram_size - address;
}

u64 Loaded::end() const {
    u64 end = 0;
    for (const Piece& p : pieces) {
        end = std::max(end, p.address + p.size);
    }
    return end;
}

bool Loaded::overlaps(u64 begin, u64 end) const {
    return std::ranges::any_of(pieces, [=](const Piece& p) { return p.overlaps(begin, end); });
}

bool is_elf_kernel(std::span<const u8> image) {
    constexpr u16 kExecutable = 2, kI386 = 3;
    const auto headers = program_headers(image);
    if (!headers || get<u16>(image, kEType) != kExecutable || get<u16>(image, kEMachine) != kI386) {
        return false;
    }
    bool loads = false;
    for (u32 i = 0; i < headers->count; i++) {
        const u32 type = get<u32>(headers->at(i), kPType);
        if (type == kPtInterp) {
            return false;  // a program that wants an operating system
        }
        loads = loads || type == kPtLoad;
    }
    return loads;
}

Result<Loaded> elf_pieces(std::span<const u8> image, u64 ram_size) {
    const auto headers = program_headers(image);
    if (!headers) {
        return Error::unknown_kernel;
    }
    const u32 entry = get<u32>(image, kEEntry);
    Loaded loaded{.entry = entry, .pieces = {}};
    bool entry_found = false, by_virtual_address = false;
    for (u32 i = 0; i < headers->count; i++) {
        const auto h = headers->at(i);
        const u32 memory_size = get<u32>(h, kPMemsz);
        if (get<u32>(h, kPType) != kPtLoad || memory_size == 0) {
            continue;
        }
        const u32 offset = get<u32>(h, kPOffset), file_size = get<u32>(h, kPFilesz);
        const u32 physical = get<u32>(h, kPPaddr), virtual_address = get<u32>(h, kPVaddr);
        if (file_size > memory_size || offset > image.size() || file_size > image.size() - offset) {
            return Error::unknown_kernel;
        }
        if (!loadable(ram_size, physical, memory_size)) {
            return Error::image_too_large;
        }
        loaded.pieces.push_back({physical, image.subspan(offset, file_size), memory_size});
        // Kernels that are linked to run high may give their entry as a virtual address.
        if (entry >= physical && entry - physical < memory_size) {
            loaded.entry = entry;
            entry_found = true;
        } else if (!entry_found && !by_virtual_address && entry >= virtual_address &&
                   entry - virtual_address < memory_size) {
            loaded.entry = physical + (entry - virtual_address);
            by_virtual_address = true;
        }
    }
    if (!entry_found && !by_virtual_address) {
        return Error::unknown_kernel;
    }
    return loaded;
}

Result<Placed> place_initrd(u64 ram_size, const std::vector<BootModule>& initrds, u64 floor,
                            u64 limit) {
    u64 size = 0;
    for (const BootModule& m : initrds) {
        size = (size + 3) / 4 * 4 + m.bytes.size();
    }
    if (size == 0) {
        return Placed{};
    }
    const u64 top = std::min(ram_size, limit);
    const u64 at = top < size ? 0 : (top - size) & ~u64{kPageMask};
    if (at < floor) {
        return Error::image_too_large;
    }
    return Placed{static_cast<u32>(at), static_cast<u32>(size)};
}

std::vector<Piece> initrd_pieces(const std::vector<BootModule>& initrds, u64 at) {
    std::vector<Piece> pieces;
    for (const BootModule& m : initrds) {
        const u64 size = (m.bytes.size() + 3) / 4 * 4;  // cpio archives are padded so
        pieces.push_back({at, m.bytes, &m == &initrds.back() ? m.bytes.size() : size});
        at += size;
    }
    return pieces;
}

void put_pieces(GuestRam& ram, std::span<const Piece> pieces) {
    for (const Piece& p : pieces) {
        u8* const to = ram.base() + p.address;
        std::copy(p.bytes.begin(), p.bytes.end(), to);
        std::fill(to + p.bytes.size(), to + p.size, u8{0});
    }
}

void fill_zero_page(std::span<u8> page, const LinuxPlaces& places, PhysAddr rsdp, Placed initrd,
                    u64 ram_size) {
    const u16 version = get<u16>(page, kVersion);
    const u64 above_1m = (ram_size - kHighMemory) / 1024;
    put<u8>(page, kTypeOfLoader, kUndefinedLoader);
    if (version >= 0x0201) {
        put<u8>(page, kLoadFlags, get<u8>(page, kLoadFlags) | kCanUseHeap);
        put<u16>(page, kHeapEndPtr, 0xe000 - 0x200);
    }
    if (version >= 0x0202) {
        put<u32>(page, kCmdLinePtr, static_cast<u32>(raw(places.command_line)));
    } else {
        // boot.rst, "The Kernel Command Line", before 2.02: an offset from the zero page's start.
        put<u16>(page, kOldCommandLineMagic, 0xa33f);
        put<u16>(page, kOldCommandLineOffset,
                 static_cast<u16>(raw(places.command_line) - raw(places.zero_page)));
        put<u16>(page, kExtMemK, static_cast<u16>(std::min<u64>(above_1m, 0xffff)));
    }
    put<u32>(page, kRamdiskImage, initrd.address);
    put<u32>(page, kRamdiskSize, initrd.size);
    put<u64>(page, kAcpiRsdpAddr, raw(rsdp));
    put<u32>(page, kAltMemK, static_cast<u32>(above_1m));  // for those that know no E820
    u32 at = kE820Table;
    for (const MemoryRange& r : memory_map(ram_size)) {
        put(page, at, r.address);
        put(page, at + 8, r.size);
        put(page, at + 16, r.type);
        at += 20;
    }
    put<u8>(page, kE820Entries, static_cast<u8>((at - kE820Table) / 20));
}

void enter_flat(GuestRam& ram, CpuState& cpu, PhysAddr gdt_at, u32 eip) {
    std::memcpy(ram.base() + raw(gdt_at), kFlatGdt.data(), sizeof kFlatGdt);
    cpu.gdtr = {static_cast<u32>(raw(gdt_at)), sizeof kFlatGdt - 1};
    cpu.idtr = {0, 0};
    const auto flat = [](u16 selector, u16 access) {
        return Segment{.base = 0,
                       .limit = 0xffffffff,
                       .selector = selector,
                       .attr = static_cast<u16>(0xc000 | access)};
    };
    for (Seg s : {Seg::es, Seg::ss, Seg::ds, Seg::fs, Seg::gs}) {
        cpu.segment(s) = flat(kBootDs, 0x93);
    }
    cpu.segment(Seg::cs) = flat(kBootCs, 0x9b);
    cpu.cr0 |= cr0::kPe;
    cpu.eflags = eflags::kFixed;
    cpu.cpl = 0;
    cpu.gpr = {};
    cpu.eip = eip;
}

}  // namespace ennead::vmcore::boot
