// SPDX-License-Identifier: MIT
// The dialogue of `exec` with the shells of this host, each at a terminal of its own as at a
// guest's console.
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "srv/ennead/cli_shell.h"

namespace ennead::srv {
namespace {

constexpr const char* kToken = "0123456789abcdef";

// An interactive shell at a terminal.
class Shell {
  public:
    explicit Shell(std::vector<const char*> words) {
        words.push_back(nullptr);
        child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
        if (child_ == 0) {
            // As at a console, whatever started the tests: jobs in the background of a script
            // ignore these.
            std::signal(SIGINT, SIG_DFL);
            std::signal(SIGQUIT, SIG_DFL);
            setenv("TERM", "xterm", 1);
            setenv("PS1", "> ", 1);
            unsetenv("ENV");
            execvp(words[0], const_cast<char* const*>(words.data()));
            _exit(127);
        }
    }
    ~Shell() {
        kill(child_, SIGKILL);
        close(terminal_);
        waitpid(child_, nullptr, 0);
    }
    Shell(const Shell&) = delete;
    Shell& operator=(const Shell&) = delete;

    void type(const std::string& text) const {
        ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    // Everything up to `end`, for half a minute at most.
    std::string until(const std::string& end) {
        std::size_t at = 0;
        while ((at = seen_.find(end)) == std::string::npos) {
            pollfd ready{terminal_, POLLIN, 0};
            char buffer[4096];
            const ssize_t n =
                poll(&ready, 1, 30000) == 1 ? read(terminal_, buffer, sizeof buffer) : 0;
            if (n <= 0) {
                ADD_FAILURE() << "no '" << end << "' in: " << seen_;
                return "";
            }
            seen_.append(buffer, static_cast<std::size_t>(n));
        }
        const std::string text = seen_.substr(0, at + end.size());
        seen_.erase(0, text.size());
        return text;
    }

  private:
    pid_t child_ = -1;
    int terminal_ = -1;
    std::string seen_;
};

std::string mark(const char* kind) {
    return std::string("\x1e") + kToken + kind + "\x1e";
}

using Words = std::vector<const char*>;
class Dialogue : public testing::TestWithParam<Words> {
  protected:
    // Up to where the shell takes a command's lines.
    void enter() {
        shell.type(probe_line(kToken));
        shell.until(mark("P"));
        shell.type(entry_line(kToken));
        shell.until(mark("R"));
    }

    Shell shell{GetParam()};
};

TEST_P(Dialogue, runs_a_command_with_input_and_leaves_the_shell_as_it_was) {
    shell.type("echo hal");
    shell.until("echo hal");
    enter();
    shell.type(command_lines(
        kToken, {.arguments = {"sh", "-c", "cat; printf '%s' \"$1\"; exit 6", "sh", "it's"}}));
    shell.until(mark("S"));
    std::string_view input("a\r\n\0\xff\x03", 6);
    shell.type(take_input_line(input) + std::string(kEndOfInput));
    std::string out = shell.until(mark("D"));
    if (const std::size_t at = out.find(mark("A")); at != std::string::npos) {
        out.erase(at, mark("A").size());
    }
    EXPECT_EQ(out, std::string("a\r\n\0\xff\x03it's", 10) + mark("E6") + mark("D"));
    // What was typed before is gone; echo and translation are back.
    shell.type("stty -a\necho end-$((1+1))\n");
    const std::string settings = shell.until("end-2");
    EXPECT_EQ(settings.find("not found"), std::string::npos) << settings;
    EXPECT_EQ(settings.find("-opost"), std::string::npos) << settings;
    EXPECT_NE(settings.find("-noflsh"), std::string::npos) << settings;
}

TEST_P(Dialogue, outlives_an_interrupt_of_the_command) {
    enter();
    shell.type(command_lines(kToken, {.arguments = {"sh", "-c", "echo begun; exec sleep 100"}}));
    shell.until("begun\n");
    shell.type(std::string(1, kInterrupt));
    shell.until(mark("E130"));
    shell.type(std::string(kEndOfInput));
    shell.until(mark("D"));
    shell.type("echo end-$((1+1))\n");
    shell.until("end-2");
}

TEST_P(Dialogue, forgets_a_command_that_was_sent_half) {
    enter();
    shell.type("echo ran-$((4*4))\\0012\n" + std::string(kForgetCommand));
    EXPECT_EQ(shell.until(mark("D")).find("ran-16"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Shells, Dialogue,
                         testing::Values(Words{"dash", "-i"}, Words{"bash", "--norc", "-i"},
                                         Words{"busybox", "sh"}, Words{"zsh", "-f", "-i"}),
                         [](const auto& shell) { return std::string(shell.param[0]); });

}  // namespace
}  // namespace ennead::srv
