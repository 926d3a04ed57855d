// SPDX-License-Identifier: MIT
// The Linux/x86 boot protocol (Documentation/x86/boot.rst), 32-bit entry.
#include <algorithm>

#include "vmcore/machine/boot_parts.h"
#include "vmcore/machine/linux_image.h"

namespace ennead::vmcore {

using namespace boot;

namespace {

// Where setup code of its time would have put things: a zImage's 32-bit code wants 0x1000 up to
// 0x90000 for itself, and kernels before protocol 2.02 look for the zero page at 0x90000.
constexpr LinuxPlaces kOldPlaces{PhysAddr{0x93000}, PhysAddr{0x90000}, PhysAddr{0x91000}, 0x1000};
constexpr u32 kZImageCode = 0x1000, kZImageEnd = 0x90000;

Result<> check_command_line(const BootImages& images, u64 kernels_limit,
                            const LinuxPlaces& places) {
    if (images.command_line.size() > std::min<u64>(kernels_limit, places.command_line_room - 1)) {
        return Error::bad_value;
    }
    return success();
}

void put_command_line(GuestRam& ram, PhysAddr at, const std::string& text) {
    std::memcpy(ram.base() + raw(at), text.c_str(), text.size() + 1);
}

}  // namespace

Result<> boot_linux(GuestRam& ram, CpuState& cpu, const BootImages& images) {
    const auto header = LinuxImage::parse(images.kernel);
    if (!header) {
        return Error::unknown_kernel;
    }
    const LinuxImage& h = *header;
    const bool old = !h.loaded_high || h.version < 0x0202;
    const LinuxPlaces& places = old ? kOldPlaces : kPlaces;
    if (auto fits = check_command_line(images, h.cmdline_size, places); !fits) {
        return fits;
    }
    const auto code = images.kernel.subspan(h.setup_bytes);
    const u32 code_at = h.loaded_high ? kHighMemory : kZImageCode;
    if (!loadable(ram.size(), code_at, code.size()) ||
        (!h.loaded_high && code_at + code.size() > kZImageEnd) ||
        !ram.span(PhysAddr{h.runtime_start}, h.init_size)) {
        return Error::image_too_large;
    }
    const u64 kernel_end =
        std::max<u64>(kHighMemory, std::max(code_at + code.size(), h.runtime_start + h.init_size));
    const auto initrd =
        place_initrd(ram.size(), images.initrds, kernel_end, u64{h.initrd_addr_max} + 1);
    if (!initrd) {
        return initrd.error();
    }
    const Piece code_piece{code_at, code, code.size()};
    put_pieces(ram, {&code_piece, 1});
    put_pieces(ram, initrd_pieces(images.initrds, initrd.value().address));
    put_command_line(ram, places.command_line, images.command_line);

    const std::span<u8> zero_page{ram.base() + raw(places.zero_page), kPageSize};
    std::ranges::fill(zero_page, u8{0});
    std::copy(images.kernel.begin() + LinuxImage::kHeaderStart,
              images.kernel.begin() + h.header_end, zero_page.begin() + LinuxImage::kHeaderStart);
    fill_zero_page(zero_page, places, images.rsdp, initrd.value(), ram.size());
    enter_flat(ram, cpu, places.gdt, code_at);
    cpu.gpr[kEsi] = static_cast<u32>(raw(places.zero_page));
    // The protocol asks for no stack, but a kernel that faults before it has one should fault
    // visibly.
    cpu.gpr[kEsp] = old ? kEndOfLowMemory : static_cast<u32>(raw(places.zero_page));
    return success();
}

std::vector<u8> join_initrds(const std::vector<BootModule>& initrds) {
    std::vector<u8> all;
    for (const BootModule& m : initrds) {
        all.resize((all.size() + 3) / 4 * 4);
        all.insert(all.end(), m.bytes.begin(), m.bytes.end());
    }
    return all;
}

}  // namespace ennead::vmcore
