// SPDX-License-Identifier: MIT
// `ns`, and `bind` in `ctl`: of a VM that is off, and of one that runs.
#include "srv/ennead/vm_dir.h"

#include <csignal>

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;
using synthfs::NodePtr;

TEST_F(Tree, ns_takes_lines_and_prints_them) {
    make();
    const std::string base = scratch.path() + "/root";
    const std::string first = "bind -o " + base + " /\n";
    fs::create_directory(scratch.path() + "/src");
    EXPECT_EQ(cat("1/ns"), first);
    EXPECT_EQ(echo("bind " + scratch.path() + "/src /x", "1/ctl"), 0);
    EXPECT_EQ(cat("1/ns"), first + "bind " + scratch.path() + "/src /x\n");
    // O_TRUNC replaces, O_APPEND adds.
    EXPECT_EQ(synthfs::test::write_once(file("1/ns"), "bind -r " + scratch.path() + "/src /y\n",
                                        O_WRONLY | O_APPEND),
              0);
    EXPECT_EQ(echo("bind '#ram' /z", "1/ns"), 0);
    EXPECT_EQ(cat("1/ns"), first + "bind '#ram' /z\n");
    EXPECT_EQ(echo("unbind /z", "1/ctl"), 0);
    EXPECT_EQ(cat("1/ns"), first);
    // The default root follows its setting.
    EXPECT_EQ(echo("root " + scratch.path() + "/src", "1/conf"), 0);
    EXPECT_EQ(cat("1/ns"), "bind -o " + scratch.path() + "/src /\n");
}

TEST_F(Tree, a_refused_bind_is_told_and_changes_nothing) {
    make();
    const std::string before = cat("1/ns");
    for (const auto& [line, errnum] : {std::pair{"bind /nonexistent /x", ENOENT},
                                       {"bind /dev/null /x", ENOTDIR},
                                       {"bind relative /x", EINVAL},
                                       {"bind -ab / /x", EINVAL},
                                       {"bind -o '#vm' /x", EOPNOTSUPP},
                                       {"bind n/host /x", ENOENT},
                                       {"unbind /x", ENOENT},
                                       {"unbind /", EBUSY},
                                       {"nonsense", EINVAL}}) {
        EXPECT_EQ(echo(line, "1/ns"), errnum) << line;
        EXPECT_EQ(echo(std::string("bind '#ram' /first\n") + line, "1/ns"), errnum) << line;
        EXPECT_NE(cat("1/error").find(line), std::string::npos) << line << cat("1/error");
        EXPECT_EQ(echo(line, "1/ctl"), errnum) << line;
        EXPECT_EQ(cat("1/ns"), before) << line;
    }
}

TEST_F(RealVm, a_machine_that_runs_takes_binds_and_shows_its_tree) {
    scratch.file("root/hosts", "of the base");
    fs::create_directory(scratch.path() + "/src");
    scratch.file("src/one", "one");
    EXPECT_EQ(file("1/root"), nullptr);
    ASSERT_EQ(echo("bind " + scratch.path() + "/src /x", "1/ctl"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const auto look = [&](const std::string& path) { return cat_in(file("1/root"), path); };
    EXPECT_EQ(look("hosts"), "of the base");
    EXPECT_EQ(look("x/one"), "one");
    EXPECT_EQ(echo("bind '#ram' /y", "1/ctl"), 0);
    EXPECT_EQ(look("y"), "errno " + std::to_string(EISDIR));
    EXPECT_EQ(echo("bind '#ram' /hosts", "1/ctl"), ENOTDIR);
    EXPECT_EQ(echo("unbind /x", "1/ctl"), 0);
    EXPECT_EQ(look("x/one"), "errno " + std::to_string(ENOENT));
    EXPECT_EQ(echo("kill", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "dead kill SIGKILL"));
    EXPECT_EQ(file("1/root"), nullptr);
    // Off again it is text alone, until the next start.
    EXPECT_EQ(echo("bind " + scratch.path() + "/src /z", "1/ctl"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(look("z/one"), "one");
}

TEST_F(RealVm, a_process_that_hangs_does_not_hold_a_write_for_ever) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const std::string before = cat("1/ns");
    ASSERT_EQ(::kill(process(), SIGSTOP), 0);
    EXPECT_EQ(echo("bind '#ram' /x", "1/ctl"), ETIMEDOUT);
    EXPECT_EQ(cat("1/ns"), before);
    // It happens when the process goes on, and then `ns` says so.
    ASSERT_EQ(::kill(process(), SIGCONT), 0);
    EXPECT_TRUE(run_until([&] { return cat("1/ns") == before + "bind '#ram' /x\n"; }));
    // One that ends answers at once.
    ASSERT_EQ(::kill(process(), SIGSTOP), 0);
    const NodePtr ctl = file("1/ctl");
    const auto opened = open(ctl, O_WRONLY);
    const std::string line = "bind '#ram' /y\n";
    Asked<std::size_t> asked;
    opened.handle->write(request(), 0, std::as_bytes(std::span(line)), asked.reply());
    settle();
    EXPECT_FALSE(asked.answered());
    ASSERT_EQ(::kill(process(), SIGKILL), 0);
    EXPECT_TRUE(run_until([&] { return asked.answered(); }));
    EXPECT_EQ(asked.errnum(), ENODEV);
    EXPECT_EQ(cat("1/ns"), before + "bind '#ram' /x\n");
}

}  // namespace
}  // namespace ennead::srv::test
