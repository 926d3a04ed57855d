// SPDX-License-Identifier: MIT
// Starts, watches and ends the server's process.
#include "tests/client/server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace ennead::client {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

template <class Done>
bool within(milliseconds patience, Done done) {
    const auto limit = std::chrono::steady_clock::now() + patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > limit) {
            return false;
        }
        std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
}

// Without what differs between two of the same kind.
std::string kind_of(std::string link) {
    if (const auto bracket = link.find(":["); bracket != std::string::npos) {
        return link.substr(0, bracket);  // socket:[123]
    }
    return link;
}

}  // namespace

Server::Server(const std::string& build) {
    std::string place = "/var/tmp/ennead-client-XXXXXX";
    if (mkdtemp(place.data()) == nullptr) {
        std::perror("test: /var/tmp");
        return;
    }
    directory_ = place;
    fs::create_directory(mount());
    fs::create_directory(path("state"));
    const std::string program = build + "/ennead", log = path("log"), listen = "unix!" + socket(),
                      state = path("state"), tree = mount();
    process_ = fork();
    if (process_ == 0) {
        // Killed, the test takes it along.
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        setenv("TMPDIR", state.c_str(), 1);
        execl(program.c_str(), "ennead", "-f", "--log", log.c_str(), "--listen", listen.c_str(),
              tree.c_str(), nullptr);
        std::perror(program.c_str());
        _exit(127);
    }
    good_ = process_ > 0 && within(milliseconds(30'000), [&] {
                return access((mount() + "/version").c_str(), F_OK) == 0 &&
                       access(socket().c_str(), F_OK) == 0;
            });
    if (!good_) {
        std::fprintf(stderr, "test: the tree is not there\n");
    }
}

Server::~Server() {
    if (process_ > 0) {
        kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
    }
    if (mounted()) {
        [[maybe_unused]] const int done = std::system(("fusermount3 -u -z " + mount()).c_str());
    }
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

std::string Server::add_file(const std::string& name, const std::string& contents) const {
    std::ofstream(path(name), std::ios::binary) << contents;
    return path(name);
}

std::vector<pid_t> Server::machines() const {
    const std::string process = std::to_string(process_);
    std::ifstream children("/proc/" + process + "/task/" + process + "/children");
    std::vector<pid_t> machines;
    for (pid_t child = 0; children >> child;) {
        machines.push_back(child);
    }
    return machines;
}

std::vector<std::string> Server::descriptors(pid_t process) {
    std::vector<std::string> descriptors;
    std::error_code failure;
    for (const fs::directory_entry& entry :
         fs::directory_iterator("/proc/" + std::to_string(process) + "/fd", failure)) {
        std::error_code gone;
        descriptors.push_back(kind_of(fs::read_symlink(entry.path(), gone).string()));
    }
    std::ranges::sort(descriptors);
    return descriptors;
}

int Server::wait_for_end(std::chrono::seconds patience) {
    int status = -1;
    if (!within(patience, [&] { return waitpid(process_, &status, WNOHANG) == process_; })) {
        return -1;
    }
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> Server::alarms() const {
    std::ifstream log(path("log"));
    std::vector<std::string> alarms;
    constexpr int kContext = 25;
    int wanted = 0;
    for (std::string line; std::getline(log, line);) {
        for (const char* word : {"Sanitizer", "runtime error", "Assertion", "terminate called"}) {
            wanted = line.find(word) != std::string::npos ? kContext : wanted;
        }
        if (wanted-- > 0) {
            alarms.push_back(line);
        }
    }
    return alarms;
}

bool Server::mounted() const {
    std::ifstream mounts("/proc/self/mounts");
    const std::string place = ' ' + mount() + ' ';
    for (std::string line; std::getline(mounts, line);) {
        if (line.find(place) != std::string::npos) {
            return true;
        }
    }
    return false;
}

}  // namespace ennead::client
