// SPDX-License-Identifier: MIT
// What the server's tests share: a loop to run, files asked through it, and scratch directories.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "srv/ennead/supervisor.h"
#include "tests/synthfs/ask.h"

namespace ennead::srv::test {

using synthfs::test::Asked;
using synthfs::test::open;
using synthfs::test::request;
using synthfs::test::start_read;
using synthfs::test::walk;

// Removed with all it holds.
class ScratchDir {
  public:
    ScratchDir() {
        std::string path = "/var/tmp/ennead-test-XXXXXX";
        EXPECT_NE(mkdtemp(path.data()), nullptr);
        path_ = path;
    }
    ~ScratchDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchDir(const ScratchDir&) = delete;
    ScratchDir& operator=(const ScratchDir&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    // The path of a new file.
    std::string file(const std::string& name, std::string_view text, mode_t mode = 0600) const {
        const std::string path = path_ + '/' + name;
        std::ofstream(path, std::ios::binary) << text;
        EXPECT_EQ(chmod(path.c_str(), mode), 0);
        return path;
    }
    // A program: the lines of a shell script.
    std::string script(const std::string& name, std::string_view lines) const {
        return file(name, "#!/bin/sh\nPATH=/usr/bin:/bin\n" + std::string(lines), 0700);
    }
    [[nodiscard]] Fd open_dir(int flags = O_PATH) const {
        return Fd(::open(path_.c_str(), flags | O_DIRECTORY | O_CLOEXEC));
    }

  private:
    std::string path_;
};

// truncate(2): 0 or the errno.
inline int resize(const synthfs::NodePtr& node, std::uint64_t size) {
    synthfs::SetAttr change;
    change.size = size;
    return synthfs::test::setattr(node, change);
}

struct SocketPair {
    SocketPair() {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ours = Fd(ends[0]);
        theirs = Fd(ends[1]);
    }
    Fd ours, theirs;
};

class LoopTest : public testing::Test {
  protected:
    // Runs the loop until `done`, or for as long as nothing may take.
    template <class Done>
    bool run_until(Done done) {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!done() && std::chrono::steady_clock::now() < limit) {
            io.restart();
            io.run_one_for(std::chrono::milliseconds(50));
        }
        return done();
    }
    // Until nothing more happens by itself.
    void settle() {
        io.restart();
        while (io.run_one_for(std::chrono::milliseconds(30)) != 0) {
        }
    }
    // What a read gives, or the errno in words.
    std::string read(const synthfs::HandlePtr& handle, std::uint64_t offset = 0) {
        const auto reading = start_read(handle, offset);
        EXPECT_TRUE(run_until([&] { return reading->answered(); }));
        return reading->text();
    }
    // As cat(1): to the end of the file.
    std::string read_all(const synthfs::NodePtr& node) {
        const auto opened = open(node, O_RDONLY);
        if (!opened.handle) {
            return "errno " + std::to_string(opened.errnum);
        }
        std::string all;
        for (std::string piece; !(piece = read(opened.handle, all.size())).empty();) {
            if (piece.starts_with("errno ")) {
                return piece;
            }
            all += piece;
        }
        return all;
    }
    int write(const synthfs::HandlePtr& handle, std::string_view text, std::uint64_t offset = 0) {
        Asked<std::size_t> asked;
        handle->write(request(), offset, std::as_bytes(std::span(text)), asked.reply());
        EXPECT_TRUE(run_until([&] { return asked.answered(); }));
        return asked.errnum();
    }
    // As the shell's `echo text > file`: 0 or the errno.
    int echo(const synthfs::NodePtr& node, std::string_view text) {
        const auto opened = open(node, O_WRONLY | O_TRUNC);
        return opened.handle ? write(opened.handle, text) : opened.errnum;
    }

    boost::asio::io_context io;
};

}  // namespace ennead::srv::test
