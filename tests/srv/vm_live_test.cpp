// SPDX-License-Identifier: MIT
// The files that belong to a machine's process, while it runs and while it is paused.
#include "srv/ennead/vm_dir.h"

#include <algorithm>

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

namespace code = vmcore::test::code;
using synthfs::NodePtr;

TEST_F(RealVm, runs_speaks_pauses_and_stops) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "running - -"));
    const auto cons = open(file("1/cons"), O_RDONLY).handle;
    EXPECT_EQ(read(cons), "hi");
    EXPECT_EQ(echo("start", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("mem 64M", "1/conf"), EBUSY);
    EXPECT_EQ(rmdir("1"), EBUSY);
    EXPECT_EQ(echo("resume", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "paused - -"));
    const std::string regs = cat("1/regs");
    EXPECT_NE(regs.find("mode protected32\n"), std::string::npos) << regs;
    EXPECT_EQ(echo("eax 0x1234", "1/regs"), 0);
    EXPECT_EQ(cat("1/regs").find("eax 0x00001234\n"), 0u);
    EXPECT_EQ(echo("cr0 0x80000000", "1/regs"), EINVAL);
    EXPECT_NE(cat("1/error").find("cannot hold"), std::string::npos);
    EXPECT_EQ(echo("resume", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "running - -"));
    EXPECT_EQ(echo("eax 1", "1/regs"), EBUSY);
    EXPECT_EQ(echo("stop", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "stopped stop 0"));
    EXPECT_EQ(read(cons), "");  // the end of file
    EXPECT_EQ(cat("1/log"), "hi");
    const std::string wait = wait_text("1");
    EXPECT_EQ(wait.find("1 stop 0 "), 0u) << wait;
    EXPECT_TRUE(wait.ends_with(" 'stopped by ctl'\n")) << wait;
    EXPECT_EQ(echo("x", "1/cons"), EPIPE);
    EXPECT_EQ(rmdir("1"), 0);
}

TEST_F(RealVm, step_does_so_many_instructions) {
    set_kernel(code::kSpin);
    EXPECT_EQ(echo("step", "1/ctl"), EBUSY);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    ASSERT_TRUE(reaches("1", "running - -"));
    EXPECT_EQ(echo("step", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "paused - -"));
    EXPECT_EQ(echo("eip 0x100000", "1/regs"), 0);
    const auto instructions = [this] {
        const std::string line = status("1", 5);
        return std::stoull(line.substr(line.rfind(' ')));
    };
    const auto before = instructions();
    EXPECT_EQ(echo("step", "1/ctl"), 0);
    EXPECT_NE(cat("1/regs").find("\neip 0x00100006\n"), std::string::npos);
    EXPECT_EQ(instructions(), before + 1);
    EXPECT_EQ(echo("step 0x10\nstep 3", "1/ctl"), 0);
    EXPECT_NE(cat("1/regs").find("\neip 0x00100000\n"), std::string::npos);
    ASSERT_TRUE(reaches("1", "paused - -"));
    EXPECT_EQ(instructions(), before + 20);
    // A bad line keeps those before it from being done.
    for (const char* bad :
         {"step 0", "step x", "step -1", "step 1 2", "step 18446744073709551616"}) {
        EXPECT_EQ(echo(std::string("step\n") + bad, "1/ctl"), EINVAL) << bad;
    }
    EXPECT_EQ(instructions(), before + 20);
    EXPECT_EQ(echo("step 18446744073709551615", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "running - -"));
    EXPECT_EQ(echo("step", "1/ctl"), EBUSY);
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    EXPECT_TRUE(reaches("1", "paused - -"));
}

TEST_F(RealVm, breakpoints_are_a_list_and_pause_what_hits_them) {
    set_kernel(code::kSpin);
    EXPECT_EQ(echo("x 0x100000", "1/bp"), EBUSY);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(cat("1/bp"), "");
    const auto add = [this](const std::string& lines) {
        return write(open(file("1/bp"), O_WRONLY | O_APPEND).handle, lines + '\n');
    };
    // Nothing of these is ever hit.
    EXPECT_EQ(echo("wr 0x280000 4096 7\n# what follows\n\nx 2097152", "1/bp"), 0);
    EXPECT_EQ(add("r 0xffffffff"), 0);
    const std::string list = "rw 0x00280000 4096 7\nx 0x00200000 1 0\nr 0xffffffff 1 0\n";
    EXPECT_EQ(cat("1/bp"), list);
    for (const char* bad :
         {"x", "q 1", "rr 1", "x 1 2", "rwx 1 4", "r 1 0", "r 1 4097", "r 0xffffffff 2",
          "r 0x100000000", "r one", "r 1 1 x", "r 1 1 1 1", "'r 1"}) {
        EXPECT_EQ(add(std::string("r 5\n") + bad), EINVAL) << bad;
        EXPECT_NE(cat("1/error").find(std::string("    ") + bad), std::string::npos) << bad;
    }
    std::string many;
    for (int i = 0; i < 62; ++i) {
        many += "r " + std::to_string(0x280000 + i) + '\n';
    }
    EXPECT_EQ(add(many), ENOSPC);
    EXPECT_EQ(cat("1/bp"), list);
    EXPECT_EQ(add(list + "rw 0x280000 4096 9"), 0);  // each takes its own place
    EXPECT_EQ(cat("1/bp"), "rw 0x00280000 4096 9\nx 0x00200000 1 0\nr 0xffffffff 1 0\n");
    EXPECT_EQ(status("1"), "running - -");

    open(file("1/bp"), O_WRONLY | O_TRUNC);
    EXPECT_EQ(cat("1/bp"), "");
    EXPECT_EQ(echo("w 0x300003", "1/bp"), 0);
    // Once the hit is counted the machine is paused, whatever the server has heard by then.
    const auto is = [this](const std::string& text) {
        return run_until([&] { return cat("1/bp") == text; });
    };
    ASSERT_TRUE(is("w 0x00300003 1 1\n"));
    ASSERT_TRUE(reaches("1", "paused - -"));
    EXPECT_NE(read(open(file("1/events"), O_RDONLY).handle).find(" breakpoint 0x00300003 w\n"),
              std::string::npos);
    EXPECT_NE(cat("1/regs").find("\neip 0x00100006\n"), std::string::npos);
    EXPECT_EQ(add("x 0x100006"), 0);  // stands next each time, and is passed
    for (int hits = 2; hits <= 5; ++hits) {
        EXPECT_EQ(echo("resume", "1/ctl"), 0);
        ASSERT_TRUE(is("w 0x00300003 1 " + std::to_string(hits) + "\nx 0x00100006 1 0\n"));
    }
    EXPECT_EQ(echo("step 1000", "1/ctl"), 0);
    ASSERT_TRUE(is("w 0x00300003 1 6\nx 0x00100006 1 0\n"));
    ASSERT_TRUE(reaches("1", "paused - -"));
    EXPECT_EQ(cat("1/error").find("ctl"), std::string::npos);
    open(file("1/bp"), O_WRONLY | O_TRUNC);
    EXPECT_EQ(echo("resume", "1/ctl"), 0);
    EXPECT_TRUE(reaches("1", "running - -"));
}

TEST_F(RealVm, registers_memory_and_maps_show_a_machine_and_take_writes_while_it_is_paused) {
    set_kernel(code::kSpin);
    for (const char* name : {"fpregs", "vmem", "map", "io"}) {
        EXPECT_EQ(open(file(std::string("1/") + name), O_RDONLY).errnum, EBUSY) << name;
    }
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(echo("st0 1", "1/fpregs"), EBUSY);
    EXPECT_EQ(echo("x", "1/vmem"), EBUSY);
    EXPECT_NE(cat("1/error").find(" EBUSY vmem 'the machine is running'"), std::string::npos);
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "paused - -"));

    EXPECT_EQ(
        echo("st0 0x3fff8000000000000000\nxmm3 0xfedcba98765432100123456789abcdef", "1/fpregs"), 0);
    const std::string before = cat("1/fpregs");
    EXPECT_EQ(before.find("st0 0x3fff8000000000000000\n"), 0u) << before;
    EXPECT_NE(before.find("\nxmm3 0xfedcba98765432100123456789abcdef\n"), std::string::npos);
    const NodePtr node = file("1/fpregs");
    EXPECT_EQ(LoopTest::echo(node, before), 0);
    EXPECT_EQ(cat("1/fpregs"), before);
    for (const auto& [bad, caret] : {std::pair{"nonesuch 1", 0},
                                     {"st0", 0},
                                     {"st0 1 2", 6},
                                     {"st0 0x100000000000000000000", 0},
                                     {"xmm0 0x100000000000000000000000000000000", 5},
                                     {"xmm0 0x1234567890123456789g", 5},
                                     {"xmm0 0x", 5},
                                     {"mxcsr 0x10000", 0},
                                     {"st0 -1", 4}}) {
        EXPECT_EQ(echo(std::string("xmm1 5\n") + bad, "1/fpregs"), EINVAL) << bad;
        EXPECT_EQ(cat("1/fpregs"), before);
        const std::string told =
            std::string("    ") + bad + "\n    " + std::string(caret, ' ') + "^\n";
        EXPECT_TRUE(cat("1/error").ends_with(told)) << cat("1/error") << "is not\n" << told;
    }

    // Paging is off, so linear addresses are physical.
    const auto vmem = open(file("1/vmem"), O_RDWR).handle;
    EXPECT_EQ(write(vmem, "live", 0x280ffe), 0);
    EXPECT_EQ(read(vmem, 0x280ffe).substr(0, 4), "live");
    EXPECT_EQ(read(open(file("1/mem"), O_RDONLY).handle, 0x280ffe).substr(0, 4), "live");
    EXPECT_EQ(write(vmem, "x", 0x80000000), EFAULT);
    EXPECT_EQ(read(vmem, 0x80000000), "errno " + std::to_string(EFAULT));
    EXPECT_EQ(read(vmem, std::uint64_t{1} << 32), "");
    for (const char* words :
         {" EFAULT vmem 'not all of the 1 bytes at linear address 0x80000000 are RAM'\n",
          " EFAULT vmem 'there is no memory at linear address 0x80000000'\n"}) {
        EXPECT_NE(cat("1/error").find(words), std::string::npos) << cat("1/error");
    }

    const std::string map = cat("1/map"), io = cat("1/io");
    EXPECT_EQ(map.find("0x00000000 0x0009ffff ram ram\n"), 0u) << map;
    EXPECT_NE(map.find("\n0xfec00000 0xfec00fff device ioapic\n"), std::string::npos) << map;
    EXPECT_EQ(io.find("0x0020 0x0021 pic1\n0x0040 0x0043 pit\n"), 0u) << io;
    EXPECT_NE(io.find("\n0x03f8 0x03ff com1\n"), std::string::npos) << io;
}

TEST_F(RealVm, any_write_to_stats_zeroes_the_counters_and_status_counts_on) {
    EXPECT_EQ(echo("", "1/stats"), EBUSY);
    set_kernel(code::kSpin);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    const auto counted = [this] {
        return std::stoull(cat("1/stats").substr(sizeof "instructions"));
    };
    ASSERT_TRUE(run_until([&] { return counted() > 100'000; }));
    EXPECT_NE(cat("1/stats").find("\nirqs 0\n"), std::string::npos) << "all are masked";
    EXPECT_EQ(echo("pause", "1/ctl"), 0);
    ASSERT_TRUE(reaches("1", "paused - -"));
    const auto all = counted();
    EXPECT_EQ(echo("0", "1/stats"), 0);
    const std::string zeroed = cat("1/stats");
    EXPECT_EQ(zeroed.find("instructions 0\nmachine_ns 0\n"), 0u) << zeroed;
    EXPECT_NE(zeroed.find("\njit_blocks 0\n"), std::string::npos) << zeroed;
    EXPECT_EQ(zeroed.find("\nrss 0\n"), std::string::npos) << zeroed;
    EXPECT_EQ(echo("step 5", "1/ctl"), 0);
    EXPECT_EQ(counted(), 5u);
    const std::string line = status("1", 5);
    EXPECT_EQ(line.substr(line.rfind(' ') + 1), std::to_string(all + 5) + '\n');
    // Counted from the machine's own zero again once that is the later one.
    EXPECT_EQ(echo("reset", "1/ctl"), 0);
    EXPECT_LT(counted(), all);
}

TEST_F(RealVm, a_refusal_of_anything_is_told_in_words) {
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    // A verb that the machine's process carries out: its words, once.
    const auto ctl = open(file("1/ctl"), O_RDWR).handle;
    EXPECT_EQ(write(ctl, "nmi\n  resume\n"), EBUSY);
    EXPECT_EQ(read(ctl), "the machine is running\n");
    settle();
    const std::string told = cat("1/error");
    EXPECT_TRUE(told.ends_with(" EBUSY ctl 'the machine is running'\n      resume\n      ^\n"))
        << told;
    EXPECT_EQ(std::ranges::count(told, '\n'), 3) << told;
    EXPECT_EQ(echo(std::string("eax \0 '\n", 8), "1/regs"), EINVAL);
    EXPECT_NE(cat("1/error").find(" EINVAL regs 'a NUL byte is not text'\n    eax ? '\n"),
              std::string::npos)
        << cat("1/error");
}

TEST_F(RealVm, typed_text_reaches_the_guest_and_comes_back) {
    set_kernel(code::kEcho);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(echo("typed", "1/cons"), 0);
    EXPECT_TRUE(run_until([&] { return cat("1/log") == "typed\n"; }));
    EXPECT_EQ(cat("1/stats").find("\nirqs 0\n"), std::string::npos) << cat("1/stats");
}

}  // namespace
}  // namespace ennead::srv::test
