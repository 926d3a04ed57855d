// SPDX-License-Identifier: MIT
// The operations that a client of the tree has, whatever carries them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ennead::client {

// Paths are below the tree's root, without a slash at their beginning. Every operation gives 0 or
// an errno. Each worker has an object of its own.
class Files {
  public:
    struct Stat {
        mode_t mode = 0;
        std::uint64_t size = 0;
    };

    virtual ~Files() = default;

    // `file` is what the others take.
    virtual int open(const std::string& path, int flags, int& file) = 0;
    virtual void close(int file) = 0;
    // A file that has no offsets ignores `offset`. An end of file gives nothing.
    virtual int read(int file, std::uint64_t offset, std::size_t size, std::string& into) = 0;
    // A read that is called off once it has begun: EINTR, or what was there.
    virtual int read_called_off(int file, std::uint64_t offset, std::size_t size,
                                std::string& into) = 0;
    // Everything is written, or nothing.
    virtual int write(int file, std::uint64_t offset, std::string_view text) = 0;
    // Whether a read would not wait. EOPNOTSUPP: this way of access cannot ask.
    virtual int poll(int file, bool& ready) = 0;
    virtual int stat(const std::string& path, Stat& stat) = 0;
    virtual int list(const std::string& path, std::vector<std::string>& names) = 0;
    virtual int mkdir(const std::string& path) = 0;
    virtual int rmdir(const std::string& path) = 0;
    virtual int rename(const std::string& from, const std::string& to) = 0;
};

// Over a mount, by system calls.
[[nodiscard]] std::unique_ptr<Files> mounted_files(std::string directory);
// Over 9P2000.L at a unix socket, by a client that waits for each answer; its codec is the
// server's, the rest of it shares nothing. Null: it cannot connect.
[[nodiscard]] std::unique_ptr<Files> nine_files(const std::string& socket_path);

}  // namespace ennead::client
