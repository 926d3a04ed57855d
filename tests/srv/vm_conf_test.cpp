// SPDX-License-Identifier: MIT
// The settings of a VM: what each takes, how it reads back, and that a bad line changes nothing.
#include "srv/ennead/vm_conf.h"

#include <gtest/gtest.h>

namespace ennead::srv {
namespace {

using synthfs::Fault;

class SettingsTest : public testing::Test {
  protected:
    // 0, or the errno; a refusal must leave everything as it was.
    int apply(std::string_view text) {
        const std::string before = settings.text();
        const auto applied = settings.apply(text);
        if (applied) {
            return 0;
        }
        EXPECT_EQ(settings.text(), before);
        fault = applied.error();
        return fault.errnum;
    }
    // The line of `text()` with that key, without the key.
    [[nodiscard]] std::string line(const std::string& key) const {
        const std::string text = '\n' + settings.text();
        const auto at = text.find('\n' + key + ' ');
        if (at == std::string::npos) {
            return "no such line";
        }
        const auto begin = at + key.size() + 2;
        return text.substr(begin, text.find('\n', begin) - begin);
    }

    Installation installation{"/lib/vm", "/lib/bzImage", "/lib/root", "/lib/bios"};
    Settings settings{installation};
    Fault fault;
};

TEST_F(SettingsTest, defaults_are_every_key_in_order) {
    EXPECT_EQ(settings.text(),
              "mem 128M\ncpus 1\nengine jit\nboot direct\nbios /lib/bios\nbiosdebug off\n"
              "bootmenu choice\nkernel /lib/bzImage\ninitrd ''\n"
              "disk0 ''\ndisk1 ''\ndisk2 ''\ndisk3 ''\n"
              "cmdline ''\nappend ''\nroot /lib/root\n"
              "disklimit 0\niolimit 0 0\ntimeout 0s\nnest 0\ncap 16\n"
              "seed ''\nhostwrite off\n");
    EXPECT_EQ(settings.memory_bytes(), 128u << 20);
    EXPECT_EQ(settings.kernel(), "/lib/bzImage");
    EXPECT_TRUE(settings.initrds().empty());
    EXPECT_EQ(settings.root(), "/lib/root");
}

TEST_F(SettingsTest, memory_is_kept_in_its_shortest_form) {
    EXPECT_EQ(apply("mem 67108864"), 0);
    EXPECT_EQ(line("mem"), "64M");
    EXPECT_EQ(apply("mem 0x4001000"), 0);
    EXPECT_EQ(line("mem"), "65540K");
    EXPECT_EQ(apply("mem 3G"), 0);
    EXPECT_EQ(settings.memory_bytes(), 3ull << 30);
}

TEST_F(SettingsTest, memory_has_bounds_and_is_whole_pages) {
    for (const char* bad : {"mem 1M", "mem 3221229568", "mem 4G", "mem 0", "mem 134217729",
                            "mem 128m", "mem -1", "mem much", "mem 99999999999999999999G"}) {
        EXPECT_NE(apply(bad), 0) << bad;
        EXPECT_EQ(fault.column, 4u) << bad;
        EXPECT_EQ(fault.command, bad);
    }
    EXPECT_EQ(apply("mem 128M 64M"), EINVAL);
    EXPECT_EQ(fault.column, 9u);
}

TEST_F(SettingsTest, one_cpu_only) {
    EXPECT_EQ(apply("cpus 1"), 0);
    EXPECT_EQ(apply("cpus 0x1"), 0);
    EXPECT_EQ(line("cpus"), "1");
    EXPECT_EQ(apply("cpus 2"), EOPNOTSUPP);
    EXPECT_EQ(apply("cpus 0"), EINVAL);
    EXPECT_EQ(apply("cpus one"), EINVAL);
    EXPECT_EQ(fault.column, 5u);
}

TEST_F(SettingsTest, engine_and_boot_have_two_ways_each) {
    EXPECT_EQ(apply("engine interp\nboot direct"), 0);
    EXPECT_EQ(apply("engine jit"), 0);
    EXPECT_EQ(apply("engine steam"), EINVAL);
    EXPECT_EQ(apply("boot bios"), 0);
    EXPECT_TRUE(settings.boots_through_bios());
    EXPECT_EQ(apply("boot direct"), 0);
    EXPECT_FALSE(settings.boots_through_bios());
    EXPECT_EQ(apply("boot net"), EINVAL);
    EXPECT_EQ(fault.column, 5u);
}

TEST_F(SettingsTest, seed_is_a_number_or_none) {
    EXPECT_EQ(settings.seed(), std::nullopt);
    EXPECT_EQ(apply("seed 0"), 0);
    EXPECT_EQ(settings.seed(), 0u);
    EXPECT_EQ(apply("seed 0xffffffffffffffff"), 0);
    EXPECT_EQ(settings.seed(), ~std::uint64_t{0});
    EXPECT_EQ(line("seed"), "18446744073709551615");
    for (const char* bad : {"seed -1", "seed word", "seed 18446744073709551616"}) {
        EXPECT_EQ(apply(bad), EINVAL) << bad;
        EXPECT_EQ(fault.column, 5u) << bad;
    }
    EXPECT_EQ(apply("seed ''"), 0);
    EXPECT_EQ(settings.seed(), std::nullopt);
}

TEST_F(SettingsTest, limits_are_sizes_and_rates) {
    EXPECT_EQ(settings.disk_limit(), 0u);
    EXPECT_EQ(apply("disklimit 1536M\niolimit 500 20M"), 0);
    EXPECT_EQ(settings.disk_limit(), 1536u << 20);
    EXPECT_EQ(settings.io_limit().operations, 500u);
    EXPECT_EQ(settings.io_limit().bytes, 20u << 20);
    EXPECT_EQ(line("iolimit"), "500 20M");
    EXPECT_EQ(apply("iolimit 7"), 0);
    EXPECT_EQ(line("iolimit"), "7 0");
    for (const char* bad : {"disklimit -1", "disklimit 1 2", "disklimit all", "iolimit x",
                            "iolimit 1 x", "iolimit 1 2 3", "iolimit 5M 1"}) {
        EXPECT_EQ(apply(bad), EINVAL) << bad;
    }
    EXPECT_EQ(line("disklimit"), "1536M");
    EXPECT_EQ(apply("disklimit ''\niolimit"), 0);
    EXPECT_EQ(settings.disk_limit(), 0u);
    EXPECT_EQ(line("iolimit"), "0 0");
    EXPECT_TRUE(Settings::is_limit("disklimit") && Settings::is_limit("iolimit"));
    EXPECT_FALSE(Settings::is_limit("mem"));
}

TEST_F(SettingsTest, hostwrite_is_on_or_off) {
    EXPECT_EQ(line("hostwrite"), "off");
    EXPECT_FALSE(settings.host_write());
    EXPECT_EQ(apply("hostwrite on"), 0);
    EXPECT_TRUE(settings.host_write());
    EXPECT_EQ(apply("hostwrite 1"), EINVAL);
    EXPECT_EQ(fault.column, 10u);
    EXPECT_EQ(apply("hostwrite"), 0);
    EXPECT_FALSE(settings.host_write());
}

TEST_F(SettingsTest, paths_are_absolute_and_may_have_blanks) {
    for (const char* key : {"kernel", "initrd", "root", "bios"}) {
        EXPECT_EQ(apply(std::string(key) + " '/srv/my files/x'"), 0);
        EXPECT_EQ(line(key), "'/srv/my files/x'");
        EXPECT_EQ(apply(std::string(key) + " ./x"), EINVAL);
        EXPECT_EQ(apply(std::string(key) + " x"), EINVAL);
        EXPECT_EQ(apply(std::string(key) + " /srv/my files"), EINVAL);  // two words
        EXPECT_EQ(apply(std::string(key) + " /" + std::string(5000, 'x')), ENAMETOOLONG);
    }
    EXPECT_EQ(settings.kernel(), "/srv/my files/x");
}

TEST_F(SettingsTest, timeout_is_a_time_in_its_shortest_form) {
    using namespace std::chrono_literals;
    EXPECT_EQ(settings.timeout(), 0us);
    for (const auto& [written, kept, time] :
         {std::tuple{"90", "90s", 90'000'000us},
          {"1500ms", "1500ms", 1'500'000us},
          {"2000ms", "2s", 2'000'000us},
          {"7us", "7us", 7us},
          {"31536000s", "31536000s", std::chrono::microseconds(8760h)}}) {
        EXPECT_EQ(apply(std::string("timeout ") + written), 0);
        EXPECT_EQ(line("timeout"), kept);
        EXPECT_EQ(settings.timeout(), time);
    }
    for (const char* bad : {"-1", "5m", "1.5", "0x10", "31536001", "99999999999999999999"}) {
        EXPECT_EQ(apply(std::string("timeout ") + bad), EINVAL) << bad;
        EXPECT_EQ(fault.column, 8u) << bad;
    }
    EXPECT_EQ(apply("timeout 5 s"), EINVAL);
    EXPECT_EQ(line("timeout"), "31536000s");
    EXPECT_EQ(apply("timeout"), 0);
    EXPECT_EQ(settings.timeout(), 0us);
}

TEST_F(SettingsTest, switches_of_the_bios) {
    EXPECT_FALSE(settings.bios_debug());
    EXPECT_EQ(apply("biosdebug on\nbootmenu on"), 0);
    EXPECT_TRUE(settings.bios_debug());
    EXPECT_EQ(settings.boot_menu(), "on");
    EXPECT_EQ(apply("bootmenu off"), 0);
    EXPECT_EQ(apply("biosdebug yes"), EINVAL);
    EXPECT_EQ(fault.column, 10u);
    EXPECT_EQ(apply("bootmenu 5"), EINVAL);
    EXPECT_EQ(apply("biosdebug\nbootmenu"), 0);
    EXPECT_EQ(line("biosdebug"), "off");
    EXPECT_EQ(line("bootmenu"), "choice");
}

TEST_F(SettingsTest, disk_is_a_path_and_perhaps_rw) {
    EXPECT_EQ(apply("disk0 '/a b'\ndisk3 /c rw"), 0);
    EXPECT_EQ(line("disk0"), "'/a b'");
    EXPECT_EQ(line("disk3"), "/c rw");
    const auto disks = settings.disks();
    ASSERT_EQ(disks.size(), 2u);
    EXPECT_EQ(disks[0].path, "/a b");
    EXPECT_FALSE(disks[0].written_through);
    EXPECT_EQ(disks[1].number, 3u);
    EXPECT_TRUE(disks[1].written_through);
    Settings other = settings;
    EXPECT_TRUE(other.apply(settings.text()));
    EXPECT_EQ(other.text(), settings.text());
    EXPECT_EQ(apply("disk0 a"), EINVAL);
    EXPECT_EQ(apply("disk0 /a ro"), EINVAL);
    EXPECT_EQ(apply("disk0 /a rw rw"), EINVAL);
    EXPECT_EQ(apply("disk4 /a"), EINVAL);
    EXPECT_EQ(apply("disk0 ''\ndisk3"), 0);
    EXPECT_TRUE(settings.disks().empty());
    EXPECT_TRUE(settings.has_default_kernel());
    EXPECT_EQ(apply("kernel /other"), 0);
    EXPECT_FALSE(settings.has_default_kernel());
}

TEST_F(SettingsTest, initrd_is_a_list_of_paths) {
    EXPECT_EQ(apply("initrd /a '/b c' '/it''s'"), 0);
    EXPECT_EQ(line("initrd"), "/a '/b c' '/it''s'");
    EXPECT_EQ(settings.initrds(), (std::vector<std::string>{"/a", "/b c", "/it's"}));
    Settings other(installation);
    ASSERT_TRUE(other.apply(settings.text()));
    EXPECT_EQ(other.initrds(), settings.initrds());
    EXPECT_EQ(apply("initrd /a b"), EINVAL);
    EXPECT_EQ(fault.column, 10u);
    EXPECT_EQ(apply("initrd /a ''"), EINVAL);
    std::string many = "initrd";
    for (int i = 0; i < 16; i++) {
        many += " /" + std::to_string(i);
    }
    EXPECT_EQ(apply(many), 0);
    EXPECT_EQ(apply(many + " /16"), EINVAL);
    EXPECT_EQ(apply("initrd"), 0);
    EXPECT_EQ(line("initrd"), "''");
}

TEST_F(SettingsTest, empty_value_restores_the_default) {
    ASSERT_EQ(apply("mem 64M\nkernel /k\ninitrd /i\nroot /r\ncmdline a\nappend b"), 0);
    EXPECT_EQ(apply("mem\nkernel ''\ninitrd\nroot ''\ncmdline ''\nappend"), 0);
    EXPECT_EQ(settings.text(), Settings(installation).text());
}

TEST_F(SettingsTest, unknown_key_points_at_itself) {
    EXPECT_EQ(apply("mem 64M\n  colour red\n"), EINVAL);
    EXPECT_EQ(fault.command, "  colour red");
    EXPECT_EQ(fault.column, 2u);
}

TEST_F(SettingsTest, one_bad_line_spoils_them_all) {
    EXPECT_EQ(apply("mem 64M\nkernel /k\ncpus 2\n"), EOPNOTSUPP);
    EXPECT_EQ(apply("mem 64M\ncmdline 'open\n"), EINVAL);
    EXPECT_EQ(settings.memory_bytes(), 128u << 20);
}

TEST_F(SettingsTest, comments_and_blank_lines_are_nothing) {
    EXPECT_EQ(apply("# a machine\n\n  \nmem 64M\n"), 0);
    EXPECT_EQ(settings.memory_bytes(), 64u << 20);
    EXPECT_EQ(apply(""), 0);
}

TEST_F(SettingsTest, last_line_of_a_key_wins) {
    EXPECT_EQ(apply("mem 64M\nmem 32M\n"), 0);
    EXPECT_EQ(settings.memory_bytes(), 32u << 20);
}

TEST_F(SettingsTest, text_reads_back_as_the_same_machine) {
    ASSERT_EQ(apply("mem 96M\nkernel '/a b/it''s'\ninitrd /i\nroot /r\n"
                    "cmdline 'root=x  y=\"1 2\"'\nappend # not a comment\n"),
              0);
    Settings other({"", "/other", "/other", "/other"});
    ASSERT_TRUE(other.apply(settings.text()));
    EXPECT_EQ(other.text(), settings.text());
    EXPECT_EQ(other.command_line(1), "root=x  y=\"1 2\"");
}

TEST_F(SettingsTest, command_line_takes_the_rest_of_its_line) {
    EXPECT_EQ(apply("cmdline console=ttyS0   quiet"), 0);
    EXPECT_EQ(settings.command_line(3), "console=ttyS0 quiet");
    EXPECT_EQ(line("cmdline"), "'console=ttyS0 quiet'");
    EXPECT_EQ(apply("cmdline 'console=ttyS0   quiet'"), 0);
    EXPECT_EQ(settings.command_line(3), "console=ttyS0   quiet");
}

TEST_F(SettingsTest, command_line_has_a_limit) {
    EXPECT_EQ(apply("cmdline " + std::string(2047, 'a')), 0);
    EXPECT_EQ(apply("cmdline " + std::string(2048, 'a')), EINVAL);
    EXPECT_EQ(fault.column, 8u);
    EXPECT_EQ(apply("append " + std::string(2048, 'a')), EINVAL);
}

TEST_F(SettingsTest, default_command_line_names_the_vm_and_takes_additions) {
    const std::string plain = settings.command_line(12);
    EXPECT_TRUE(plain.ends_with(" ennead.vm=12")) << plain;
    EXPECT_NE(plain.find("rootfstype=9p"), std::string::npos);
    EXPECT_NE(plain.find(",locktimeout=1 "), std::string::npos);  // not half a minute
    EXPECT_EQ(apply("append quiet loglevel=3"), 0);
    EXPECT_EQ(settings.command_line(12), plain + " quiet loglevel=3");
    EXPECT_EQ(apply("cmdline whole"), 0);
    EXPECT_EQ(settings.command_line(12), "whole");  // append is for the default one
}

TEST_F(SettingsTest, copies_are_values_of_their_own) {
    Settings copy = settings;
    ASSERT_TRUE(copy.apply("mem 64M"));
    EXPECT_EQ(settings.memory_bytes(), 128u << 20);
}

TEST(Installation, finds_its_files_together) {
    const Installation here = Installation::find();
    EXPECT_TRUE(here.vm_program.ends_with("/ennead-vm"));
    EXPECT_EQ(here.vm_program.front(), '/');
    EXPECT_TRUE(here.kernel.ends_with("/bzImage"));
    EXPECT_TRUE(here.root.ends_with("/root"));
}

}  // namespace
}  // namespace ennead::srv
