// SPDX-License-Identifier: MIT
// The start message travels as text and comes out the same, or not at all.
#include "srv/common/start_message.h"

#include <gtest/gtest.h>

namespace ennead::srv {
namespace {

StartMessage full() {
    StartMessage message;
    message.vm = 7;
    message.engine = "interp";
    message.memory_bytes = 3ull << 30;
    message.command_line = "console=hvc0  'quoted' it's init=/init";
    message.kernel_fd = 5;
    message.bios_fd = 12;
    message.boot_menu = "off";
    message.bios_debug = true;
    message.limits_fd = 17;
    message.seed = ~std::uint64_t{0};
    message.initrds = {{6, "initrd.gz"}, {11, "it's a module"}};
    message.disks = {{0, 13, 14, 15}, {3, 16}};
    message.disks_first = true;
    return message;
}

void expect_same(const StartMessage& a, const StartMessage& b) {
    EXPECT_EQ(a.vm, b.vm);
    EXPECT_EQ(a.memory_bytes, b.memory_bytes);
    EXPECT_EQ(a.engine, b.engine);
    EXPECT_EQ(a.command_line, b.command_line);
    EXPECT_EQ(a.kernel_fd, b.kernel_fd);
    EXPECT_EQ(a.bios_fd, b.bios_fd);
    EXPECT_EQ(a.boot_menu, b.boot_menu);
    EXPECT_EQ(a.bios_debug, b.bios_debug);
    EXPECT_EQ(a.limits_fd, b.limits_fd);
    EXPECT_EQ(a.seed, b.seed);
    EXPECT_EQ(a.initrds, b.initrds);
    EXPECT_EQ(a.disks, b.disks);
    EXPECT_EQ(a.disks_first, b.disks_first);
}

int refusal(std::string_view text) {
    const auto decoded = StartMessage::decode(text);
    return decoded ? 0 : decoded.error().errnum;
}

TEST(StartMessage, comes_out_as_it_went_in) {
    const auto decoded = StartMessage::decode(full().encode());
    ASSERT_TRUE(decoded);
    expect_same(decoded.value(), full());
}

TEST(StartMessage, without_an_initrd_and_with_an_empty_command_line) {
    StartMessage message = full();
    message.initrds.clear();
    message.command_line.clear();
    const auto decoded = StartMessage::decode(message.encode());
    ASSERT_TRUE(decoded);
    expect_same(decoded.value(), message);
}

TEST(StartMessage, is_lines_of_key_and_value) {
    StartMessage message = full();
    message.command_line = "a b";
    EXPECT_EQ(message.encode(),
              "vm 7\nmem 3221225472\nengine interp\ncmdline 'a b'\n"
              "bios 12\nbootmenu off\nbiosdebug on\nlimits 17\nseed 18446744073709551615\n"
              "initrd 6 initrd.gz\ninitrd 11 'it''s a module'\n"
              "disk 0 13 14 15\ndisk 3 16\nbootfirst disks\n"
              "kernel 5\n");
}

TEST(StartMessage, what_a_vm_cannot_do_without_is_needed) {
    EXPECT_EQ(refusal("kernel 5\n"), 0);
    EXPECT_EQ(refusal("vm 7\nmem 3221225472\n"), EINVAL);
    EXPECT_EQ(refusal(""), EINVAL);
}

TEST(StartMessage, what_it_does_not_know_is_refused) {
    const std::string good = full().encode();
    for (const char* line : {"disk 5\n",
                             "disk 4 5\n",
                             "disk 0 5 6\n",
                             "disks 5\n",
                             "kernel\n",
                             "initrd 5\n",
                             "initrd x y\n",
                             "kernel 5 6\n",
                             "kernel five\n",
                             "kernel -1\n",
                             "kernel 2147483648\n",
                             "bios 4294967301\n",
                             "bootmenu maybe\n",
                             "biosdebug choice\n",
                             "bios x\n",
                             "seed x\n",
                             "limits x\n",
                             "vm 4294967296\n",
                             "mem 18446744073709551616\n",
                             "mem 128M\n",
                             "cmdline 'open\n"}) {
        EXPECT_EQ(refusal(good + line), EINVAL) << line;
    }
}

TEST(StartMessage, every_cut_is_refused_or_says_less) {
    const std::string whole = full().encode();
    for (std::size_t size = 0; size + 4 < whole.size(); size++) {
        EXPECT_EQ(refusal(whole.substr(0, size)), EINVAL) << size;  // `kernel` is the last line
    }
}

}  // namespace
}  // namespace ennead::srv
