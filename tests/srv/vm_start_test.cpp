// SPDX-License-Identifier: MIT
// What `start` needs, and what it tells when nothing comes of it. Scripts stand in for processes
// that misbehave.
#include "srv/ennead/vm.h"

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;

TEST_F(Tree, what_needs_a_machine_is_refused_without_one) {
    make();
    for (const char* verb : {"pause", "resume", "reset", "stop", "powerdown", "nmi", "kill"}) {
        EXPECT_EQ(echo(verb, "1/ctl"), EBUSY) << verb;
    }
    for (const char* live : {"regs", "fpregs", "mem", "vmem", "map", "io", "com1", "com2",
                             "consctl", "trace", "stats"}) {
        EXPECT_EQ(open(file(std::string("1/") + live), O_RDONLY).errnum, EBUSY) << live;
    }
    EXPECT_EQ(echo("typed", "1/cons"), EBUSY);
    EXPECT_EQ(synthfs::test::getattr(file("1/mem")).size, 128u << 20);
}

TEST_F(Tree, start_says_what_is_missing) {
    make();
    EXPECT_EQ(echo("start", "1/ctl"), ENOENT);
    EXPECT_NE(cat("1/error").find("/nonexistent/ennead-vm"), std::string::npos);
    for (const auto& [line, error] : {std::pair{"kernel /nonexistent", ENOENT},
                                      {"kernel /", EISDIR},
                                      {"kernel /dev/null", EINVAL},
                                      {"initrd /nonexistent", ENOENT},
                                      {"root /nonexistent", ENOENT},
                                      {"root /etc/passwd", ENOTDIR}}) {
        const std::string key = std::string(line).substr(0, std::string(line).find(' '));
        EXPECT_EQ(echo(line, "1/conf"), 0);
        EXPECT_EQ(echo("start", "1/ctl"), error) << line;
        EXPECT_EQ(echo(key, "1/conf"), 0);
    }
    EXPECT_EQ(status("1"), "new - -");
}

TEST_F(Tree, start_tells_why_the_machine_could_not_be_built) {
    use_script("echo \"error 8 'the kernel is a script, not a bzImage'\" >&3\nexec sleep 1000\n");
    make();
    EXPECT_EQ(echo("start", "1/ctl"), ENOEXEC);
    EXPECT_NE(cat("1/error").find("the kernel is a script, not a bzImage"), std::string::npos);
    EXPECT_EQ(status("1"), "new - -");
    EXPECT_EQ(echo("start", "1/ctl"), ENOEXEC);  // it can be tried again
}

TEST_F(Tree, start_tells_that_the_process_ended) {
    use_script("exit 3\n");
    make();
    const auto waiter = open(file("1/wait"), O_RDONLY).handle;
    const auto waiting = start_read(waiter);
    EXPECT_EQ(echo("start", "1/ctl"), EIO);
    EXPECT_NE(cat("1/error").find("process ended with status 3"), std::string::npos);
    EXPECT_EQ(status("1"), "dead crash 3");
    ASSERT_TRUE(waiting->answered());  // who waited is told as well
    EXPECT_EQ(waiting->text(), "1 crash 3 0.000 0.000 'process ended with status 3'\n");
}

TEST_F(Tree, start_tells_that_the_process_was_killed) {
    use_script("kill -SEGV $$\n");
    make();
    EXPECT_EQ(echo("start", "1/ctl"), EIO);
    EXPECT_EQ(status("1"), "dead crash SIGSEGV");
    EXPECT_EQ(wait_text("1").find("1 crash SIGSEGV 0.000 0.000 'process ended by signal 11 ("), 0u);
}

TEST_F(Tree, process_that_closes_its_link_unheard_is_ended) {
    use_script("exec 3>&-\nexec sleep 1000\n");
    make();
    EXPECT_EQ(echo("start", "1/ctl"), EIO);
    EXPECT_EQ(status("1"), "dead kill SIGKILL");
}

TEST_F(Tree, process_that_says_nonsense_is_ended) {
    use_script("echo hello >&3\nexec sleep 1000\n");
    make();
    EXPECT_EQ(echo("start", "1/ctl"), EIO);
    EXPECT_NE(cat("1/error").find("unintelligible"), std::string::npos);
}

TEST_F(Tree, vm_that_is_starting_can_be_killed_and_is_busy_for_the_rest) {
    use_script("exec sleep 1000\n");
    make();
    Asked<std::size_t> starting;
    const auto ctl = open(file("1/ctl"), O_WRONLY);
    const std::string start = "start\n";
    ctl.handle->write(request(), 0, std::as_bytes(std::span(start)), starting.reply());
    settle();
    EXPECT_FALSE(starting.answered());
    EXPECT_EQ(echo("start", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("mem 64M", "1/conf"), EBUSY);
    EXPECT_EQ(rmdir("1"), EBUSY);
    EXPECT_EQ(echo("kill", "1/ctl"), 0);
    ASSERT_TRUE(run_until([&] { return starting.answered(); }));
    EXPECT_EQ(starting.errnum(), EIO);
    EXPECT_EQ(status("1"), "dead kill SIGKILL");
    EXPECT_EQ(rmdir("1"), 0);
}

TEST_F(Tree, destroy_answers_a_start_under_way) {
    use_script("exec sleep 1000\n");
    make();
    Asked<std::size_t> starting;
    const auto ctl = open(file("1/ctl"), O_WRONLY);
    const std::string start = "start\n";
    ctl.handle->write(request(), 0, std::as_bytes(std::span(start)), starting.reply());
    settle();
    EXPECT_EQ(echo("destroy", "1/ctl"), 0);
    ASSERT_TRUE(starting.answered());
    EXPECT_NE(starting.errnum(), 0);
}

TEST_F(RealVm, bad_kernel_is_refused_in_words) {
    scratch.file("kernel", "#!/bin/sh\n");
    EXPECT_EQ(echo("start", "1/ctl"), ENOEXEC);
    EXPECT_NE(cat("1/error").find("the kernel is a script; "), std::string::npos);
    EXPECT_EQ(status("1"), "new - -");
}

}  // namespace
}  // namespace ennead::srv::test
