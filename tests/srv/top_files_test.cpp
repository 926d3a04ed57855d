// SPDX-License-Identifier: MIT
// Settings of new VMs, limits, and the texts at the top: through their files, without a mount.
#include "srv/ennead/top_dir.h"

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

TEST_F(Tree, new_takes_settings) {
    const auto opened = open(file("new"), O_RDWR);
    EXPECT_EQ(write(opened.handle, "mem=64M 'append=quiet loglevel=3'\n"), 0);
    EXPECT_EQ(read(opened.handle), "1\n");
    EXPECT_NE(cat("1/conf").find("mem 64M\n"), std::string::npos);
    EXPECT_NE(cat("1/conf").find("append 'quiet loglevel=3'\n"), std::string::npos);
    EXPECT_EQ(make(), "2");
    EXPECT_NE(cat("2/conf").find("mem 128M\n"), std::string::npos);
}

TEST_F(Tree, new_with_a_bad_setting_makes_nothing) {
    const auto opened = open(file("new"), O_RDWR);
    EXPECT_EQ(write(opened.handle, "mem=64M cpus=2\n"), EOPNOTSUPP);
    EXPECT_NE(cat("error").find("a VM has one CPU"), std::string::npos);
    EXPECT_EQ(write(opened.handle, "colour=red\n"), EINVAL);
    EXPECT_EQ(read(opened.handle), "errno 22");
    EXPECT_EQ(cat("status"), "");
}

TEST_F(Tree, conf_at_the_top_is_for_new_vms) {
    EXPECT_EQ(echo("mem 64M", "conf"), 0);
    EXPECT_EQ(echo("cpus 2", "conf"), EOPNOTSUPP);
    EXPECT_NE(cat("conf").find("mem 64M\n"), std::string::npos);
    make();
    EXPECT_EQ(cat("1/conf"), cat("conf"));
    EXPECT_EQ(echo("mem", "conf"), 0);
    EXPECT_NE(cat("1/conf").find("mem 64M\n"), std::string::npos);
}

TEST_F(Tree, ctl_at_the_top_gives_lines_that_set_it_again) {
    EXPECT_EQ(echo("cap 7\nreap 1500ms\ndefault mem 64M\ndefault append 'a  b' c", "ctl"), 0);
    const std::string lines = cat("ctl");
    EXPECT_EQ(lines.find("cap 7\nreap 1500ms\ndefault mem 64M\n"), 0u) << lines;
    EXPECT_NE(lines.find("\ndefault append 'a  b c'\n"), std::string::npos) << lines;
    EXPECT_EQ(cat(make() + "/conf").find("mem 64M\n"), 0u);
    EXPECT_EQ(echo("cap 8\nreap 0\ndefault mem\ndefault append", "ctl"), 0);
    EXPECT_EQ(cat("ctl").find("cap 8\nreap 0s\ndefault mem 128M\n"), 0u) << cat("ctl");
    EXPECT_EQ(LoopTest::echo(file("ctl"), lines), 0) << cat("error");
    EXPECT_EQ(cat("ctl"), lines);
}

TEST_F(Tree, bad_limits_are_refused_with_a_caret_and_set_nothing) {
    const std::string before = cat("ctl");
    for (const auto& [bad, caret] : {std::pair{"cap", 3},
                                     {"cap -1", 4},
                                     {"cap 1000001", 4},
                                     {"cap x", 4},
                                     {"reap", 4},
                                     {"reap 0x5", 5},
                                     {"reap 5m", 5},
                                     {"reap 31536001", 5},
                                     {"default", 7},
                                     {"default nonesuch 1", 8},
                                     {"default mem 1", 12},
                                     {"default kernel some/path", 15}}) {
        EXPECT_EQ(echo(std::string("cap 3\n") + bad, "ctl"), EINVAL) << bad;
        EXPECT_EQ(cat("ctl"), before) << bad;
        const std::string told =
            std::string("    ") + bad + "\n    " + std::string(caret, ' ') + "^\n";
        EXPECT_TRUE(cat("error").ends_with(told)) << cat("error") << "is not\n" << told;
    }
    EXPECT_EQ(echo("cap 1 2", "ctl"), EINVAL);
    EXPECT_EQ(cat("ctl"), before);
}

TEST_F(Tree, conf_of_one_vm_makes_another_like_it) {
    make();
    make();
    EXPECT_EQ(echo("set mem 96M\nset append a 'b  c'", "1/ctl"), 0);
    EXPECT_EQ(echo(cat("1/conf"), "2/conf"), 0);
    EXPECT_EQ(cat("2/conf"), cat("1/conf"));
}

TEST_F(Tree, set_is_checked_before_anything_is_set) {
    make();
    const std::string before = cat("1/conf");
    EXPECT_EQ(echo("set mem 64M\nset mem 1M", "1/ctl"), EINVAL);
    EXPECT_EQ(echo("set mem 64M\nset", "1/ctl"), EINVAL);
    EXPECT_EQ(echo("mem 64M\nnothing 1", "1/conf"), EINVAL);
    EXPECT_EQ(cat("1/conf"), before);
    EXPECT_NE(cat("1/error").find("nothing 1"), std::string::npos);
}

TEST_F(Tree, unknown_verbs_are_refused_and_told) {
    make();
    EXPECT_EQ(echo("fly", "1/ctl"), EINVAL);
    EXPECT_EQ(echo("start now", "1/ctl"), EINVAL);
    EXPECT_NE(cat("1/error").find("fly"), std::string::npos);
    EXPECT_EQ(echo("fly", "ctl"), EINVAL);
    EXPECT_NE(cat("error").find("fly"), std::string::npos);
    EXPECT_EQ(quits, 0);
    EXPECT_EQ(echo("quit", "ctl"), 0);
    EXPECT_EQ(quits, 1);
}

TEST_F(Tree, fixed_texts_are_there) {
    EXPECT_EQ(cat("version"), "ennead " ENNEAD_VERSION "\ntree 1\n");
    EXPECT_EQ(cat("help"), help_text());
    EXPECT_EQ(cat("error"), "");
    EXPECT_EQ(cat("ctl").find("cap 1024\nreap 60s\ndefault mem 128M\n"), 0u) << cat("ctl");
}

}  // namespace
}  // namespace ennead::srv::test
