// SPDX-License-Identifier: MIT
// Tells kernels apart, and names what is none.
#include "vmcore/machine/boot.h"

#include <cstring>
#include <string_view>

#include "vmcore/machine/boot_parts.h"
#include "vmcore/machine/linux_image.h"
#include "vmcore/machine/multiboot.h"

namespace ennead::vmcore {
namespace {

std::string describe_elf(std::span<const u8> image) {
    struct Machine {
        u16 number;
        const char* name;
    };
    // clang-format off
    constexpr Machine kMachines[] = {
        {2, "SPARC"}, {8, "MIPS"}, {20, "PowerPC"}, {21, "PowerPC"}, {22, "S/390"}, {40, "ARM"},
        {62, "x86-64"}, {183, "ARM"}, {243, "RISC-V"}, {258, "LoongArch"},
    };
    // clang-format on
    std::string text =
        image.size() > 4 && image[4] == 2 ? "a 64-bit ELF file" : "a 32-bit ELF file";
    if (image.size() < 20) {
        return text;
    }
    const u16 machine = boot::get<u16>(image, 18);
    if (image[5] == 1 && machine == 3 && image[4] == 1) {
        switch (boot::get<u16>(image, 16)) {
            case 1:
                return text + " that is not linked";
            case 2:
                return text + " that is no kernel";
            case 3:
                return text + " that is a program or library";
            default:
                return text;
        }
    }
    for (const Machine& m : kMachines) {
        // What is stored with the high byte first is for other machines at any rate.
        if (m.number == (image[5] == 2 ? static_cast<u16>(machine << 8 | machine >> 8) : machine)) {
            return text + " for " + m.name;
        }
    }
    return text;
}

struct Magic {
    std::size_t at;
    std::string_view bytes;
    const char* what;
};

using namespace std::string_view_literals;
// clang-format off
constexpr Magic kMagics[] = {
    {0, "\x1f\x8b"sv, "a gzip stream"},
    {0, "\xfd" "7zXZ"sv, "an xz stream"},
    {0, "BZh"sv, "a bzip2 stream"},
    {0, "\x28\xb5\x2f\xfd"sv, "a zstd stream"},
    {0, "\x5d\0\0"sv, "an lzma stream"},
    {0, "\x02\x21\x4c\x18"sv, "an lz4 stream"},
    {0, "\x04\x22\x4d\x18"sv, "an lz4 stream"},
    {0, "PK\x03\x04"sv, "a zip archive"},
    {0, "!<arch>\n"sv, "an ar archive or Debian package"},
    {0, "070701"sv, "a cpio archive, as initrds are"},
    {257, "ustar"sv, "a tar archive"},
    {0, "#!"sv, "a script"},
    {0, "QFI\xfb"sv, "a qcow2 disk image"},
    {0, "KDMV"sv, "a VMDK disk image"},
    {0, "\x27\x05\x19\x56"sv, "an image for U-Boot"},
    {0x8001, "CD001"sv, "an ISO 9660 image"},
};
// clang-format on

}  // namespace

KernelFormat kernel_format(std::span<const u8> image) {
    if (LinuxImage::parse(image)) {
        return KernelFormat::linux;
    }
    const bool elf = boot::is_elf_kernel(image);
    if (const auto header = MultibootHeader::find(image);
        header && (header->has_addresses || elf)) {
        return KernelFormat::multiboot;
    }
    return elf ? KernelFormat::elf : KernelFormat::unknown;
}

Result<> boot_kernel(GuestRam& ram, CpuState& cpu, const BootImages& images) {
    if (ram.size() <= boot::kHighMemory) {
        return Error::image_too_large;
    }
    switch (kernel_format(images.kernel)) {
        case KernelFormat::linux:
            return boot_linux(ram, cpu, images);
        case KernelFormat::multiboot:
            return boot_multiboot(ram, cpu, images);
        case KernelFormat::elf:
            return boot_elf(ram, cpu, images);
        case KernelFormat::unknown:
            break;
    }
    return Error::unknown_kernel;
}

std::string describe_image(std::span<const u8> image) {
    const auto has = [&](std::size_t at, std::string_view magic) {
        return image.size() >= at && image.size() - at >= magic.size() &&
               std::memcmp(image.data() + at, magic.data(), magic.size()) == 0;
    };
    if (image.empty()) {
        return "an empty file";
    }
    if (has(0,
            "\x7f"
            "ELF"sv)) {
        return describe_elf(image);
    }
    for (const Magic& m : kMagics) {
        if (has(m.at, m.bytes)) {
            return m.what;
        }
    }
    if (LinuxImage::has_magic(image)) {
        if (LinuxImage::is_64_bit(image)) {
            return "a Linux image for x86-64";
        }
        return LinuxImage::parse(image)
                   ? "a Linux image"
                   : "a Linux image older than boot protocol 2.00, or cut short";
    }
    if (image.size() >= 512 && image[0x1fe] == 0x55 && image[0x1ff] == 0xaa) {
        return has(0, "MZ"sv) ? "an EFI or DOS program" : "a boot sector or disk image";
    }
    return has(0, "MZ"sv) ? "an EFI or DOS program" : "data of no known kind";
}

}  // namespace ennead::vmcore
