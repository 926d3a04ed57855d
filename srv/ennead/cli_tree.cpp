// SPDX-License-Identifier: MIT
// Reads, writes and words shared by the thin clients.
#include "srv/ennead/cli_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "srv/common/fd.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

// What an open descriptor gives from its beginning to its end.
std::optional<std::string> read_all(int fd) {
    std::string text;
    char buffer[16384];
    ssize_t n = 0;
    while ((n = read(fd, buffer, sizeof buffer)) != 0) {
        if (n < 0) {
            return std::nullopt;
        }
        text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
}

std::string without_newline(std::string text) {
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

}  // namespace

std::string default_tree() {
    const char* named = std::getenv("ENNEAD_DIR");
    return named != nullptr && *named != '\0' ? named : "/vm";
}

bool tree_answers(const std::string& dir) {
    const auto version = read_file(dir + "/version");
    if (version && version->starts_with("ennead ")) {
        return true;
    }
    if (version || errno == ENOENT || errno == ENOTDIR) {
        complain("no tree at %s; `ennead %s` mounts one, -d DIR or ENNEAD_DIR names another place",
                 dir.c_str(), dir.c_str());
    } else if (errno == ENOTCONN) {
        complain("%s: the server is gone; remove the mount with: fusermount3 -u -z %s", dir.c_str(),
                 dir.c_str());
    } else {
        complain("%s: %s", dir.c_str(), std::strerror(errno));
    }
    return false;
}

std::optional<std::string> find_vm(const std::string& dir, const std::string& name) {
    if (!tree_answers(dir)) {
        return std::nullopt;
    }
    std::string vm = dir + '/' + name;
    struct stat st {};
    if (name.empty() || stat((vm + "/cons").c_str(), &st) != 0) {
        complain("no VM %s in %s", synthfs::quote(name).c_str(), dir.c_str());
        return std::nullopt;
    }
    return vm;
}

void complain(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("ennead: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
}

std::optional<std::string> read_file(const std::string& path) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return std::nullopt;
    }
    return read_all(fd.get());
}

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

std::optional<std::string> tell(const std::string& ctl, const std::string& lines) {
    const Fd fd(open(ctl.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) {
        return std::string(std::strerror(errno));
    }
    if (write(fd.get(), lines.data(), lines.size()) == static_cast<ssize_t>(lines.size())) {
        return std::nullopt;
    }
    const int errnum = errno;
    const auto words = errnum == EINTR ? std::nullopt : read_all(fd.get());
    return words && !words->empty() ? without_newline(*words) : std::strerror(errnum);
}

std::string last_error(const std::string& error_file, int errnum) {
    // usec pid errno file 'text', and under it the line at fault and a caret.
    const std::string text = read_file(error_file).value_or("");
    const std::string us = std::to_string(getpid());
    std::string found;
    bool ours = false;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        if (line.starts_with(' ')) {
            found += ours ? '\n' + line : "";
            continue;
        }
        const auto words = synthfs::split_words(line);
        ours = words && words.value().size() == 5 && words.value()[1].text == us;
        found = ours ? words.value()[4].text : found;
    }
    return found.empty() ? std::strerror(errnum) : found;
}

bool parse_patience(const std::string& text, std::chrono::seconds& into) {
    constexpr std::uint64_t kDay = 24 * 60 * 60;
    const auto number = synthfs::parse_number({.text = text}, {1, kDay});
    if (!number) {
        complain("-t %s: %s", text.c_str(), number.error().text.c_str());
        return false;
    }
    into = std::chrono::seconds(number.value());
    return true;
}

void handle_signal(int number, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigaction(number, &action, nullptr);
}

Progress::Progress(std::string what) : what_(std::move(what)) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { watch(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Progress::~Progress() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void Progress::watch() {
    const bool terminal = isatty(STDERR_FILENO) == 1;
    bool shown = false;
    std::unique_lock lock(mutex_);
    for (int seconds = 1;
         !changed_.wait_for(lock, std::chrono::seconds(1), [this] { return over_; }); seconds++) {
        shown = true;
        if (terminal) {
            std::fprintf(stderr, "\rennead: %s, %d s\033[K", what_.c_str(), seconds);
            std::fflush(stderr);
        } else if (seconds == 1) {
            complain("%s", what_.c_str());
        }
    }
    if (terminal && shown) {
        std::fputs("\r\033[K", stderr);
    }
}

}  // namespace ennead::srv
