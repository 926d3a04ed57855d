// SPDX-License-Identifier: MIT
// Reads the fields, as far as the image's version of the protocol has them.
#include "vmcore/machine/linux_image.h"

#include <algorithm>
#include <cstring>

#include "vmcore/machine/boot_parts.h"

namespace ennead::vmcore {

using boot::get;
using boot::put;

namespace {

constexpr u32 kSetupSects = 0x1f1, kBootFlag = 0x1fe, kJump = 0x200, kMagic = 0x202,
              kVersion = 0x206, kLoadFlags = 0x211, kInitrdAddrMax = 0x22c,
              kKernelAlignment = 0x230, kRelocatable = 0x234, kXLoadFlags = 0x236,
              kCmdlineSize = 0x238, kPrefAddress = 0x258, kInitSize = 0x260;
constexpr u8 kLoadedHigh = 1u << 0;
constexpr u16 kKernel64 = 1u << 0;
// The oldest kernels with a header are larger than this.
constexpr std::size_t kLeastSize = 0x400;

// boot.rst, init_size: the aligned load address or the preferred one. A relocatable i386 kernel
// takes the higher of the two (arch/x86/boot/compressed/head_32.S).
u64 runtime_start_of(std::span<const u8> kernel) {
    u64 start = boot::kHighMemory;
    if (get<u8>(kernel, kRelocatable) != 0) {
        const u64 alignment = std::max<u64>(get<u32>(kernel, kKernelAlignment), 1);
        start = (start + alignment - 1) / alignment * alignment;
    }
    return std::max(start, get<u64>(kernel, kPrefAddress));
}

}  // namespace

bool LinuxImage::has_magic(std::span<const u8> image) {
    return image.size() >= kLeastSize && get<u16>(image, kBootFlag) == 0xaa55 &&
           std::memcmp(image.data() + kMagic, "HdrS", 4) == 0;
}

bool LinuxImage::is_64_bit(std::span<const u8> image) {
    return has_magic(image) && get<u16>(image, kVersion) >= 0x020c &&
           (get<u16>(image, kXLoadFlags) & kKernel64) != 0;
}

std::optional<LinuxImage> LinuxImage::parse(std::span<const u8> kernel) {
    // A kernel for x86-64 has a 32-bit entry too, behind which it halts without a word.
    if (!has_magic(kernel) || is_64_bit(kernel)) {
        return std::nullopt;
    }
    LinuxImage h{};
    h.version = get<u16>(kernel, kVersion);
    if (h.version < 0x0200) {
        return std::nullopt;
    }
    h.loaded_high = (get<u8>(kernel, kLoadFlags) & kLoadedHigh) != 0;
    u32 sectors = get<u8>(kernel, kSetupSects);
    if (sectors == 0) {
        sectors = 4;
    }
    h.setup_bytes = (sectors + 1) * 512;
    // The jump instruction at 0x200 skips the header, so its target is where the header ends.
    h.header_end = std::min<u32>(kMagic + get<u8>(kernel, kJump + 1), 0x290);
    if (kernel.size() <= h.setup_bytes) {
        return std::nullopt;
    }
    h.initrd_addr_max = h.version >= 0x0203 ? get<u32>(kernel, kInitrdAddrMax) : 0x37ffffff;
    h.cmdline_size = h.version >= 0x0206 ? get<u32>(kernel, kCmdlineSize) : 255;
    h.init_size = h.version >= 0x020a ? get<u32>(kernel, kInitSize) : 0;
    h.runtime_start = h.version >= 0x020a ? runtime_start_of(kernel) : boot::kHighMemory;
    return h;
}

void LinuxImage::write_header_of_elf(std::span<u8> zero_page) {
    put<u16>(zero_page, kBootFlag, 0xaa55);
    std::memcpy(zero_page.data() + kMagic, "HdrS", 4);
    put<u16>(zero_page, kVersion, 0x020f);
    put<u8>(zero_page, kLoadFlags, kLoadedHigh);
    put<u32>(zero_page, kInitrdAddrMax, 0x37ffffff);
    put<u32>(zero_page, kCmdlineSize, 2047);
}

}  // namespace ennead::vmcore
