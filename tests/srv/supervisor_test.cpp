// SPDX-License-Identifier: MIT
// A VM process gets its descriptors at their numbers, its end is told, and it never outlives its
// owner.
#include "srv/ennead/supervisor.h"

#include <sys/wait.h>

#include <csignal>
#include <optional>

#include "tests/srv/loop_test.h"

namespace ennead::srv::test {
namespace {

class Supervisor : public LoopTest {
  protected:
    Supervisor() {}

    Fd open_path(const std::string& name, int flags) {
        return Fd(::open((scratch.path() + '/' + name).c_str(), flags | O_CLOEXEC));
    }
    Grants grants(bool with_initrd) {
        scratch.file("kernel", "the kernel");
        scratch.file("initrd", "the initrd");
        Grants g;
        g.kernel = open_path("kernel", O_RDONLY);
        if (with_initrd) {
            g.initrds.push_back({open_path("initrd", O_RDONLY), "initrd"});
        }
        return g;
    }
    int spawn(const std::string& program, bool with_initrd = false) {
        StartMessage message;
        message.vm = 42;
        message.memory_bytes = 1 << 20;
        message.command_line = "one two";
        auto spawned = VmProcess::spawn(
            io, program, message, grants(with_initrd),
            [this](Ending e) {
                ++endings;
                ending = e;
            },
            sockets);
        if (!spawned) {
            text = spawned.error().text;
            return spawned.error().errnum;
        }
        process = std::move(spawned.value());
        return 0;
    }
    // All that the process writes to its end of the link.
    std::string said() {
        std::string all;
        char buffer[4096];
        for (ssize_t n = 0; (n = ::read(sockets.link.get(), buffer, sizeof buffer)) > 0;) {
            all.append(buffer, static_cast<std::size_t>(n));
        }
        return all;
    }
    bool ended() {
        return run_until([this] { return endings != 0; });
    }

    ScratchDir scratch;
    ProcessSockets sockets;
    std::unique_ptr<VmProcess> process;
    std::string text;
    Ending ending;
    int endings = 0;
};

TEST_F(Supervisor, message_is_at_its_number_and_names_the_others) {
    ASSERT_EQ(spawn(scratch.script("vm", "cat <&4 >&3\n"), true), 0);
    const auto message = StartMessage::decode(said());
    ASSERT_TRUE(message);
    EXPECT_EQ(message.value().vm, 42u);
    EXPECT_EQ(message.value().memory_bytes, 1u << 20);
    EXPECT_EQ(message.value().command_line, "one two");
    EXPECT_EQ(message.value().kernel_fd, 6);
    ASSERT_EQ(message.value().initrds.size(), 1u);
    EXPECT_EQ(message.value().initrds[0].fd, 7);
    EXPECT_EQ(message.value().initrds[0].name, "initrd");
}

TEST_F(Supervisor, grants_are_what_the_message_says) {
    ASSERT_EQ(spawn(scratch.script("vm", "cat /dev/fd/6 /dev/fd/7 >&3\n"), true), 0);
    EXPECT_EQ(said(), "the kernelthe initrd");
}

TEST_F(Supervisor, without_an_initrd_the_numbers_close_up) {
    ASSERT_EQ(spawn(scratch.script("vm",
                                   "cat /dev/fd/6 >&3\n"
                                   "[ -e /proc/self/fd/7 ] && echo more >&3\n")),
              0);
    EXPECT_EQ(said(), "the kernel");
}

TEST_F(Supervisor, messages_of_the_name_space_come_whole) {
    ASSERT_EQ(spawn(scratch.script("vm", "cat <&5 >&3\n")), 0);
    ASSERT_EQ(::send(sockets.name_space.get(), "one", 3, 0), 3);
    ASSERT_EQ(::send(sockets.name_space.get(), "two", 3, 0), 3);
    sockets.name_space = Fd();
    EXPECT_EQ(said(), "onetwo");
}

TEST_F(Supervisor, nothing_else_is_inherited) {
    setenv("ENNEAD_TEST_SECRET", "x", 1);
    ASSERT_EQ(spawn(scratch.script("vm",
                                   "cd /proc/$$/fd; for f in *; do [ $f -gt 20 ] && "
                                   "[ $f -ne 255 ] && echo $f >&3; done\n"
                                   "echo \"$ENNEAD_TEST_SECRET$HOME\" >&3\n")),
              0);
    EXPECT_EQ(said(), "\n");
    unsetenv("ENNEAD_TEST_SECRET");
}

TEST_F(Supervisor, process_has_a_group_of_its_own_and_default_signals) {
    std::signal(SIGUSR1, SIG_IGN);
    ASSERT_EQ(spawn(scratch.script("vm", "kill -USR1 $$; echo survived >&3\n")), 0);
    EXPECT_EQ(getpgid(process->pid()), process->pid());
    EXPECT_EQ(said(), "");
    ASSERT_TRUE(ended());
    EXPECT_TRUE(ending.signalled);
    EXPECT_EQ(ending.code, SIGUSR1);
    std::signal(SIGUSR1, SIG_DFL);
}

TEST_F(Supervisor, exit_status_is_told_once) {
    ASSERT_EQ(spawn(scratch.script("vm", "exit 7\n")), 0);
    ASSERT_TRUE(ended());
    settle();
    EXPECT_EQ(endings, 1);
    EXPECT_FALSE(ending.signalled);
    EXPECT_EQ(ending.code, 7);
    process->kill();  // nobody there any more
}

TEST_F(Supervisor, kill_is_told_as_a_signal) {
    ASSERT_EQ(spawn(scratch.script("vm", "echo up >&3; exec sleep 1000\n")), 0);
    char byte = 0;
    ASSERT_EQ(::read(sockets.link.get(), &byte, 1), 1);
    settle();
    EXPECT_EQ(endings, 0);
    process->kill();
    ASSERT_TRUE(ended());
    EXPECT_TRUE(ending.signalled);
    EXPECT_EQ(ending.code, SIGKILL);
}

TEST_F(Supervisor, destruction_kills_and_reaps_without_a_word) {
    ASSERT_EQ(spawn(scratch.script("vm", "exec sleep 1000\n")), 0);
    const pid_t pid = process->pid();
    process = nullptr;
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
    settle();
    EXPECT_EQ(endings, 0);
}

TEST_F(Supervisor, owner_may_destroy_it_as_it_is_told) {
    StartMessage message;
    auto spawned = VmProcess::spawn(
        io, scratch.script("vm", "exit 0\n"), message, grants(false),
        [this](Ending) {
            ++endings;
            process = nullptr;
        },
        sockets);
    ASSERT_TRUE(spawned);
    process = std::move(spawned.value());
    EXPECT_TRUE(ended());
    EXPECT_EQ(process, nullptr);
}

TEST_F(Supervisor, link_carries_bytes_both_ways_and_ends_with_the_process) {
    ASSERT_EQ(spawn(scratch.script("vm", "read line <&3; echo \"got $line\" >&3\n")), 0);
    ASSERT_EQ(::write(sockets.link.get(), "hello\n", 6), 6);
    EXPECT_EQ(said(), "got hello\n");
}

TEST_F(Supervisor, missing_program_is_a_fault_with_its_name) {
    EXPECT_EQ(spawn("/nonexistent/ennead-vm"), ENOENT);
    EXPECT_NE(text.find("/nonexistent/ennead-vm"), std::string::npos);
    EXPECT_FALSE(sockets.link);
    EXPECT_FALSE(sockets.name_space);
    EXPECT_EQ(spawn(scratch.file("plain", "no program")), EACCES);
    settle();
    EXPECT_EQ(endings, 0);
}

TEST_F(Supervisor, end_is_told_even_where_children_are_not_to_be_waited_for) {
    // A process that is gone before it has a pidfd is ESRCH: this one waits for the link's end.
    const std::string program = scratch.script("vm", "cat <&3 >/dev/null\nexit 3\n");
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    EXPECT_EQ(spawn(program), 0);
    sockets = {};
    EXPECT_TRUE(process && ended());
    std::signal(SIGCHLD, before);
}

TEST(FdTest, owns_its_descriptor) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    {
        Fd a(ends[0]), b(ends[1]);
        a = std::move(b);  // closes what it had
        EXPECT_EQ(fcntl(ends[0], F_GETFD), -1);
        EXPECT_EQ(a.get(), ends[1]);
        EXPECT_FALSE(b);
        Fd& same = a;
        a = std::move(same);
        EXPECT_TRUE(a);
    }
    EXPECT_EQ(fcntl(ends[1], F_GETFD), -1);
}

}  // namespace
}  // namespace ennead::srv::test
