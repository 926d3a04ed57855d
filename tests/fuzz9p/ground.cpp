// SPDX-License-Identifier: MIT
#include "tests/fuzz9p/ground.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace ennead::fuzz9p {
namespace {

namespace fs = std::filesystem;

void populate(const synthfs::test::TempDir& top, const std::string& at) {
    top.dir(at + "/dir/deep");
    top.file(at + "/hello", "hello, world\n");
    top.file(at + "/dir/inner", "inside");
    top.symlink(at + "/link", "hello");
    top.symlink(at + "/out", "../outside");
    top.symlink(at + "/outsecret", "../secret");
    ::mkfifo(top.path(at + "/fifo").c_str(), 0600);
}

void tell(std::string& text, const std::string& path) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) {
        text += path + " is gone\n";
        return;
    }
    char line[200];
    std::snprintf(line, sizeof line, " %lu %o %u:%u %lu links %ld bytes %ld.%09ld %ld.%09ld\n",
                  st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size,
                  st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    text += path + line;
}

// Device nodes and set-ID files of the host are what no guest may leave there.
std::string left_in(const std::string& path) {
    std::error_code ignored;
    for (fs::recursive_directory_iterator at(path, ignored), end; at != end;
         at.increment(ignored)) {
        struct stat st {};
        if (::lstat(at->path().c_str(), &st) != 0) {
            continue;
        }
        if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
            return at->path().string() + " is a device node\n";
        }
        if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)) != 0) {
            return at->path().string() + " has a set-ID bit\n";
        }
    }
    return {};
}

}  // namespace

Ground::Ground() {
    if (!top_.usable()) {
        std::fprintf(stderr, "no directory here keeps user extended attributes: set TMPDIR\n");
        std::abort();
    }
    if (::getrandom(&sessions_, sizeof sessions_, 0) != sizeof sessions_) {
        std::abort();
    }
    populate(top_, "base");
}

void Ground::restore() {
    std::error_code ignored;
    for (const char* const name : {"share", "scratch", "elsewhere", "outside"}) {
        fs::remove_all(top_.path(name), ignored);
    }
    // splitmix64's step, printed.
    std::uint64_t mixed = sessions_++ * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016lx", mixed ^ (mixed >> 31));
    secret_ = digits;
    populate(top_, "share");
    top_.dir("scratch");
    top_.dir("elsewhere");
    top_.file("secret", secret_);
    top_.file("outside/" + secret_, secret_);
    top_.file("outside/hello", secret_);
    outside_ = state_outside();
}

int Ground::grant(const std::string& name) const {
    if (name.starts_with("scratch/")) {
        ::mkdir(top_.path(name).c_str(), 0700);
    }
    return top_.fd(name);
}

void Ground::disturb(std::uint64_t which) {
    const std::string share = top_.path("share"), dir = share + "/dir", hello = share + "/hello",
                      away = share + "/away", elsewhere = top_.path("elsewhere/dir");
    std::error_code ignored;
    switch (which) {
        case 0:
            fs::rename(dir, away, ignored);
            break;
        case 1:
            fs::rename(away, dir, ignored);
            break;
        case 2:
            fs::rename(dir, elsewhere, ignored);
            break;
        case 3:
            fs::rename(elsewhere, dir, ignored);
            break;
        case 4:
            fs::create_symlink("../outside", dir, ignored);
            break;
        case 5:
            fs::remove(dir, ignored);
            break;
        case 6:
            fs::remove(hello, ignored);
            break;
        case 7:
            fs::create_symlink("../secret", hello, ignored);
            break;
        case 8:
            fs::create_hard_link(dir + "/inner", hello, ignored);
            break;
        case 9:
            ::truncate((dir + "/inner").c_str(), 3);
            break;
        case 10:
            fs::rename(dir + "/inner", hello, ignored);
            break;
        case kDisturbances - 1:
            fs::create_directory(hello, ignored);
            break;
    }
}

std::string Ground::state_outside() const {
    std::string text;
    for (const char* const name : {"", "secret", "outside", "outside/hello", "base"}) {
        tell(text, top_.path(name));
    }
    tell(text, top_.path("outside/" + secret_));
    for (const auto& entry : fs::recursive_directory_iterator(top_.path("base"))) {
        tell(text, entry.path());
    }
    return text;
}

std::string Ground::complaint() const {
    const std::string now = state_outside();
    std::string text;
    if (now != outside_) {
        text = "before:\n" + outside_ + "after:\n" + now;
    }
    for (const char* const name : {"share", "scratch", "elsewhere"}) {
        text += left_in(top_.path(name));
    }
    return text;
}

}  // namespace ennead::fuzz9p
