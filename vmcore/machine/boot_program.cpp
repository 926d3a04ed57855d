// SPDX-License-Identifier: MIT
// Programs in RAM, and kernels that are ELF files without a protocol of their own.
#include "vmcore/machine/boot_program.h"

#include <algorithm>

#include "vmcore/machine/linux_image.h"

namespace ennead::vmcore {

using namespace boot;

Result<Program> check_program(Program program, Environment environment) {
    if (environment == Environment::bios && std::ranges::any_of(program.pieces, [](const Piece& p) {
            return p.address < Program::kFirstBehindBios;
        })) {
        return Error::image_too_large;
    }
    return program;
}

void enter_program(GuestRam& ram, CpuState& cpu, const Program& program) {
    put_pieces(ram, program.pieces);
    std::copy(program.information.begin(), program.information.end(),
              ram.base() + program.information_at);
    enter_flat(ram, cpu, PhysAddr{program.gdt_at}, program.entry);
    cpu.gpr[kEax] = program.eax;
    cpu.gpr[kEbx] = program.ebx;
    cpu.gpr[kEsi] = program.esi;
    cpu.gpr[kEsp] = program.esp;
}

// The information: zero page, GDT, command line.
Result<Program> plan_elf(const BootImages& images, u64 ram_size, Environment environment) {
    constexpr u64 kInitrdLimit = 0x38000000;  // what Linux maps of itself, 896 MiB
    constexpr u32 kPlaces[] = {0x90000, 0x10000};
    constexpr u32 kGdtOffset = kPageSize, kTextOffset = kGdtOffset + sizeof kFlatGdt;
    constexpr u32 kRoom = kEndOfLowMemory - kPlaces[0];
    constexpr u32 kE820Table = 0x2d0;  // zero-page.rst

    const u64 size = kTextOffset + images.command_line.size() + 1;
    if (size > kRoom) {
        return Error::bad_value;
    }
    const auto loaded = elf_pieces(images.kernel, ram_size);
    if (!loaded) {
        return loaded.error();
    }
    const auto place = std::ranges::find_if(
        kPlaces, [&](u32 at) { return !loaded.value().overlaps(at, at + size); });
    if (place == std::end(kPlaces)) {
        return Error::image_too_large;
    }
    // A BIOS has its tables at the end of RAM, so there the initrd lies behind the kernel.
    const u64 end =
        (std::max<u64>(loaded.value().end(), kHighMemory) + kPageMask) & ~u64{kPageMask};
    auto initrd = place_initrd(ram_size, images.initrds, end, kInitrdLimit);
    if (!initrd) {
        return initrd.error();
    }
    if (environment == Environment::bios && initrd.value().size != 0) {
        initrd.value().address = static_cast<u32>(end);
    }

    Program program{.pieces = loaded.value().pieces, .entry = loaded.value().entry};
    const auto initrds = initrd_pieces(images.initrds, initrd.value().address);
    program.pieces.insert(program.pieces.end(), initrds.begin(), initrds.end());
    program.information_at = *place;
    program.gdt_at = *place + kGdtOffset;
    program.map = Program::Map::zero_page;
    program.map_at = *place + kE820Table;
    program.map_room = Program::kMapRoom;
    program.esi = program.esp = *place;

    program.information.resize(size);
    const auto zero_page = std::span(program.information).first(kPageSize);
    LinuxImage::write_header_of_elf(zero_page);
    fill_zero_page(zero_page,
                   {.gdt = PhysAddr{program.gdt_at},
                    .zero_page = PhysAddr{*place},
                    .command_line = PhysAddr{*place + kTextOffset},
                    .command_line_room = kRoom - kTextOffset},
                   images.rsdp, initrd.value(), ram_size);
    std::memcpy(&program.information[kGdtOffset], kFlatGdt.data(), sizeof kFlatGdt);
    std::ranges::copy(images.command_line, program.information.begin() + kTextOffset);
    return check_program(std::move(program), environment);
}

Result<> boot_multiboot(GuestRam& ram, CpuState& cpu, const BootImages& images) {
    const auto program = plan_multiboot(images, ram.size(), Environment::bare);
    if (!program) {
        return program.error();
    }
    enter_program(ram, cpu, program.value());
    return success();
}

Result<> boot_elf(GuestRam& ram, CpuState& cpu, const BootImages& images) {
    const auto program = plan_elf(images, ram.size(), Environment::bare);
    if (!program) {
        return program.error();
    }
    enter_program(ram, cpu, program.value());
    return success();
}

}  // namespace ennead::vmcore
