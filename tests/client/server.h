// SPDX-License-Identifier: MIT
// The server under test: a process with a mount and a socket, in a directory of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace ennead::client {

class Server {
  public:
    // Of the programs in `build`; mounted and listening, or a complaint on standard error and
    // good() is false.
    explicit Server(const std::string& build);
    // Kills it if it still runs, unmounts and removes everything.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] bool good() const { return good_; }
    [[nodiscard]] std::string mount() const { return directory_ + "/vm"; }
    [[nodiscard]] std::string socket() const { return directory_ + "/socket"; }
    // A file of a test, and its path.
    std::string add_file(const std::string& name, const std::string& contents) const;
    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + '/' + name;
    }

    [[nodiscard]] pid_t process() const { return process_; }
    // What its machines run in.
    [[nodiscard]] std::vector<pid_t> machines() const;
    // What the process has open, sorted: a line a descriptor, the same for the same kind of thing.
    [[nodiscard]] static std::vector<std::string> descriptors(pid_t process);

    // Waits for the process to end after it was told to; its exit status, or -1.
    int wait_for_end(std::chrono::seconds patience);
    // The log's lines that a sanitizer or an assertion wrote, and some that follow.
    [[nodiscard]] std::vector<std::string> alarms() const;

  private:
    [[nodiscard]] bool mounted() const;

    std::string directory_;
    pid_t process_ = -1;
    bool good_ = false;
};

}  // namespace ennead::client
