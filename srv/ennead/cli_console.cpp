// SPDX-License-Identifier: MIT
// The dialogue with a guest's shell that cli_shell.h describes, by `cons` and `log`.
#include "srv/ennead/cli_console.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "srv/common/fd.h"
#include "srv/ennead/cli_signals.h"
#include "srv/ennead/cli_tree.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

using Clock = std::chrono::steady_clock;

std::string random_token() {
    std::array<unsigned char, 8> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        return std::to_string(getpid());  // never seen; still nobody else's
    }
    std::string token;
    for (const unsigned char byte : bytes) {
        char hex[3];
        std::snprintf(hex, sizeof hex, "%02x", byte);
        token += hex;
    }
    return token;
}

class Dialogue {
  public:
    explicit Dialogue(const ConsoleCommand& what)
        : what_(what),
          token_(random_token()),
          scanner_(token_),
          input_open_(what.command.with_input) {}

    int run();

  private:
    enum class Phase {
        probing,   // is there a shell?
        entering,  // it takes the terminal
        starting,  // it is given the command
        running,
        leaving,   // the command has ended; the terminal is given back
        retyping,  // what stood at the prompt is put there again
        over,
    };

    bool open_files();
    bool take_turn();
    void remember_prompt();
    void wait_for_something();
    void heed_signals();
    void drain_console();
    void read_log();
    void meet(Mark mark);
    void enter(Phase phase);
    void late();
    void console_ended();
    void read_input();
    void end_input();
    void send(std::string_view bytes) { pending_ += bytes; }
    void send_pending();
    void print();
    void give_up(int status);
    void look_at_line(std::string_view text);

    [[nodiscard]] bool wants_input() const {
        return phase_ == Phase::running && input_open_ && unacknowledged_ < kMaxUnacknowledged;
    }

    const ConsoleCommand& what_;
    std::string token_;
    MarkScanner scanner_;
    Fd cons_, log_;
    off_t log_at_ = 0;
    Phase phase_ = Phase::probing;
    std::optional<Clock::time_point> deadline_;
    std::string pending_;  // for the guest
    std::string output_;   // for standard output
    std::string input_;    // of standard input, less than a line's worth that was not sent
    std::size_t unacknowledged_ = 0;
    bool input_open_;          // standard input may have more
    bool input_ended_ = true;  // the guest does not expect kEndOfInput
    bool console_over_ = false;
    sigset_t unheld_{};
    int heeded_ = 0;  // interrupts
    int status_ = kOwnFailure;
    PromptLine line_;    // the console's last, until the shell answers
    std::string typed_;  // what stood there at first; less the prompt, once that is known
    std::optional<std::string> prompt_;
    bool retyped_ = false;
    std::unique_ptr<Progress> progress_;
};

bool Dialogue::open_files() {
    const std::string cons = what_.vm + "/cons", log = what_.vm + "/log";
    cons_ = Fd(open(cons.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!cons_) {
        complain("%s: %s", cons.c_str(), std::strerror(errno));
        return false;
    }
    log_ = Fd(open(log.c_str(), O_RDONLY | O_CLOEXEC));
    if (!log_) {
        complain("%s: %s", log.c_str(), std::strerror(errno));
        return false;
    }
    return true;
}

// Signals are let through here, and end the wait.
bool Dialogue::take_turn() {
    if (flock(cons_.get(), LOCK_EX | LOCK_NB) == 0) {
        return true;
    }
    const Progress progress("waiting for another command at the console of " + what_.label);
    while (flock(cons_.get(), LOCK_EX) != 0) {
        if (errno != EINTR) {
            complain("%s: the console cannot be locked: %s", what_.label.c_str(),
                     std::strerror(errno));
            return false;
        }
        if (const int number = caught_signal(); number != 0) {
            status_ = 128 + number;
            return false;
        }
    }
    return true;
}

// The output begins here, and what stands in the console's last line.
void Dialogue::remember_prompt() {
    constexpr off_t kLine = 4096;
    struct stat st {};
    fstat(log_.get(), &st);
    log_at_ = st.st_size;
    std::string tail(static_cast<std::size_t>(std::min(log_at_, kLine)), '\0');
    const ssize_t n =
        pread(log_.get(), tail.data(), tail.size(), log_at_ - static_cast<off_t>(tail.size()));
    tail.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    line_.add(tail.substr(tail.rfind('\n') + 1));
    typed_ = line_.text().value_or("");
}

int Dialogue::run() {
    if (!open_files()) {
        return kOwnFailure;
    }
    catch_signals();
    if (!take_turn()) {
        return status_;
    }
    const SignalsHeld held;
    unheld_ = held.before();
    remember_prompt();
    enter(Phase::probing);
    while (phase_ != Phase::over || !output_.empty()) {
        send_pending();
        wait_for_something();
    }
    return status_;
}

void Dialogue::enter(Phase phase) {
    constexpr std::chrono::seconds kAnswer{10}, kLeave{3}, kRetype{1};
    phase_ = phase;
    deadline_.reset();
    switch (phase) {
        case Phase::probing:
            progress_ = std::make_unique<Progress>(what_.booting
                                                       ? what_.label + " is booting"
                                                       : "waiting for the shell of " + what_.label);
            send(probe_line(token_));
            deadline_ = Clock::now() + what_.patience;
            break;
        case Phase::entering:
            send(entry_line(token_));
            deadline_ = Clock::now() + std::max(kAnswer, what_.patience);
            break;
        case Phase::starting:
            send(command_lines(token_, what_.command));
            deadline_ = Clock::now() + std::max(kAnswer, what_.patience);
            break;
        case Phase::running:
            progress_.reset();
            input_ended_ = !what_.command.with_input;
            break;
        case Phase::leaving:
            end_input();
            deadline_ = Clock::now() + kLeave;
            break;
        case Phase::retyping:
            deadline_ = Clock::now() + kRetype;
            break;
        case Phase::over:
            progress_.reset();
            break;
    }
}

void Dialogue::meet(Mark mark) {
    if (mark.kind == 'P' && phase_ == Phase::probing) {
        enter(Phase::entering);
    } else if (mark.kind == 'R' && phase_ == Phase::entering) {
        enter(Phase::starting);
    } else if (mark.kind == 'X' && phase_ == Phase::entering) {
        give_up(kOwnFailure);
        complain("%s has no stty, or its console is no terminal", what_.label.c_str());
    } else if (mark.kind == 'S' && phase_ == Phase::starting) {
        enter(Phase::running);
    } else if (mark.kind == 'A' && unacknowledged_ > 0) {
        unacknowledged_--;
    } else if (mark.kind == 'E' && phase_ == Phase::running) {
        status_ = static_cast<int>(mark.number);
        enter(Phase::leaving);
    } else if (mark.kind == 'D') {
        if (phase_ == Phase::starting || phase_ == Phase::running) {
            complain("%s: the shell gave up on the command", what_.label.c_str());
        }
        line_ = PromptLine();
        enter(prompt_ && !typed_.empty() ? Phase::retyping : Phase::over);
    }
}

void Dialogue::late() {
    if (phase_ == Phase::retyping) {
        enter(Phase::over);  // the prompt is another one now
        return;
    }
    if (phase_ == Phase::leaving) {
        complain("%s: the command left a process that holds the console", what_.label.c_str());
        enter(Phase::over);
        return;
    }
    complain("%s: no shell answers at the console within %lld s; does a program run there?",
             what_.label.c_str(), static_cast<long long>(what_.patience.count()));
    give_up(kOwnFailure);
}

// What the guest waits for is ended, so that the console is a shell's again.
void Dialogue::give_up(int status) {
    status_ = status;
    if (phase_ == Phase::entering || phase_ == Phase::starting) {
        // Sent half or as a whole: one of these ends it, and the others are as nothing.
        pending_.clear();
        send("\n" + std::string(kForgetCommand) + kInterrupt + std::string(kEndOfInput));
    } else if (phase_ == Phase::running) {
        send(std::string(1, kInterrupt));
        end_input();
    }
    // An answer to that is not awaited.
    send_pending();
    output_.clear();
    enter(Phase::over);
}

void Dialogue::heed_signals() {
    if (ending_signal() != 0) {
        give_up(128 + ending_signal());
        return;
    }
    constexpr int kPatience = 3;
    while (heeded_ < interrupts() && phase_ != Phase::over) {
        heeded_++;
        if (phase_ == Phase::running && heeded_ < kPatience) {
            send(std::string(1, kInterrupt));
        } else if (phase_ == Phase::leaving || phase_ == Phase::retyping) {
            enter(Phase::over);
        } else {
            give_up(128 + SIGINT);
        }
    }
}

void Dialogue::wait_for_something() {
    constexpr std::chrono::milliseconds kRetry{20};
    const bool reading = wants_input() && input_.empty();
    pollfd fds[3] = {{console_over_ ? -1 : cons_.get(), POLLIN, 0},
                     {reading ? STDIN_FILENO : -1, POLLIN, 0},
                     {output_.empty() ? -1 : STDOUT_FILENO, POLLOUT, 0}};
    std::optional<std::chrono::nanoseconds> wait;
    if (!pending_.empty()) {
        wait = kRetry;
    }
    if (deadline_) {
        const auto left = std::max(*deadline_ - Clock::now(), Clock::duration::zero());
        wait = wait ? std::min<std::chrono::nanoseconds>(*wait, left) : left;
    }
    timespec timeout{};
    if (wait) {
        timeout.tv_sec = static_cast<time_t>(wait->count() / 1'000'000'000);
        timeout.tv_nsec = static_cast<long>(wait->count() % 1'000'000'000);
    }
    if (ppoll(fds, 3, wait ? &timeout : nullptr, &unheld_) < 0) {
        fds[0].revents = fds[1].revents = fds[2].revents = 0;
    }
    heed_signals();
    if (fds[2].revents != 0) {
        print();
    }
    if (fds[0].revents != 0) {
        drain_console();
    }
    read_log();
    if (console_over_ && output_.empty() && phase_ != Phase::over) {
        console_ended();
    }
    if (fds[1].revents != 0) {
        read_input();
    }
    if (deadline_ && Clock::now() >= *deadline_ && phase_ != Phase::over) {
        late();
    }
}

// What is read is in `log` as well.
void Dialogue::drain_console() {
    static char buffer[65536];
    ssize_t n = 0;
    while ((n = read(cons_.get(), buffer, sizeof buffer)) > 0) {
    }
    console_over_ = n == 0 || (errno != EAGAIN && errno != EINTR);
}

void Dialogue::read_log() {
    constexpr std::size_t kEnough = 256 * 1024;
    static char buffer[65536];
    while ((phase_ != Phase::running || output_.size() < kEnough) && phase_ != Phase::over) {
        const ssize_t n = pread(log_.get(), buffer, sizeof buffer, log_at_);
        if (n <= 0) {
            struct stat st {};
            if (n == 0 && fstat(log_.get(), &st) == 0 && st.st_size < log_at_) {
                log_at_ = 0;
                complain("%s: its log was cleared: output is missing", what_.label.c_str());
                continue;
            }
            return;
        }
        log_at_ += n;
        scanner_.add({buffer, static_cast<std::size_t>(n)});
        while (true) {
            std::string text;
            const auto mark = scanner_.next(text);
            if (phase_ == Phase::running) {
                output_ += text;
            } else if (phase_ == Phase::probing || phase_ == Phase::retyping) {
                look_at_line(text);
            }
            if (!mark) {
                break;
            }
            meet(*mark);
        }
    }
}

void Dialogue::console_ended() {
    if (phase_ != Phase::leaving && phase_ != Phase::retyping) {
        // state reason exit uptime instructions
        const auto status = read_file(what_.vm + "/status");
        const std::string why = status ? "" : errno == ENOENT ? "destroyed" : std::strerror(errno);
        const auto words =
            synthfs::split_words(status ? status->substr(0, status->find('\n')) : "");
        complain("%s went off before %s: %s", what_.label.c_str(),
                 phase_ == Phase::running ? "the command ended" : "a shell answered",
                 words && words.value().size() > 1 ? words.value()[1].text.c_str() : why.c_str());
    }
    enter(Phase::over);
}

void Dialogue::read_input() {
    char buffer[512];
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n > 0) {
        input_.assign(buffer, static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input();
    }
}

void Dialogue::end_input() {
    input_open_ = false;
    input_.clear();
    if (!std::exchange(input_ended_, true)) {
        send(kEndOfInput);
    }
}

void Dialogue::send_pending() {
    while (!input_.empty() && wants_input()) {
        std::string_view rest = input_;
        send(take_input_line(rest));
        input_.erase(0, input_.size() - rest.size());
        unacknowledged_++;
    }
    while (!pending_.empty()) {
        const ssize_t n = write(cons_.get(), pending_.data(), pending_.size());
        if (n > 0) {
            pending_.erase(0, static_cast<std::size_t>(n));
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n < 0 && errno != EINTR) {
            pending_.clear();  // it is off; its last output is still to come
        }
    }
}

void Dialogue::print() {
    // As much as a pipe that can be written takes without waiting.
    const ssize_t n =
        write(STDOUT_FILENO, output_.data(), std::min<std::size_t>(output_.size(), 4096));
    if (n > 0) {
        output_.erase(0, static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EPIPE) {
        give_up(128 + SIGPIPE);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        complain("standard output: %s", std::strerror(errno));
        give_up(kOwnFailure);
    }
}

// The prompt is what the echo of the probe stands behind; once it is there again, what a user had
// typed is sent, and its echo awaited, for the next command would look for it.
void Dialogue::look_at_line(std::string_view text) {
    while (!text.empty()) {
        // At each line's end too: what follows may have come at once with it.
        const std::size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
        const bool ends = text[length - 1] == '\n';
        line_.add(text.substr(0, length - (ends ? 1 : 0)));
        const std::string line = line_.text().value_or("");
        const std::size_t echo = line.find(kProbeEcho);
        // What was typed too early for the prompt stands before it, once more.
        if (const std::size_t at = typed_.find(line.substr(0, std::min(echo, line.size())));
            phase_ == Phase::probing && echo != std::string::npos && !prompt_ &&
            at != std::string::npos) {
            prompt_ = line.substr(0, echo);
            typed_.erase(0, at + echo);
        } else if (phase_ == Phase::retyping && line == *prompt_ &&
                   !std::exchange(retyped_, true)) {
            send(typed_);
        } else if (phase_ == Phase::retyping && retyped_ && line == *prompt_ + typed_) {
            enter(Phase::over);
        }
        if (ends) {
            line_ = PromptLine();
        }
        text.remove_prefix(length);
    }
}

}  // namespace

int run_in_console(const ConsoleCommand& what) {
    return Dialogue(what).run();
}

}  // namespace ennead::srv
