// SPDX-License-Identifier: MIT
// What the command line's thin clients have in common: finding the tree, talking to its files, and
// telling the user.
#pragma once

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace ennead::srv {

// The exit status of `run` and `exec` if Ennead failed and not the command, as env(1) has it.
inline constexpr int kOwnFailure = 125;

// $ENNEAD_DIR, or the default mount point.
[[nodiscard]] std::string default_tree();
// False, and a line that says why, if no tree answers at `dir`.
[[nodiscard]] bool tree_answers(const std::string& dir);
// The directory of a VM: `name` is a number, a name or a path below the tree (n/host/3). Nothing,
// and a line that says so, if there is none.
[[nodiscard]] std::optional<std::string> find_vm(const std::string& dir, const std::string& name);

// `ennead: …` on standard error.
[[gnu::format(printf, 1, 2)]] void complain(const char* format, ...);

// The whole file, or nothing and errno.
[[nodiscard]] std::optional<std::string> read_file(const std::string& path);
// False and errno; a signal only interrupts it between pieces.
bool write_all(int fd, std::string_view bytes);
// Writes lines to a ctl file. Nothing if they were carried out, else the file's own words.
[[nodiscard]] std::optional<std::string> tell(const std::string& ctl, const std::string& lines);
// The words of the file's directory `error` about what this process just failed to do.
[[nodiscard]] std::string last_error(const std::string& error_file, int errnum);

// The argument of -t, whole seconds from 1 to a day. False, and a line that says so, if it is none.
bool parse_patience(const std::string& text, std::chrono::seconds& into);

// Not restarted: what waits comes back, and what the handler noted is looked at.
void handle_signal(int number, void (*handler)(int));

// A line on standard error about what has been going on for more than a second; a terminal shows
// for how long, until it is over.
class Progress {
  public:
    explicit Progress(std::string what);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

  private:
    void watch();

    std::string what_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool over_ = false;
    std::thread thread_;  // takes no signals
};

}  // namespace ennead::srv
