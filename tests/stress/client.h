// SPDX-License-Identifier: MIT
// One reader and writer: its way to the tree, its random numbers, and everyday operations, each of
// them timed.
#pragma once

#include <fcntl.h>

#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/client/files.h"
#include "tests/stress/report.h"

namespace ennead::stress {

using client::Files;

class Client {
  public:
    Client(std::unique_ptr<Files> files, Report& report, std::string name, std::uint64_t seed)
        : files_(std::move(files)), report_(report), name_(std::move(name)), random_(seed) {}

    // Below `bound`.
    unsigned random(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
    bool one_in(unsigned count) { return random(count) == 0; }
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[random(static_cast<unsigned>(from.size()))];
    }

    // As Files, timed.
    int open(const std::string& path, int flags, int& file);
    void close(int file) { files_->close(file); }
    int read(const std::string& path, int file, std::uint64_t offset, std::size_t size,
             std::string& into);
    int read_called_off(const std::string& path, int file, std::string& into);
    int write(const std::string& path, int file, std::uint64_t offset, std::string_view text);
    int poll(const std::string& path, int file, bool& ready);
    int stat(const std::string& path, Files::Stat& stat);
    int list(const std::string& path, std::vector<std::string>& names);
    int mkdir(const std::string& path);
    int rmdir(const std::string& path);
    int rename(const std::string& from, const std::string& to);

    // As cat(1), of what ends: the contents, or the errno's name.
    std::string cat(const std::string& path);
    // As `echo text >path`, or with other flags.
    int put(const std::string& path, std::string_view text, int flags = O_WRONLY | O_TRUNC);

    // Complains unless the outcome is among those that may be.
    void expect(const std::string& what, int outcome, std::initializer_list<int> possible);
    void expect_text(const std::string& what, const std::string& got, const std::string& wanted);
    void expect_line(const std::string& path, const std::string& line, bool there = true);
    void wrong(const std::string& what);

  private:
    std::unique_ptr<Files> files_;
    Report& report_;
    const std::string name_;
    std::mt19937_64 random_;
};

}  // namespace ennead::stress
