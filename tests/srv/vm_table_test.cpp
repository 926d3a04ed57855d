// SPDX-License-Identifier: MIT
// The tree without a mount: VMs made, named, started, ended and destroyed through their files. Real
// VM processes run a kernel of a few bytes; scripts stand in for those that misbehave.
#include "srv/ennead/vm_table.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/srv/tree_test.h"

namespace ennead::srv::test {
namespace {

TEST_F(Tree, new_gives_numbers_that_are_never_used_again) {
    EXPECT_EQ(make(), "1");
    EXPECT_EQ(make(), "2");
    EXPECT_EQ(rmdir("2"), 0);
    EXPECT_EQ(rmdir("1"), 0);
    EXPECT_EQ(make(), "3");
    EXPECT_EQ(file("1"), nullptr);
    EXPECT_EQ(cat("3/ctl"), "3\n");
    EXPECT_EQ(table->find("3")->number(), 3u);
    EXPECT_EQ(table->find("1"), nullptr);
}

TEST_F(Tree, looking_at_new_makes_nothing) {
    (void)synthfs::test::getattr(file("new"));
    (void)open(file("new"), O_RDONLY);
    EXPECT_EQ(cat("status"), "");
}

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

TEST_F(Tree, cap_bounds_the_number_of_vms) {
    EXPECT_EQ(echo("cap 2", "ctl"), 0);
    EXPECT_EQ(make(), "1");
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("new"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(mkdir("other"), ENOSPC);
    EXPECT_NE(cat("error").find(" ENOSPC new 'there are 2 VMs, and ctl says cap 2'\n"),
              std::string::npos)
        << cat("error");
    EXPECT_EQ(file("other"), nullptr);
    EXPECT_EQ(cat("stats").find("vms 2\nvms_on 0\nmade 2\ndestroyed 0\nreaped 0\nrefused 2\n"), 0u)
        << cat("stats");
    EXPECT_EQ(echo("cap 1", "ctl"), 0);  // those that are there stay
    EXPECT_NE(file("web"), nullptr);
    EXPECT_EQ(rmdir("1"), 0);
    EXPECT_EQ(cat("new"), "errno " + std::to_string(ENOSPC));
    EXPECT_EQ(rmdir("web"), 0);
    EXPECT_EQ(make(), "3");  // a refusal takes no number
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

TEST_F(Tree, untouched_vm_is_reaped_and_any_other_stays) {
    for (int i = 0; i < 7; ++i) {
        make();
    }
    const auto with_settings = open(file("new"), O_RDWR).handle;
    EXPECT_EQ(write(with_settings, "mem=64M\n"), 0);
    EXPECT_EQ(read(with_settings), "8\n");
    EXPECT_EQ(mkdir("nine"), 0);
    EXPECT_EQ(echo("mem 64M", "2/conf"), 0);
    EXPECT_EQ(echo("three", "3/name"), 0);
    EXPECT_EQ(echo("set mem 64M", "4/ctl"), 0);
    EXPECT_EQ(echo("bind '#ram' /tmp", "5/ctl"), 0);
    EXPECT_EQ(echo("pause", "6/ctl"), EBUSY);
    const auto events = open(file("1/events"), O_RDONLY).handle;
    EXPECT_EQ(cat("7/conf"), cat("conf"));  // a look is no touch
    EXPECT_EQ(echo("reap 1us", "ctl"), 0);
    EXPECT_TRUE(run_until([&] { return file("1") == nullptr && file("7") == nullptr; }));
    settle();
    for (const char* vm : {"2", "3", "4", "5", "6", "8", "9"}) {
        EXPECT_NE(file(vm), nullptr) << vm;
    }
    EXPECT_EQ(cat("stats").find("vms 7\nvms_on 0\nmade 9\ndestroyed 2\nreaped 2\nrefused 0\n"), 0u)
        << cat("stats");
    EXPECT_NE(cat("status").find("2 2 new"), std::string::npos);
    EXPECT_EQ(read(events), "errno " + std::to_string(ENODEV));

    EXPECT_EQ(make(), "10");  // with this time it is gone as soon as the loop turns
    EXPECT_TRUE(run_until([&] { return file("10") == nullptr; }));
    EXPECT_EQ(echo("reap 0", "ctl"), 0);
    EXPECT_EQ(make(), "11");
    settle();
    EXPECT_NE(file("11"), nullptr);
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

TEST_F(Tree, status_lists_all_vms) {
    EXPECT_EQ(cat("status"), "");
    make();
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("status"), "1 1 new - 128M 0.000\n2 web new - 128M 0.000\n");
    EXPECT_EQ(cat("1/status"), "new - - 0.000 0\n");
    EXPECT_EQ(cat("1/ns"), "bind -o " + scratch.path() + "/root /\n");
}

TEST_F(Tree, mkdir_makes_a_vm_by_that_name) {
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(cat("web/name"), "web\n");
    EXPECT_EQ(cat("web/ctl"), "1\n");
    EXPECT_EQ(file("web/ctl"), file("1/ctl"));
    EXPECT_EQ(table->find("web"), table->find("1"));
    EXPECT_EQ(rmdir("web"), 0);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(file("1"), nullptr);
}

TEST_F(Tree, names_that_cannot_be) {
    make();
    EXPECT_EQ(mkdir("web"), 0);
    EXPECT_EQ(mkdir("web"), EEXIST);
    EXPECT_EQ(mkdir("status"), EEXIST);
    for (const std::string& bad : {std::string("17"), std::string("0"), std::string("a b"),
                                   std::string("a'b"), std::string("a\nb"), std::string(65, 'a')}) {
        EXPECT_EQ(mkdir(bad), EINVAL) << bad;
    }
    EXPECT_EQ(mkdir("1"), EEXIST);
    EXPECT_EQ(mkdir(std::string(64, 'a')), 0);
    EXPECT_EQ(cat("status").find("4 "), std::string::npos);  // refused names made no VM
}

TEST_F(Tree, name_can_be_changed_and_taken_away) {
    make();
    EXPECT_EQ(cat("1/name"), "1\n");
    EXPECT_EQ(echo("web", "1/name"), 0);
    EXPECT_EQ(cat("web/name"), "web\n");
    EXPECT_EQ(echo("mail", "web/name"), 0);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(cat("mail/name"), "mail\n");
    EXPECT_EQ(echo("mail", "mail/name"), 0);  // as it is
    EXPECT_EQ(rename("mail", "db"), 0);
    EXPECT_EQ(cat("1/name"), "db\n");
    EXPECT_EQ(echo("1", "1/name"), 0);
    EXPECT_EQ(file("db"), nullptr);
    EXPECT_EQ(cat("1/name"), "1\n");
}

TEST_F(Tree, bad_names_are_refused_and_nothing_changes) {
    make();
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    EXPECT_EQ(echo("web", "2/name"), EEXIST);
    EXPECT_EQ(echo("two words", "2/name"), EINVAL);
    EXPECT_EQ(echo("1", "2/name"), EINVAL);
    EXPECT_EQ(echo("new", "2/name"), EEXIST);
    EXPECT_EQ(rename("web", "conf"), EPERM);
    EXPECT_EQ(rename("conf", "x"), EPERM);
    EXPECT_EQ(cat("2/name"), "2\n");
    EXPECT_EQ(cat("web/name"), "web\n");
}

TEST_F(Tree, only_vms_can_be_removed) {
    EXPECT_EQ(rmdir("nothing"), ENOENT);
    EXPECT_NE(rmdir("status"), 0);
    EXPECT_NE(file("status"), nullptr);
}

TEST_F(Tree, destroyed_vm_answers_enodev) {
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    const NodePtr status = file("1/status"), ctl = file("web/ctl"), cons = file("1/cons");
    const auto opened = open(status, O_RDONLY);
    EXPECT_EQ(read(opened.handle), "new - - 0.000 0\n");
    const auto wait_handle = open(file("1/wait"), O_RDONLY).handle;
    const auto waiting = start_read(wait_handle);
    const auto cons_handle = open(cons, O_RDONLY).handle;
    const auto reading = start_read(cons_handle);
    EXPECT_EQ(echo("destroy", "1/ctl"), 0);
    EXPECT_EQ(waiting->errnum(), ENODEV);
    EXPECT_EQ(reading->errnum(), ENODEV);
    EXPECT_EQ(read(opened.handle), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(open(ctl, O_WRONLY).errnum, ENODEV);
    EXPECT_EQ(open(cons, O_RDONLY).errnum, ENODEV);
    EXPECT_EQ(file("1"), nullptr);
    EXPECT_EQ(file("web"), nullptr);
    EXPECT_EQ(cat("status"), "");
    EXPECT_FALSE(fs::exists(state + "/1"));
}

TEST_F(Tree, scratch_directory_lives_as_long_as_its_vm) {
    make();
    EXPECT_TRUE(fs::exists(state + "/1/upper"));
    table->destroy_all();
    EXPECT_TRUE(fs::is_empty(state));
}

TEST_F(Tree, events_tell_the_life_of_each_vm) {
    make();
    EXPECT_EQ(echo("web", "1/name"), 0);
    const auto vm_events = open(file("1/events"), O_RDONLY).handle;
    EXPECT_EQ(rmdir("web"), 0);
    const std::string text = read(open(file("events"), O_RDONLY).handle);
    EXPECT_NE(text.find(" 1 state new\n"), std::string::npos) << text;
    EXPECT_NE(text.find(" 1 name web\n"), std::string::npos) << text;
    EXPECT_NE(text.find(" 1 state destroyed\n"), std::string::npos) << text;
}

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

// A real VM process with a guest of a few bytes.
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

TEST_F(RealVm, bad_kernel_is_refused_in_words) {
    scratch.file("kernel", "#!/bin/sh\n");
    EXPECT_EQ(echo("start", "1/ctl"), ENOEXEC);
    EXPECT_NE(cat("1/error").find("the kernel is a script; "), std::string::npos);
    EXPECT_EQ(status("1"), "new - -");
}

TEST_F(RealVm, typed_text_reaches_the_guest_and_comes_back) {
    set_kernel(code::kEcho);
    ASSERT_EQ(echo("start", "1/ctl"), 0) << cat("1/error");
    EXPECT_EQ(echo("typed", "1/cons"), 0);
    EXPECT_TRUE(run_until([&] { return cat("1/log") == "typed\n"; }));
    EXPECT_EQ(cat("1/stats").find("\nirqs 0\n"), std::string::npos) << cat("1/stats");
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

// --- name spaces ---------------------------------------------------------------------------------

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
