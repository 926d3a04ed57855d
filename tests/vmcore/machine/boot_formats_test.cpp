// SPDX-License-Identifier: MIT
// Kernels that are no Linux images: ELF files and multiboot, and how the formats are told apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/vmcore/machine/tiny_elf.h"
#include "tests/vmcore/machine/tiny_kernel.h"
#include "vmcore/machine/boot.h"

namespace ennead::vmcore {
namespace {

using test::multiboot_header;
using test::TinyElf;

constexpr u32 kMiB = 1u << 20;

class BootFormats : public testing::Test {
  protected:
    BootFormats() { cpu.reset(); }

    Result<> boot(const std::vector<u8>& kernel) {
        return boot_kernel(*ram, cpu,
                           {.kernel = kernel,
                            .initrds = modules,
                            .command_line = "one two",
                            .rsdp = PhysAddr{0xe0000}});
    }
    template <class T = u32>
    [[nodiscard]] T get(u64 at) {
        T value;
        std::memcpy(&value, ram->base() + at, sizeof value);
        return value;
    }
    [[nodiscard]] std::string text(u32 at) {
        return reinterpret_cast<const char*>(ram->base() + at);
    }
    // A field of the multiboot information.
    [[nodiscard]] u32 info(u32 field) { return get(cpu.gpr[kEbx] + field); }

    std::unique_ptr<GuestRam> ram = GuestRam::create(16 * kMiB).value();
    CpuState cpu;
    std::vector<BootModule> modules;
};

TEST_F(BootFormats, elf_segments_go_to_their_physical_addresses) {
    std::memset(ram->base() + 2 * kMiB, 0xff, 64);
    const TinyElf elf{.segments = {{0xc0100000, kMiB, {1, 2, 3}, 0},
                                   {0xc0200000, 2 * kMiB, {4, 5}, 16},
                                   {0, 0x9fffffff, {9}, 0, 4}},  // a note, which is not loaded
                      .entry = kMiB + 1};
    EXPECT_EQ(kernel_format(elf.image()), KernelFormat::elf);
    ASSERT_TRUE(boot(elf.image()));
    EXPECT_EQ(get(kMiB), 0x030201u);
    EXPECT_EQ(get(2 * kMiB), 0x0504u);
    EXPECT_EQ(get(2 * kMiB + 12), 0u);
    EXPECT_EQ(get(2 * kMiB + 16), 0xffffffffu);
    EXPECT_EQ(cpu.eip, kMiB + 1);
}

TEST_F(BootFormats, elf_entry_may_be_a_virtual_address) {
    const TinyElf elf{.segments = {{0xc0100000, kMiB, {1, 2, 3}, 0}}, .entry = 0xc0100002};
    ASSERT_TRUE(boot(elf.image()));
    EXPECT_EQ(cpu.eip, kMiB + 2);
    TinyElf outside = elf;
    outside.entry = 0xc0100003;
    EXPECT_EQ(boot(outside.image()).error(), Error::unknown_kernel);
}

TEST_F(BootFormats, elf_kernel_gets_a_zero_page_as_linux_does) {
    const std::vector<u8> initrd(100, 7);
    modules = {{initrd, "initrd"}};
    ASSERT_TRUE(boot(TinyElf{.segments = {{kMiB, kMiB, {0xf4}}}}.image()));
    const u32 page = cpu.gpr[kEsi];
    EXPECT_EQ(get<u16>(page + 0x1fe), 0xaa55);
    EXPECT_EQ(std::memcmp(ram->base() + page + 0x202, "HdrS", 4), 0);
    EXPECT_EQ(text(get(page + 0x228)), "one two");
    EXPECT_EQ(get(page + 0x218), 16 * kMiB - 4096);
    EXPECT_EQ(get(page + 0x21c), 100u);
    EXPECT_EQ(get<u8>(page + 0x1e8), 4);
    EXPECT_EQ(cpu.segment(Seg::cs).attr, 0xc09b);
    EXPECT_TRUE(cpu.protected_mode());
}

TEST_F(BootFormats, elf_kernel_may_lie_where_the_zero_page_would) {
    const TinyElf elf{.segments = {{0x7000, 0x7000, std::vector<u8>(4096, 0x5a)}}, .entry = 0x7000};
    ASSERT_TRUE(boot(elf.image()));
    EXPECT_EQ(get(0x7000), 0x5a5a5a5au);
    EXPECT_GE(cpu.gpr[kEsi], 0x90000u);
}

TEST_F(BootFormats, elf_that_does_not_fit_or_is_damaged_is_refused) {
    const auto error = [this](const TinyElf& elf) { return boot(elf.image()).error(); };
    const std::vector<u8> code{0xf4};
    EXPECT_EQ(error({.segments = {{kMiB, 16 * kMiB, code}}}), Error::image_too_large);
    EXPECT_EQ(error({.segments = {{kMiB, kMiB, code, 15 * kMiB + 1}}}), Error::image_too_large);
    EXPECT_EQ(error({.segments = {{kMiB, 0xffffffff, code, 0xffffffff}}}), Error::image_too_large);
    // The hole between 640 KiB and 1 MiB.
    EXPECT_EQ(error({.segments = {{0xb8000, 0xb8000, code}}}), Error::image_too_large);
    EXPECT_EQ(error({.segments = {{0x9ffff, 0x9ffff, code, 2}}}), Error::image_too_large);
    EXPECT_EQ(error({.segments = {}}), Error::unknown_kernel);
    EXPECT_EQ(error({.segments = {{kMiB, kMiB, code, 0, 2}}}), Error::unknown_kernel);
    EXPECT_EQ(error({.segments = {{kMiB, kMiB, code}, {0, 0, code, 0, 3}}}),  // PT_INTERP
              Error::unknown_kernel);
    EXPECT_EQ(error({.segments = {{kMiB, kMiB, code}}, .type = 3}), Error::unknown_kernel);
    EXPECT_EQ(error({.segments = {{kMiB, kMiB, code}}, .machine = 62}), Error::unknown_kernel);
    const auto whole = TinyElf{.segments = {{kMiB, kMiB, code}}}.image();
    for (std::size_t size = 0; size < whole.size(); size++) {
        const std::vector<u8> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_EQ(boot(cut).error(), Error::unknown_kernel) << size;
    }
    for (const u32 at : {28u, 42u, 44u, 56u, 68u}) {  // offsets and sizes that lead outside
        auto bad = whole;
        bad[at] = bad[at + 1] = 0xff;
        EXPECT_FALSE(boot(bad)) << at;
    }
    EXPECT_EQ(cpu.eip, 0xfff0u);
    EXPECT_FALSE(cpu.protected_mode());
}

// Multiboot 0.6.96, §3.2 and §3.3.
TEST_F(BootFormats, multiboot_kernel_gets_the_machine_and_the_information_it_is_promised) {
    auto code = multiboot_header(3);
    code.push_back(0xf4);
    const TinyElf elf{.segments = {{kMiB, kMiB, code}}, .entry = kMiB + 12};
    EXPECT_EQ(kernel_format(elf.image()), KernelFormat::multiboot);
    ASSERT_TRUE(boot(elf.image()));
    EXPECT_EQ(cpu.eip, kMiB + 12);
    EXPECT_EQ(cpu.gpr[kEax], 0x2badb002u);
    EXPECT_TRUE(cpu.cr0 & cr0::kPe);
    EXPECT_FALSE(cpu.cr0 & cr0::kPg);
    EXPECT_EQ(cpu.eflags, eflags::kFixed);
    EXPECT_EQ(cpu.segment(Seg::cs).attr, 0xc09b);
    EXPECT_EQ(cpu.segment(Seg::ds).attr, 0xc093);
    EXPECT_EQ(info(0), 1u << 0 | 1u << 2 | 1u << 6 | 1u << 9);
    EXPECT_EQ(info(4), 639u);
    EXPECT_EQ(info(8), 15u * 1024);
    EXPECT_EQ(text(info(16)), "one two");
    EXPECT_EQ(text(info(64)), "Ennead");
    EXPECT_EQ(info(44), 4u * 24);
    const u32 map = info(48);
    EXPECT_EQ(get(map), 20u);
    EXPECT_EQ(get<u64>(map + 4), 0u);
    EXPECT_EQ(get<u64>(map + 12), 0x9fc00u);
    EXPECT_EQ(get(map + 20), 1u);
    EXPECT_EQ(get<u64>(map + 72 + 4), kMiB);
    EXPECT_EQ(get<u64>(map + 72 + 12), 15u * kMiB);
    // All of it in memory that is the kernel's to reuse; the GDT comes last.
    EXPECT_LT(cpu.gpr[kEbx], cpu.gdtr.base);
    EXPECT_LE(cpu.gdtr.base + cpu.gdtr.limit + 1, 0x9fc00u);
}

TEST_F(BootFormats, multiboot_modules_follow_the_kernel_at_pages) {
    const std::vector<u8> one(5000, 1), two(3, 2);
    modules = {{one, "one"}, {two, "it's two"}};
    ASSERT_TRUE(boot(TinyElf{.segments = {{kMiB, kMiB, multiboot_header(0), 0x1234}}}.image()));
    EXPECT_TRUE(info(0) & 1u << 3);
    ASSERT_EQ(info(20), 2u);
    const u32 list = info(24);
    EXPECT_EQ(get(list), 0x102000u);
    EXPECT_EQ(get(list + 4), 0x102000u + 5000);
    EXPECT_EQ(text(get(list + 8)), "one");
    EXPECT_EQ(get(list + 16), 0x104000u);
    EXPECT_EQ(get(list + 20), 0x104003u);
    EXPECT_EQ(text(get(list + 24)), "it's two");
    EXPECT_EQ(get<u8>(0x102000 + 4999), 1);
    EXPECT_EQ(get<u8>(0x104002), 2);
    const std::vector<u8> much(15 * kMiB, 3);
    modules = {{much, "much"}};
    EXPECT_EQ(
        boot(TinyElf{.segments = {{kMiB, kMiB, multiboot_header(0), 0x1234}}}.image()).error(),
        Error::image_too_large);
}

TEST_F(BootFormats, multiboot_header_with_addresses_needs_no_elf) {
    std::vector<u8> image(20, 0x11);  // not loaded: before load_addr
    const u32 header = 2 * kMiB + 4;
    const auto h =
        multiboot_header(1u << 16, {header, 2 * kMiB, 2 * kMiB + 40, 2 * kMiB + 64, 2 * kMiB + 36});
    image.insert(image.end(), {0x22, 0x22, 0x22, 0x22});
    image.insert(image.end(), h.begin(), h.end());
    image.insert(image.end(), 100, 0x33);
    std::memset(ram->base() + 2 * kMiB, 0xff, 128);
    EXPECT_EQ(kernel_format(image), KernelFormat::multiboot);
    ASSERT_TRUE(boot(image));
    EXPECT_EQ(get(2 * kMiB), 0x22222222u);
    EXPECT_EQ(get(header), 0x1badb002u);
    EXPECT_EQ(get(2 * kMiB + 36), 0x33333333u);
    EXPECT_EQ(get(2 * kMiB + 40), 0u);  // load_end_addr: zeros up to bss_end_addr
    EXPECT_EQ(get(2 * kMiB + 60), 0u);
    EXPECT_EQ(get(2 * kMiB + 64), 0xffffffffu);
    EXPECT_EQ(cpu.eip, 2 * kMiB + 36);
}

TEST_F(BootFormats, multiboot_addresses_of_zero_mean_the_whole_file_and_no_bss) {
    auto image = multiboot_header(1u << 16, {kMiB, kMiB, 0, 0, kMiB + 32});
    image.insert(image.end(), 10, 0x44);
    ASSERT_TRUE(boot(image));
    EXPECT_EQ(get<u8>(kMiB + 41), 0x44);
}

TEST_F(BootFormats, multiboot_information_stays_clear_of_a_kernel_in_low_memory) {
    auto image = multiboot_header(1u << 16, {0x10000, 0x10000, 0, 0x9fc00, 0x10020});
    ASSERT_TRUE(boot(image));
    EXPECT_GE(cpu.gpr[kEbx], kMiB);
    EXPECT_EQ(text(info(16)), "one two");
}

TEST_F(BootFormats, multiboot_header_that_leads_astray_is_refused) {
    const u32 flag = 1u << 16;
    const auto error = [this](const std::vector<u8>& image) { return boot(image).error(); };
    EXPECT_EQ(error(multiboot_header(flag, {kMiB - 1, kMiB, 0, 0, kMiB})), Error::unknown_kernel);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB + 4, kMiB, 0, 0, kMiB})), Error::unknown_kernel);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB, kMiB, kMiB + 33, 0, kMiB})),
              Error::unknown_kernel);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB, kMiB, kMiB - 1, 0, kMiB})),
              Error::unknown_kernel);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB, kMiB, 0, kMiB - 1, kMiB})),
              Error::unknown_kernel);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB, kMiB, 0, 0xffffffff, kMiB})),
              Error::image_too_large);
    EXPECT_EQ(error(multiboot_header(flag, {~0u, ~0u, 0, 0, 0})), Error::image_too_large);
    EXPECT_EQ(error(multiboot_header(flag, {kMiB, kMiB, 0})), Error::unknown_kernel);  // cut
    EXPECT_EQ(error(multiboot_header(0)), Error::unknown_kernel);  // neither addresses nor ELF
    EXPECT_EQ(error(multiboot_header(flag | 8, {kMiB, kMiB, 0, 0, kMiB})),  // not defined
              Error::unknown_kernel);
}

TEST_F(BootFormats, multiboot_header_is_looked_for_in_8_kib_at_multiples_of_four) {
    const auto image = [](std::size_t before) {
        std::vector<u8> bytes(before, 0);
        const auto at = kMiB + static_cast<u32>(before);
        const auto h = multiboot_header(1u << 16, {at, kMiB, 0, 0, kMiB});
        bytes.insert(bytes.end(), h.begin(), h.end());
        return bytes;
    };
    EXPECT_EQ(kernel_format(image(8192 - 32)), KernelFormat::multiboot);
    EXPECT_EQ(kernel_format(image(8192 - 28)), KernelFormat::unknown);
    EXPECT_EQ(kernel_format(image(6)), KernelFormat::unknown);
}

TEST_F(BootFormats, linux_image_is_taken_for_one_first) {
    auto image = test::TinyKernel{.code = {1}}.image();
    const auto h = multiboot_header(1u << 16, {kMiB, kMiB, 0, 0, kMiB});
    std::copy(h.begin(), h.end(), image.begin());
    EXPECT_EQ(kernel_format(image), KernelFormat::linux);
}

TEST_F(BootFormats, what_is_no_kernel_is_refused) {
    EXPECT_EQ(boot({}).error(), Error::unknown_kernel);
    EXPECT_EQ(boot(std::vector<u8>(100'000, 0xff)).error(), Error::unknown_kernel);
    EXPECT_EQ(kernel_format(std::vector<u8>(512)), KernelFormat::unknown);
}

}  // namespace
}  // namespace ennead::vmcore
