// SPDX-License-Identifier: MIT
// Copies between standard input and output and `cons`, the terminal in raw mode, its size to
// `consctl`.
#include "srv/ennead/cli_attach.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "srv/ennead/cli_tree.h"

namespace ennead::srv {
namespace {

constexpr char kLeave = 0x1d;  // Ctrl-]

volatile std::sig_atomic_t size_changed = 1;
volatile std::sig_atomic_t asked_to_end = 0;

// The terminal as it was, given back at the end of the scope.
class RawTerminal {
  public:
    RawTerminal() {
        if (tcgetattr(STDIN_FILENO, &saved_) == 0) {
            termios raw = saved_;
            cfmakeraw(&raw);
            // Output stays cooked: what the guest prints before its tty driver is up has bare
            // newlines.
            raw.c_oflag |= OPOST | ONLCR;
            active_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
        }
    }
    ~RawTerminal() {
        if (active_) {
            tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
        }
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

  private:
    termios saved_{};
    bool active_ = false;
};

class Attachment {
  public:
    Attachment(int output, int input, std::string consctl)
        : output_(output),
          input_(input),
          consctl_(std::move(consctl)),
          terminal_(isatty(STDIN_FILENO) == 1) {}

    int run() {
        while (true) {
            if (asked_to_end) {
                return 128 + asked_to_end;
            }
            if (terminal_ && size_changed) {
                size_changed = 0;
                tell_size();
            }
            // While the guest has not taken what was typed, standard input waits.
            const bool reading = stdin_open_ && pending_.empty();
            pollfd fds[2] = {{output_, POLLIN, 0}, {reading ? STDIN_FILENO : -1, POLLIN, 0}};
            if (poll(fds, 2, pending_.empty() ? -1 : kRetryMs) < 0 && errno != EINTR) {
                return fail("poll");
            }
            if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
                if (const int status = copy_output(); status >= 0) {
                    return status;
                }
            }
            if ((fds[1].revents & (POLLIN | POLLHUP)) != 0 && !copy_input()) {
                return 0;
            }
            send_pending();
        }
    }

  private:
    static constexpr int kRetryMs = 20;

    static int fail(const char* what) {
        complain("%s: %s", what, std::strerror(errno));
        return 1;
    }

    // -1 to go on, else the exit status.
    int copy_output() {
        char buffer[16384];
        const ssize_t n = read(output_, buffer, sizeof buffer);
        if (n < 0) {
            // ENODEV: the VM was destroyed; ENOTCONN: the server has gone. Both are the end of the
            // console.
            const bool over = errno == ENODEV || errno == ENOTCONN;
            return errno == EAGAIN || errno == EINTR ? -1 : over ? 0 : fail("cons");
        }
        if (n == 0) {
            return 0;
        }
        return write_all(STDOUT_FILENO, {buffer, static_cast<std::size_t>(n)})
                   ? -1
                   : fail("standard output");
    }

    // False when the user leaves.
    bool copy_input() {
        char buffer[4096];
        const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n <= 0) {
            stdin_open_ = n < 0 && (errno == EINTR || errno == EAGAIN);
            return true;
        }
        std::string_view bytes(buffer, static_cast<std::size_t>(n));
        const std::size_t leave = terminal_ ? bytes.find(kLeave) : std::string_view::npos;
        pending_ += bytes.substr(0, leave);
        return leave == std::string_view::npos;
    }

    void send_pending() {
        if (pending_.empty()) {
            return;
        }
        const ssize_t n = write(input_, pending_.data(), pending_.size());
        if (n > 0) {
            pending_.erase(0, static_cast<std::size_t>(n));
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            pending_.clear();  // the VM is off; its last output is still to come
            stdin_open_ = false;
        }
    }

    void tell_size() const {
        winsize size{};
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
            return;
        }
        const int fd = open(consctl_.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            write_all(fd, "size " + std::to_string(size.ws_row) + ' ' +
                              std::to_string(size.ws_col) + '\n');
            close(fd);
        }
    }

    int output_, input_;
    std::string consctl_;
    bool terminal_;
    bool stdin_open_ = true;
    std::string pending_;
};

}  // namespace

int attach_console(const std::string& vm) {
    // A terminal can be asked, and answers through its input: vm(4), cons.
    const bool answers = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    const std::string cons = vm + "/cons";
    constexpr int kFlags = O_NONBLOCK | O_CLOEXEC;
    const int output = open(cons.c_str(), (answers ? O_RDWR : O_RDONLY) | kFlags);
    const int input = answers ? output : open(cons.c_str(), O_WRONLY | kFlags);
    if (output < 0 || input < 0) {
        complain("%s: %s", cons.c_str(), std::strerror(errno));
        return 1;
    }
    handle_signal(SIGWINCH, [](int) { size_changed = 1; });
    // The terminal is given back before the end.
    for (int number : {SIGTERM, SIGHUP, SIGINT}) {
        handle_signal(number, [](int which) { asked_to_end = which; });
    }
    const RawTerminal raw;
    return Attachment(output, input, vm + "/consctl").run();
}

int attach_command(int argc, char** argv) {
    constexpr const char* kUsage = "usage: ennead attach [-d DIR] N\n";
    std::string dir = default_tree();
    int c = 0;
    while ((c = getopt(argc, argv, "d:h")) != -1) {
        if (c == 'h') {
            std::fputs(kUsage, stdout);
            return 0;
        }
        if (c != 'd') {
            std::fputs(kUsage, stderr);
            return 2;
        }
        dir = optarg;
    }
    if (optind + 1 != argc) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    const auto vm = find_vm(dir, argv[optind]);
    return vm ? attach_console(*vm) : 1;
}

}  // namespace ennead::srv
