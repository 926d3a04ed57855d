// SPDX-License-Identifier: MIT
// Times everyday operations on the file 1/conf of three trees in turns: a trivial FUSE server's,
// Ennead's over FUSE, and Ennead's over 9P.
//
// usage: files TRIVIAL-DIR DIR SOCKET COUNT        prints lines `operation tree microseconds`
#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/client/files.h"

namespace {

using ennead::client::Files;
using Clock = std::chrono::steady_clock;

constexpr const char* kPath = "1/conf";
constexpr std::string_view kText = "append x\n";

bool good = true;

void must(int outcome) {
    good = good && outcome == 0;
}

struct Operation {
    const char* name;
    std::function<void(Files&, int open)> act;
    int flags;  // of the file that is open meanwhile
};

const std::vector<Operation>& operations() {
    static const std::vector<Operation> all{
        {"stat",
         [](Files& files, int) {
             Files::Stat stat;
             must(files.stat(kPath, stat));
         },
         O_RDONLY},
        {"open-read-close",
         [](Files& files, int) {
             int file = 0;
             std::string text;
             must(files.open(kPath, O_RDONLY, file));
             must(files.read(file, 0, 4096, text));
             good = good && !text.empty();
             files.close(file);
         },
         O_RDONLY},
        {"open-write-close",
         [](Files& files, int) {
             int file = 0;
             must(files.open(kPath, O_WRONLY, file));
             must(files.write(file, 0, kText));
             files.close(file);
         },
         O_RDONLY},
        {"read",
         [](Files& files, int open) {
             std::string text;
             must(files.read(open, 0, 4096, text));
         },
         O_RDONLY},
        {"write", [](Files& files, int open) { must(files.write(open, 0, kText)); }, O_WRONLY},
    };
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: files TRIVIAL-DIR DIR SOCKET COUNT\n");
        return 2;
    }
    const std::pair<const char*, std::unique_ptr<Files>> trees[] = {
        {"trivial", ennead::client::mounted_files(argv[1])},
        {"Ennead", ennead::client::mounted_files(argv[2])},
        {"9P", ennead::client::nine_files(argv[3])}};
    if (!trees[2].second) {
        std::fprintf(stderr, "files: nobody answers at %s\n", argv[3]);
        return 1;
    }
    const int count = std::max(10, std::atoi(argv[4]));
    constexpr int kTurns = 50;  // short ones, so that what the host does besides meets all alike
    for (const Operation& operation : operations()) {
        std::map<std::string, Clock::duration> best;
        for (int turn = 0; turn < kTurns; ++turn) {
            for (const auto& [name, files] : trees) {
                int open = 0;
                must(files->open(kPath, operation.flags, open));
                const auto begin = Clock::now();
                for (int i = 0; i < count / kTurns; ++i) {
                    operation.act(*files, open);
                }
                const auto time = Clock::now() - begin;
                files->close(open);
                auto& least = best.try_emplace(name, time).first->second;
                least = std::min(least, time);
            }
        }
        for (const auto& [name, time] : best) {
            std::printf("%s %s %.3f\n", operation.name, name.c_str(),
                        std::chrono::duration<double, std::micro>(time).count() / (count / kTurns));
        }
    }
    return good ? 0 : 1;
}
