// SPDX-License-Identifier: MIT
// The ways in which a machine that runs comes to its end, and what is told of each.
#include "srv/ennead/vm.h"

#include <chrono>
#include <csignal>

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;
namespace code = vmcore::test::code;

TEST_F(RealVm, timeout_stops_what_is_on_for_too_long) {
    set_kernel(code::kSpin);
    EXPECT_EQ(echo("timeout 1", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("timeout 20ms", "1/conf"), 0);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "stopped timeout 0"));
    const std::string wait = wait_text("1");
    EXPECT_EQ(wait.find("1 timeout 0 "), 0u) << wait;
    EXPECT_TRUE(wait.ends_with(" 'on for longer than its timeout'\n")) << wait;

    // The verb, while it is paused; 0 takes it back.
    EXPECT_EQ(echo("timeout", "1/conf"), 0);
    ASSERT_EQ(echo("start\npause\ntimeout 50ms\ntimeout 0", "1/ctl"), 0) << cat("1/error");
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    EXPECT_TRUE(run_until([&] { return std::chrono::steady_clock::now() > until; }));
    EXPECT_EQ(status("1"), "paused - -");
    EXPECT_EQ(echo("pause\ntimeout 5m", "1/ctl"), EINVAL);
    EXPECT_EQ(echo("timeout 10ms", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "stopped timeout 0"));

    // An end of its own keeps its reason, and the next run has its whole time.
    ASSERT_EQ(echo("start\ntimeout 20ms\nstop", "1/ctl"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "stopped stop 0"));
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const auto later = std::chrono::steady_clock::now() + std::chrono::milliseconds(60);
    EXPECT_TRUE(run_until([&] { return std::chrono::steady_clock::now() > later; }));
    EXPECT_EQ(status("1"), "running - -");
}

TEST_F(RealVm, timeout_kills_a_process_that_hangs) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const pid_t child = process();
    ASSERT_GT(child, 0);
    ASSERT_EQ(::kill(child, SIGSTOP), 0);
    EXPECT_EQ(echo("timeout 1us", "1/ctl"), 0);
    EXPECT_TRUE(reaches("1", "dead timeout SIGKILL"));
}

TEST_F(RealVm, killonclose_ends_the_process_with_the_open_it_was_written_to) {
    set_kernel(code::kSpin);
    auto ctl = open(file("1/ctl"), O_RDWR).handle;
    EXPECT_EQ(write(ctl, "killonclose\nstart\n"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "running - -"));
    EXPECT_EQ(echo("pause\nresume", "1/ctl"), 0);  // another open
    settle();
    EXPECT_EQ(status("1"), "running - -");
    ctl = nullptr;
    ASSERT_TRUE(reaches("1", "dead kill SIGKILL"));

    // Without a process, and without the VM, nothing is left to do.
    EXPECT_EQ(echo("killonclose", "1/ctl"), 0);
    EXPECT_EQ(status("1"), "dead kill SIGKILL");
    ctl = open(file("1/ctl"), O_WRONLY).handle;
    EXPECT_EQ(write(ctl, "killonclose\n"), 0);
    EXPECT_EQ(rmdir("1"), 0);
    ctl = nullptr;
    EXPECT_EQ(echo("killonclose x", make() + "/ctl"), EINVAL);
}

TEST_F(RealVm, power_off_is_told_and_start_boots_again) {
    set_kernel(code::kPowerOff);
    for (int boot = 0; boot < 2; boot++) {
        ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
        ASSERT_TRUE(reaches("1", "stopped poweroff 0"));
        const std::string wait = wait_text("1");
        EXPECT_TRUE(wait.ends_with(" 'the guest switched itself off'\n")) << wait;
    }
    EXPECT_EQ(cat("status").find("1 1 stopped poweroff 32M "), 0u) << cat("status");
}

TEST_F(RealVm, a_process_that_hangs_keeps_nobody_from_killing_it) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const pid_t child = process();
    ASSERT_GT(child, 0);
    ASSERT_EQ(::kill(child, SIGSTOP), 0);
    EXPECT_EQ(echo("pause", "1/ctl"), ETIMEDOUT);
    EXPECT_NE(cat("1/error").find("does not answer"), std::string::npos);
    EXPECT_EQ(cat("1/status").find("running "), 0u);
    EXPECT_EQ(echo("kill", "1/ctl"), 0);
    EXPECT_TRUE(reaches("1", "dead kill SIGKILL"));
}

TEST_F(RealVm, panic_leaves_everything_to_look_at) {
    set_kernel(code::kPanic);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_TRUE(reaches("1", "stopped panic 0"));
    EXPECT_NE(wait_text("1").find("kernel panicked"), std::string::npos);
    EXPECT_EQ(cat("1/regs").find("eax "), 0u);
    EXPECT_NE(cat("1/mem").find(std::string(code::kPanic.begin(), code::kPanic.end())),
              std::string::npos);
}

TEST_F(RealVm, reset_loop_is_the_end_whatever_resets) {
    for (const auto& code : {code::kTripleFault, code::kResetByPci}) {
        set_kernel(code);
        ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
        EXPECT_TRUE(reaches("1", "stopped resetloop 0"));
    }
    EXPECT_NE(wait_text("1").find("'ten resets in ten seconds'"), std::string::npos);
}

TEST_F(RealVm, kill_is_death_and_other_vms_go_on) {
    make();
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_EQ(echo("start", "2/ctl"), 0) << cat("2/error");
    const auto waiter = open(file("1/wait"), O_RDONLY).handle;
    const auto waiting = start_read(waiter);
    const auto com1 = open(file("1/com1"), O_RDONLY).handle;
    const auto reading = start_read(com1);
    settle();
    EXPECT_FALSE(waiting->answered());
    EXPECT_EQ(echo("kill", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "dead kill SIGKILL"));
    ASSERT_TRUE(run_until([&] { return waiting->answered() && reading->answered(); }));
    EXPECT_EQ(waiting->text().find("1 kill SIGKILL "), 0u);
    EXPECT_EQ(reading->errnum(), ENODEV);
    EXPECT_EQ(status("2", 1), "running");
    EXPECT_EQ(echo("kill", "1/ctl"), EBUSY);
    EXPECT_EQ(open(file("1/regs"), O_RDONLY).errnum, EBUSY);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_TRUE(reaches("1", "running - -"));
}

TEST_F(RealVm, crash_of_the_process_is_no_kill) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_NE(process(), 0);
    ::kill(process(), SIGABRT);
    EXPECT_TRUE(reaches("1", "dead crash SIGABRT"));
    EXPECT_EQ(wait_text("1").find("1 crash SIGABRT "), 0u);
}

TEST_F(RealVm, killing_what_is_off_does_not_taint_the_next_run) {
    set_kernel(code::kPowerOff);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "stopped poweroff 0"));
    EXPECT_EQ(echo("kill", "1/ctl"), 0);
    set_kernel(code::kHello);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ::kill(process(), SIGABRT);
    EXPECT_TRUE(reaches("1", "dead crash SIGABRT"));
}

TEST_F(RealVm, destroying_a_running_vm_leaves_no_process) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const pid_t pid = process();
    ASSERT_NE(pid, 0);
    const auto regs = open(file("1/regs"), O_RDONLY).handle;
    EXPECT_EQ(echo("destroy", "1/ctl"), 0);
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(read(regs), "errno " + std::to_string(ENODEV));
    EXPECT_TRUE(fs::is_empty(state));
}

}  // namespace
}  // namespace ennead::srv::test
