// SPDX-License-Identifier: MIT
// The Linux/x86 boot protocol (Documentation/x86/boot.rst), 32-bit entry.
#include "vmcore/machine/boot.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ennead::vmcore {
namespace {

// Where things are put below 640 KiB; nothing else uses these pages before the kernel does.
constexpr PhysAddr kGdt{0x1000};
constexpr PhysAddr kZeroPage{0x7000};
constexpr PhysAddr kCommandLine{0x20000};
constexpr u32 kCommandLineRoom = 0x10000;
constexpr PhysAddr kProtectedModeCode{0x100000};
constexpr u32 kEndOfLowMemory = 0x9fc00;  // the rest up to 640 KiB is where a BIOS keeps its data

// Offsets in the setup header, boot.rst "The Real-Mode Kernel Header"; the zero page has it at the
// same place.
constexpr u32 kSetupSects = 0x1f1, kBootFlag = 0x1fe, kJump = 0x200, kMagic = 0x202,
              kVersion = 0x206, kTypeOfLoader = 0x210, kLoadFlags = 0x211, kRamdiskImage = 0x218,
              kRamdiskSize = 0x21c, kHeapEndPtr = 0x224, kCmdLinePtr = 0x228,
              kInitrdAddrMax = 0x22c, kKernelAlignment = 0x230, kRelocatable = 0x234,
              kCmdlineSize = 0x238, kPrefAddress = 0x258, kInitSize = 0x260;
// Offsets in the zero page, zero-page.rst.
constexpr u32 kAcpiRsdpAddr = 0x070, kE820Entries = 0x1e8, kE820Table = 0x2d0;
constexpr u8 kLoadedHigh = 1u << 0, kCanUseHeap = 1u << 7;
constexpr u8 kUndefinedLoader = 0xff;

// The flat segments that the 32-bit boot protocol asks for.
constexpr u16 kBootCs = 0x10, kBootDs = 0x18;

template <class T>
T get(std::span<const u8> bytes, u32 offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <class T>
void put(std::span<u8> bytes, u32 offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

struct Header {
    u32 setup_bytes;  // boot sector and setup code, before the protected-mode code
    u32 header_end;   // the header's end, counted from the image's start
    u16 version;
    u32 initrd_addr_max;
    u32 cmdline_size;
    u64 runtime_start;  // where the kernel moves itself before it unpacks
    u32 init_size;      // what it needs from there on until it knows its memory map
};

// boot.rst, init_size: the aligned load address or the preferred one. A relocatable i386 kernel
// takes the higher of the two (arch/x86/boot/compressed/head_32.S).
u64 runtime_start(std::span<const u8> kernel) {
    u64 start = raw(kProtectedModeCode);
    if (get<u8>(kernel, kRelocatable) != 0) {
        const u64 alignment = std::max<u64>(get<u32>(kernel, kKernelAlignment), 1);
        start = (start + alignment - 1) / alignment * alignment;
    }
    return std::max(start, get<u64>(kernel, kPrefAddress));
}

Result<Header> parse(std::span<const u8> kernel) {
    if (kernel.size() < 0x400 || get<u16>(kernel, kBootFlag) != 0xaa55 ||
        std::memcmp(kernel.data() + kMagic, "HdrS", 4) != 0) {
        return Error::unknown_kernel;
    }
    Header h{};
    h.version = get<u16>(kernel, kVersion);
    if (h.version < 0x0202 || (get<u8>(kernel, kLoadFlags) & kLoadedHigh) == 0) {
        return Error::unknown_kernel;  // a zImage: its 32-bit code would have to live below 640 KiB
    }
    u32 sectors = get<u8>(kernel, kSetupSects);
    if (sectors == 0) {
        sectors = 4;
    }
    h.setup_bytes = (sectors + 1) * 512;
    // The jump instruction at 0x200 skips the header, so its target is where the header ends.
    h.header_end = std::min<u32>(kMagic + get<u8>(kernel, kJump + 1), 0x290);
    if (kernel.size() <= h.setup_bytes) {
        return Error::unknown_kernel;
    }
    h.initrd_addr_max = h.version >= 0x0203 ? get<u32>(kernel, kInitrdAddrMax) : 0x37ffffff;
    h.cmdline_size = h.version >= 0x0206 ? get<u32>(kernel, kCmdlineSize) : 255;
    h.init_size = h.version >= 0x020a ? get<u32>(kernel, kInitSize) : 0;
    h.runtime_start = h.version >= 0x020a ? runtime_start(kernel) : raw(kProtectedModeCode);
    return h;
}

void write_e820(std::span<u8> zero_page, u64 ram_size) {
    struct Entry {
        u64 address, size;
        u32 type;
    };
    constexpr u32 kRam = 1, kReserved = 2;
    const std::array<Entry, 4> map{{
        {0, kEndOfLowMemory, kRam},
        {kEndOfLowMemory, 0xa0000 - kEndOfLowMemory, kReserved},
        {0xe0000, 0x20000, kReserved},  // ACPI tables
        {0x100000, ram_size - 0x100000, kRam},
    }};
    u32 at = kE820Table;
    for (const Entry& e : map) {
        put(zero_page, at, e.address);
        put(zero_page, at + 8, e.size);
        put(zero_page, at + 16, e.type);
        at += 20;
    }
    put<u8>(zero_page, kE820Entries, map.size());
}

// As high as the kernel allows, out of the way of its own unpacking. Zero if it does not fit.
u64 initrd_address(const GuestRam& ram, const Header& h, u64 kernel_end, u64 size) {
    const u64 top = std::min<u64>(ram.size(), u64{h.initrd_addr_max} + 1);
    if (top < size) {
        return 0;
    }
    const u64 at = (top - size) & ~u64{kPageMask};
    return at >= kernel_end ? at : 0;
}

void enter_flat(GuestRam& ram, CpuState& cpu) {
    const std::array<u64, 4> gdt{0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    std::memcpy(ram.base() + raw(kGdt), gdt.data(), sizeof gdt);
    cpu.gdtr = {static_cast<u32>(raw(kGdt)), sizeof gdt - 1};
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
}

}  // namespace

Result<> boot_linux(GuestRam& ram, CpuState& cpu, const BootImages& images) {
    const auto header = parse(images.kernel);
    if (!header) {
        return header.error();
    }
    const Header& h = header.value();
    if (images.command_line.size() > std::min(h.cmdline_size, kCommandLineRoom - 1)) {
        return Error::bad_value;
    }
    const auto code = images.kernel.subspan(h.setup_bytes);
    const auto code_room = ram.span(kProtectedModeCode, code.size());
    if (!code_room || !ram.span(PhysAddr{h.runtime_start}, h.init_size)) {
        return Error::image_too_large;
    }
    const u64 kernel_end =
        std::max(raw(kProtectedModeCode) + code.size(), h.runtime_start + h.init_size);
    u64 initrd = 0;
    if (!images.initrd.empty()) {
        initrd = initrd_address(ram, h, kernel_end, images.initrd.size());
        if (initrd == 0) {
            return Error::image_too_large;
        }
        std::memcpy(ram.base() + initrd, images.initrd.data(), images.initrd.size());
    }
    std::memcpy(code_room->data(), code.data(), code.size());

    u8* command_line = ram.base() + raw(kCommandLine);
    std::memcpy(command_line, images.command_line.data(), images.command_line.size());
    command_line[images.command_line.size()] = 0;

    const std::span<u8> zero_page(ram.base() + raw(kZeroPage), kPageSize);
    std::ranges::fill(zero_page, u8{0});
    std::memcpy(zero_page.data() + kSetupSects, images.kernel.data() + kSetupSects,
                h.header_end - kSetupSects);
    put<u8>(zero_page, kTypeOfLoader, kUndefinedLoader);
    put<u8>(zero_page, kLoadFlags, get<u8>(images.kernel, kLoadFlags) | kCanUseHeap);
    put<u16>(zero_page, kHeapEndPtr, 0xe000 - 0x200);
    put<u32>(zero_page, kCmdLinePtr, static_cast<u32>(raw(kCommandLine)));
    put<u32>(zero_page, kRamdiskImage, static_cast<u32>(initrd));
    put<u32>(zero_page, kRamdiskSize, static_cast<u32>(images.initrd.size()));
    put<u64>(zero_page, kAcpiRsdpAddr, raw(images.rsdp));
    write_e820(zero_page, ram.size());

    enter_flat(ram, cpu);
    cpu.eip = static_cast<u32>(raw(kProtectedModeCode));
    cpu.gpr = {};
    cpu.gpr[kEsi] = static_cast<u32>(raw(kZeroPage));
    // The protocol asks for no stack, but a kernel that faults before it has one should fault
    // visibly.
    cpu.gpr[kEsp] = static_cast<u32>(raw(kZeroPage));
    return success();
}

std::string describe_image(std::span<const u8> image) {
    const auto starts = [&](std::string_view magic) {
        return image.size() >= magic.size() &&
               std::memcmp(image.data(), magic.data(), magic.size()) == 0;
    };
    if (image.empty()) {
        return "an empty file";
    }
    if (starts("\x7f"
               "ELF")) {
        return image.size() > 4 && image[4] == 2 ? "a 64-bit ELF file" : "a 32-bit ELF file";
    }
    if (starts("\x1f\x8b")) {
        return "a gzip stream";
    }
    if (starts("\xfd"
               "7zXZ")) {
        return "an xz stream";
    }
    if (starts("#!")) {
        return "a script";
    }
    if (image.size() >= 0x400 && get<u16>(image, kBootFlag) == 0xaa55) {
        return std::memcmp(image.data() + kMagic, "HdrS", 4) == 0
                   ? "a Linux image older than boot protocol 2.02, or a zImage"
                   : "a boot sector or disk image";
    }
    return "data of no known kind";
}

}  // namespace ennead::vmcore
