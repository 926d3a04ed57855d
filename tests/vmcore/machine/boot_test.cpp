// SPDX-License-Identifier: MIT
// What a kernel finds when it is entered: the zero page, its images, the registers; and what is
// refused.
#include "vmcore/machine/boot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/vmcore/machine/tiny_kernel.h"

namespace ennead::vmcore {
namespace {

using test::TinyKernel;

constexpr u64 kMiB = u64{1} << 20;

class BootLinux : public testing::Test {
  protected:
    BootLinux() { cpu.reset(); }

    Result<> boot(const std::vector<u8>& kernel) {
        return boot_linux(*ram, cpu,
                          {.kernel = kernel,
                           .initrds = {{initrd, "initrd"}},
                           .command_line = command_line,
                           .rsdp = PhysAddr{0xe0000}});
    }
    Result<> boot(const TinyKernel& kernel) { return boot(kernel.image()); }

    template <class T>
    [[nodiscard]] T get(u64 at) {
        T value;
        std::memcpy(&value, ram->base() + at, sizeof value);
        return value;
    }
    // A field of the zero page, which ESI points at.
    template <class T>
    [[nodiscard]] T zero_page(u32 offset) {
        return get<T>(cpu.gpr[kEsi] + offset);
    }
    [[nodiscard]] std::string command_line_in_ram() {
        return reinterpret_cast<const char*>(ram->base() + zero_page<u32>(0x228));
    }

    std::unique_ptr<GuestRam> ram = GuestRam::create(16 * kMiB).value();
    CpuState cpu;
    TinyKernel kernel{.code = {0xf4, 0xeb, 0xfd}};
    std::vector<u8> initrd;
    std::string command_line = "console=ttyS0 quiet";
};

TEST_F(BootLinux, enters_flat_protected_mode_at_one_megabyte) {
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(cpu.eip, 0x100000u);
    EXPECT_TRUE(cpu.cr0 & cr0::kPe);
    EXPECT_FALSE(cpu.cr0 & cr0::kPg);
    EXPECT_EQ(cpu.eflags, eflags::kFixed);  // interrupts off
    EXPECT_EQ(cpu.cpl, 0);
    for (Gpr zero : {kEbp, kEdi, kEbx}) {
        EXPECT_EQ(cpu.gpr[zero], 0u);  // boot.rst, "32-bit Boot Protocol"
    }
    EXPECT_EQ(cpu.segment(Seg::cs).selector, 0x10);
    EXPECT_EQ(cpu.segment(Seg::cs).attr, 0xc09b);
    for (Seg data : {Seg::ds, Seg::es, Seg::ss}) {
        EXPECT_EQ(cpu.segment(data).selector, 0x18);
        EXPECT_EQ(cpu.segment(data).attr, 0xc093);
        EXPECT_EQ(cpu.segment(data).base, 0u);
        EXPECT_EQ(cpu.segment(data).limit, 0xffffffffu);
    }
    EXPECT_EQ(get<u64>(cpu.gdtr.base + 0x10), 0x00cf9b000000ffffu);
    EXPECT_EQ(get<u64>(cpu.gdtr.base + 0x18), 0x00cf93000000ffffu);
    EXPECT_GE(cpu.gdtr.limit, 0x1f);
}

TEST_F(BootLinux, places_the_code_after_the_setup_sectors) {
    kernel.setup_sectors = 3;
    kernel.code = {1, 2, 3, 4, 5};
    ASSERT_TRUE(boot(kernel));
    EXPECT_TRUE(std::equal(kernel.code.begin(), kernel.code.end(), ram->base() + kMiB));
    EXPECT_EQ(get<u8>(kMiB + 5), 0);
}

TEST_F(BootLinux, zero_setup_sectors_mean_four) {
    kernel.setup_sectors = 4;
    kernel.code = {9, 8, 7};
    auto image = kernel.image();
    image[0x1f1] = 0;
    ASSERT_TRUE(boot(image));
    EXPECT_EQ(get<u8>(kMiB), 9);
}

TEST_F(BootLinux, zero_page_carries_the_header_and_what_a_loader_fills_in) {
    std::memset(ram->base() + 0x7000, 0xa5, kPageSize);
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(zero_page<u8>(0x1f1), 1);
    EXPECT_EQ(zero_page<u16>(0x1fe), 0xaa55);
    EXPECT_EQ(zero_page<u16>(0x206), 0x020f);
    EXPECT_EQ(zero_page<u8>(0x210), 0xff);         // an undefined loader
    EXPECT_EQ(zero_page<u8>(0x211), 1 | 1u << 7);  // LOADED_HIGH, CAN_USE_HEAP
    EXPECT_EQ(zero_page<u16>(0x224), 0xe000 - 0x200);
    EXPECT_EQ(zero_page<u32>(0x238), kernel.cmdline_size);
    EXPECT_EQ(zero_page<u64>(0x070), 0xe0000u);  // acpi_rsdp_addr
    EXPECT_EQ(zero_page<u32>(0x218), 0u);        // no initrd
    EXPECT_EQ(zero_page<u32>(0x21c), 0u);
    // Everything else is zero: a kernel takes what it does not know for a loader's word.
    EXPECT_EQ(zero_page<u32>(0x000), 0u);
    EXPECT_EQ(zero_page<u8>(0x1ef), 0);  // sentinel
    EXPECT_EQ(zero_page<u32>(0xffc), 0u);
}

TEST_F(BootLinux, header_is_copied_up_to_its_own_end_only) {
    auto image = kernel.image();
    image[0x26c] = 0x77;  // the first byte of setup code
    ASSERT_TRUE(boot(image));
    EXPECT_EQ(zero_page<u32>(0x260), kernel.init_size);
    EXPECT_EQ(zero_page<u8>(0x26c), 0);
}

TEST_F(BootLinux, command_line_ends_with_a_zero) {
    std::memset(ram->base() + 0x20000, 'x', 64);
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(command_line_in_ram(), command_line);
}

TEST_F(BootLinux, empty_command_line_is_an_empty_string) {
    command_line.clear();
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(command_line_in_ram(), "");
}

TEST_F(BootLinux, e820_covers_ram_and_leaves_the_bios_areas_out) {
    ASSERT_TRUE(boot(kernel));
    struct Entry {
        u64 address, size;
        u32 type;
        bool operator==(const Entry&) const = default;
    };
    std::vector<Entry> map;
    for (u32 i = 0; i < zero_page<u8>(0x1e8); i++) {
        const u32 at = 0x2d0 + 20 * i;
        map.push_back({zero_page<u64>(at), zero_page<u64>(at + 8), zero_page<u32>(at + 16)});
    }
    const std::vector<Entry> expected{
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xe0000, 0x20000, 2}, {0x100000, 15 * kMiB, 1}};
    EXPECT_EQ(map, expected);
}

TEST_F(BootLinux, initrd_ends_at_the_top_of_ram_and_begins_at_a_page) {
    initrd.assign(5000, 0x42);
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(zero_page<u32>(0x218), 16 * kMiB - 8192);
    EXPECT_EQ(zero_page<u32>(0x21c), 5000u);
    EXPECT_EQ(get<u8>(16 * kMiB - 8192), 0x42);
    EXPECT_EQ(get<u8>(16 * kMiB - 8192 + 4999), 0x42);
}

TEST_F(BootLinux, initrd_stays_below_the_kernels_limit) {
    initrd.assign(kPageSize, 1);
    kernel.initrd_addr_max = 8 * kMiB - 1;
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(zero_page<u32>(0x218), 8 * kMiB - kPageSize);
}

TEST_F(BootLinux, initrd_keeps_out_of_the_room_that_the_kernel_unpacks_in) {
    kernel.init_size = 10 * kMiB;  // 1…11 MiB
    initrd.assign(5 * kMiB, 1);
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(zero_page<u32>(0x218), 11 * kMiB);
    initrd.push_back(1);
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, kernel_that_moves_to_its_preferred_address_needs_its_room_there) {
    kernel.relocatable = 0;
    kernel.pref_address = 10 * kMiB;
    kernel.init_size = 4 * kMiB;
    initrd.assign(2 * kMiB, 1);
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(cpu.eip, 0x100000u);  // it is still entered where it was loaded
    EXPECT_EQ(zero_page<u32>(0x218), 14 * kMiB);
    initrd.push_back(1);
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
    initrd.clear();
    kernel.init_size = 6 * kMiB + 1;
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, relocatable_kernel_moves_to_its_alignment) {
    kernel.kernel_alignment = 8 * kMiB;
    kernel.init_size = 8 * kMiB;
    EXPECT_TRUE(boot(kernel));
    kernel.init_size = 8 * kMiB + 1;
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, hostile_placement_fields_are_refused) {
    kernel.kernel_alignment = 0;
    EXPECT_TRUE(boot(kernel));
    kernel.kernel_alignment = 0xffffffff;
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
    kernel.kernel_alignment = 0x1000;
    kernel.pref_address = ~u64{0};
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, command_line_of_the_kernels_length_is_taken_and_one_more_refused) {
    command_line.assign(kernel.cmdline_size, 'a');
    ASSERT_TRUE(boot(kernel));
    EXPECT_EQ(command_line_in_ram(), command_line);
    command_line += 'a';
    EXPECT_EQ(boot(kernel).error(), Error::bad_value);
}

TEST_F(BootLinux, command_line_must_fit_its_place_whatever_the_kernel_says) {
    kernel.cmdline_size = 0xffffffff;
    command_line.assign(0xffff, 'a');
    EXPECT_TRUE(boot(kernel));
    command_line += 'a';
    EXPECT_EQ(boot(kernel).error(), Error::bad_value);
}

TEST_F(BootLinux, kernel_before_2_06_takes_255_bytes_of_command_line) {
    kernel.version = 0x0205;
    command_line.assign(255, 'a');
    EXPECT_TRUE(boot(kernel));
    command_line += 'a';
    EXPECT_EQ(boot(kernel).error(), Error::bad_value);
}

TEST_F(BootLinux, protocol_2_02_tells_nothing_of_what_the_kernel_needs) {
    kernel.version = 0x0202;
    kernel.init_size = 0xffffffff;  // not a field yet
    kernel.pref_address = ~u64{0};
    EXPECT_TRUE(boot(kernel));
    EXPECT_EQ(cpu.gpr[kEsi], 0x7000u);
}

// boot.rst, "The Kernel Command Line": before 2.02 the zero page is at 0x90000, and the command
// line at an offset from there.
TEST_F(BootLinux, protocol_2_00_finds_its_command_line_the_old_way) {
    for (const u16 version : {0x0200, 0x0201}) {
        kernel.version = version;
        ASSERT_TRUE(boot(kernel)) << version;
        EXPECT_EQ(cpu.eip, 0x100000u);
        EXPECT_EQ(cpu.gpr[kEsi], 0x90000u);
        EXPECT_EQ(get<u16>(0x90020), 0xa33f);
        EXPECT_EQ(reinterpret_cast<const char*>(ram->base() + 0x90000 + get<u16>(0x90022)),
                  command_line);
        EXPECT_EQ(get<u32>(0x90228), 0u);                     // cmd_line_ptr is not a field yet
        EXPECT_EQ(get<u16>(0x90224) != 0, version == 0x201);  // heap_end_ptr came with 2.01
        EXPECT_EQ(get<u16>(0x90002), 15 * 1024);              // memory above 1 MiB, in KiB
        EXPECT_EQ(get<u32>(0x901e0), 15u * 1024);
    }
    kernel.version = 0x01ff;
    EXPECT_EQ(boot(kernel).error(), Error::unknown_kernel);
}

TEST_F(BootLinux, zimage_is_entered_below_640_kib) {
    kernel.load_flags = 0;
    kernel.code = {0x11, 0x22, 0x33};
    for (const u16 version : {0x0200, 0x0204, 0x020f}) {
        kernel.version = version;
        cpu.reset();
        std::memset(ram->base() + 0x1000, 0, 3);
        ASSERT_TRUE(boot(kernel)) << version;
        EXPECT_EQ(cpu.eip, 0x1000u);
        EXPECT_EQ(cpu.gpr[kEsi], 0x90000u);
        EXPECT_TRUE(std::equal(kernel.code.begin(), kernel.code.end(), ram->base() + 0x1000));
        EXPECT_GE(cpu.gdtr.base, 0x90000u);
    }
}

TEST_F(BootLinux, zimage_has_room_up_to_the_zero_page) {
    kernel.load_flags = 0;
    kernel.version = 0x0204;
    kernel.code.assign(0x8f000, 0x90);
    EXPECT_TRUE(boot(kernel));
    kernel.code.push_back(0x90);
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, kernel_for_64_bit_processors_is_refused) {
    auto image = kernel.image();
    image[0x236] = 1;  // XLF_KERNEL_64
    EXPECT_EQ(boot(image).error(), Error::unknown_kernel);
    EXPECT_EQ(describe_image(image), "a Linux image for x86-64");
    kernel.version = 0x020b;
    image = kernel.image();
    image[0x236] = 1;  // not a field yet
    EXPECT_TRUE(boot(image));
}

TEST_F(BootLinux, several_initrds_are_one_with_each_part_at_a_multiple_of_four) {
    const std::vector<u8> one(5, 1), two(7, 2), image = kernel.image();
    ASSERT_TRUE(boot_linux(*ram, cpu,
                           {.kernel = image,
                            .initrds = {{one, "one"}, {{}, "empty"}, {two, "two"}},
                            .command_line = ""}));
    EXPECT_EQ(zero_page<u32>(0x21c), 15u);
    const u32 at = zero_page<u32>(0x218);
    EXPECT_EQ(get<u8>(at + 4), 1);
    EXPECT_EQ(get<u8>(at + 5), 0);
    EXPECT_EQ(get<u8>(at + 7), 0);
    EXPECT_EQ(get<u8>(at + 8), 2);
    EXPECT_EQ(get<u8>(at + 14), 2);
}

TEST_F(BootLinux, image_without_code_is_refused) {
    kernel.code.clear();
    EXPECT_EQ(boot(kernel).error(), Error::unknown_kernel);
    auto image = TinyKernel{.code = {1}}.image();
    image[0x1f1] = 255;  // more setup sectors than there are bytes
    EXPECT_EQ(boot(image).error(), Error::unknown_kernel);
}

TEST_F(BootLinux, every_truncation_and_all_garbage_are_refused) {
    const auto whole = kernel.image();
    for (std::size_t size = 0; size <= 0x400; size++) {
        const std::vector<u8> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_EQ(boot(cut).error(), Error::unknown_kernel) << size;
    }
    EXPECT_EQ(boot(std::vector<u8>(0x2000, 0xff)).error(), Error::unknown_kernel);
    EXPECT_EQ(boot(std::vector<u8>(0x2000, 0)).error(), Error::unknown_kernel);
}

TEST_F(BootLinux, kernel_larger_than_ram_is_refused) {
    kernel.code.assign(15 * kMiB, 0x90);
    EXPECT_TRUE(boot(kernel));
    kernel.code.push_back(0x90);
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, initrd_larger_than_ram_is_refused) {
    initrd.assign(17 * kMiB, 0);
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, machine_of_one_megabyte_has_no_room_for_any_kernel) {
    ram = GuestRam::create(kMiB).value();
    EXPECT_EQ(boot(kernel).error(), Error::image_too_large);
}

TEST_F(BootLinux, failure_leaves_the_cpu_as_it_was) {
    cpu.gpr[kEax] = 0x1234;
    command_line.assign(70000, 'a');
    ASSERT_FALSE(boot(kernel));
    EXPECT_EQ(cpu.eip, 0xfff0u);
    EXPECT_EQ(cpu.gpr[kEax], 0x1234u);
    EXPECT_FALSE(cpu.protected_mode());
}

std::vector<u8> bytes(std::string_view text, std::size_t size = 0) {
    std::vector<u8> v(text.begin(), text.end());
    v.resize(std::max(size, v.size()));
    return v;
}

TEST(DescribeImage, names_what_people_mistake_for_a_kernel) {
    EXPECT_EQ(describe_image({}), "an empty file");
    EXPECT_EQ(describe_image(bytes("\x7f"
                                   "ELF\2\1\1")),
              "a 64-bit ELF file");
    EXPECT_EQ(describe_image(bytes("\x7f"
                                   "ELF\1\1\1")),
              "a 32-bit ELF file");
    EXPECT_EQ(describe_image(bytes("\x7f"
                                   "ELF")),
              "a 32-bit ELF file");  // cut short
    EXPECT_EQ(describe_image(bytes("\x1f\x8b\x08")), "a gzip stream");
    EXPECT_EQ(describe_image(bytes("\xfd"
                                   "7zXZ")),
              "an xz stream");
    EXPECT_EQ(describe_image(bytes("#!/bin/sh\n")), "a script");
    EXPECT_EQ(describe_image(bytes("070701...")), "a cpio archive, as initrds are");
    EXPECT_EQ(describe_image(bytes("MZ")), "an EFI or DOS program");
    EXPECT_EQ(describe_image(bytes("QFI\xfb")), "a qcow2 disk image");
    std::vector<u8> iso(0x9000);
    std::memcpy(&iso[0x8001], "CD001", 5);
    EXPECT_EQ(describe_image(iso), "an ISO 9660 image");
    EXPECT_EQ(describe_image(bytes("hello\n")), "data of no known kind");
    EXPECT_EQ(describe_image(bytes("\x1f")), "data of no known kind");
}

TEST(DescribeImage, names_the_machine_of_an_elf_file) {
    std::vector<u8> elf(52);
    const auto describe = [&](u8 bits, u8 order, u8 type, std::array<u8, 2> machine) {
        std::memcpy(elf.data(),
                    "\x7f"
                    "ELF",
                    4);
        elf[4] = bits, elf[5] = order, elf[16] = type;
        std::copy(machine.begin(), machine.end(), elf.begin() + 18);
        return describe_image(elf);
    };
    EXPECT_EQ(describe(2, 1, 2, {62, 0}), "a 64-bit ELF file for x86-64");
    EXPECT_EQ(describe(1, 1, 2, {40, 0}), "a 32-bit ELF file for ARM");
    EXPECT_EQ(describe(1, 2, 2, {0, 20}), "a 32-bit ELF file for PowerPC");
    EXPECT_EQ(describe(1, 1, 2, {0x77, 0x66}), "a 32-bit ELF file");
    EXPECT_EQ(describe(1, 1, 1, {3, 0}), "a 32-bit ELF file that is not linked");
    EXPECT_EQ(describe(1, 1, 2, {3, 0}), "a 32-bit ELF file that is no kernel");
    EXPECT_EQ(describe(1, 1, 3, {3, 0}), "a 32-bit ELF file that is a program or library");
}

TEST(DescribeImage, tells_a_boot_sector_from_an_old_kernel) {
    auto image = TinyKernel{.code = {1}, .version = 0x01ff}.image();
    EXPECT_EQ(describe_image(image), "a Linux image older than boot protocol 2.00, or cut short");
    image[0x202] = 0;
    EXPECT_EQ(describe_image(image), "a boot sector or disk image");
    image.resize(512);
    EXPECT_EQ(describe_image(image), "a boot sector or disk image");
    image.resize(511);
    EXPECT_EQ(describe_image(image), "data of no known kind");
}

}  // namespace
}  // namespace ennead::vmcore
