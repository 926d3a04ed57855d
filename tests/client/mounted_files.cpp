// SPDX-License-Identifier: MIT
// The tree over its mount. A read is called off by a signal, as Ctrl-C does.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <utility>

#include "tests/client/files.h"

namespace ennead::client {
namespace {

// Signals the calling thread until it goes: one signal alone might come before the system call.
class Alarm {
  public:
    Alarm() {
        static const bool installed = [] {
            struct sigaction action {};
            action.sa_handler = [](int) {};
            return sigaction(SIGUSR1, &action, nullptr) == 0;
        }();
        sigevent event{};
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGUSR1;
        event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
        armed_ = installed && timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
        constexpr long kMillisecond = 1'000'000;
        const itimerspec often{{0, 20 * kMillisecond}, {0, 2 * kMillisecond}};
        if (armed_) {
            timer_settime(timer_, 0, &often, nullptr);
        }
    }
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm() {
        if (armed_) {
            timer_delete(timer_);
        }
    }

  private:
    timer_t timer_{};
    bool armed_ = false;
};

class MountedFiles final : public Files {
  public:
    explicit MountedFiles(std::string directory) : directory_(std::move(directory)) {}

    int open(const std::string& path, int flags, int& file) override {
        file = ::open(at(path).c_str(), flags | O_CLOEXEC);
        return file < 0 ? errno : 0;
    }
    void close(int file) override { ::close(file); }

    int read(int file, std::uint64_t offset, std::size_t size, std::string& into) override {
        into.resize(size);
        ssize_t got = ::pread(file, into.data(), size, static_cast<off_t>(offset));
        if (got < 0 && errno == ESPIPE) {
            got = ::read(file, into.data(), size);
        }
        into.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        return got < 0 ? errno : 0;
    }
    int read_called_off(int file, std::uint64_t offset, std::size_t size,
                        std::string& into) override {
        const Alarm alarm;
        return read(file, offset, size, into);
    }
    int write(int file, std::uint64_t offset, std::string_view text) override {
        ssize_t put = ::pwrite(file, text.data(), text.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == ESPIPE) {
            put = ::write(file, text.data(), text.size());
        }
        return put < 0 ? errno : put == static_cast<ssize_t>(text.size()) ? 0 : ENODATA;
    }
    int poll(int file, bool& ready) override {
        pollfd asked{file, POLLIN, 0};
        const int count = ::poll(&asked, 1, 0);
        ready = count == 1;
        return count < 0 ? errno : 0;
    }
    int stat(const std::string& path, Stat& stat) override {
        struct stat info {};
        if (::lstat(at(path).c_str(), &info) != 0) {
            return errno;
        }
        stat = {info.st_mode, static_cast<std::uint64_t>(info.st_size)};
        return 0;
    }
    int list(const std::string& path, std::vector<std::string>& names) override {
        const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(at(path).c_str()), closedir);
        if (!directory) {
            return errno;
        }
        errno = 0;
        while (const dirent* entry = readdir(directory.get())) {
            names.emplace_back(entry->d_name);
        }
        return errno;
    }
    int mkdir(const std::string& path) override {
        return ::mkdir(at(path).c_str(), 0755) == 0 ? 0 : errno;
    }
    int rmdir(const std::string& path) override {
        return ::rmdir(at(path).c_str()) == 0 ? 0 : errno;
    }
    int rename(const std::string& from, const std::string& to) override {
        return ::rename(at(from).c_str(), at(to).c_str()) == 0 ? 0 : errno;
    }

  private:
    [[nodiscard]] std::string at(const std::string& path) const { return directory_ + '/' + path; }

    const std::string directory_;
};

}  // namespace

std::unique_ptr<Files> mounted_files(std::string directory) {
    return std::make_unique<MountedFiles>(std::move(directory));
}

}  // namespace ennead::client
