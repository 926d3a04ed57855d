// SPDX-License-Identifier: MIT
// ls, cat, write, stat, mkdir and rm over 9P.
#include "srv/ennead/cli_9p.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>

#include "srv/ennead/nine_client.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

using synthfs::Attr;
using synthfs::HandlePtr;
using synthfs::kUsualAddress;
using synthfs::NodePtr;
using synthfs::parse_address;
using synthfs::Result;

constexpr const char* kUsage =
    "usage: ennead 9p [-a ADDR] ls [-ld] [PATH...]\n"
    "       ennead 9p [-a ADDR] cat|stat|mkdir|rm PATH...\n"
    "       ennead 9p [-a ADDR] write [-a] PATH       standard input; -a adds to a list\n"
    "ADDR is unix!PATH or tcp!HOST!PORT (default: $ENNEAD_ADDR, then tcp!127.0.0.1!5640)\n";

constexpr std::size_t kPiece = synthfs::kMaxMessage;

int usage() {
    std::fputs(kUsage, stderr);
    return 2;
}

// One line; 1.
int complain(const std::string& path, int errnum, const std::string& words = {}) {
    std::fprintf(stderr, "ennead: %s: %s%s%s\n", path.c_str(), std::strerror(errnum),
                 words.empty() ? "" : ": ", words.c_str());
    return 1;
}
int complain(const std::string& path, const std::error_code& code) {
    return complain(path, synthfs::to_errno(code));
}

std::string directory_of(const std::string& path) {
    std::vector<std::string> names = path_names(path);
    std::string directory;
    for (std::size_t i = 0; i + 1 < names.size(); ++i) {
        directory += names[i] + '/';
    }
    return directory;
}

// The last record of the `error` file beside `path`; 9P2000.L has only numbers for failures.
class ErrorFile {
  public:
    ErrorFile(NineClient& client, const std::string& path)
        : client_(client), file_(directory_of(path) + "error"), before_(last_record()) {}

    // What was told since.
    std::string words() {
        const std::string record = last_record();
        if (record == before_) {
            return {};
        }
        const auto words = synthfs::split_words(record);
        return words && words.value().size() == 5 ? words.value()[4].text : std::string();
    }

  private:
    std::string last_record() {
        const auto text = client_.read_all(file_);
        std::string record;
        for (std::size_t begin = 0; text && begin < text.value().size();) {
            const std::size_t end = std::min(text.value().find('\n', begin), text.value().size());
            // Under a record, indented, stands the command that it is about.
            if (text.value()[begin] != ' ') {
                record = text.value().substr(begin, end - begin);
            }
            begin = end + 1;
        }
        return record;
    }

    NineClient& client_;
    std::string file_, before_;
};

std::string time_text(const std::timespec& time) {
    std::tm local{};
    localtime_r(&time.tv_sec, &local);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
    return text.data();
}

const char* type_text(const synthfs::Node& node) {
    switch (node.type()) {
        case S_IFDIR:
            return "directory";
        case S_IFLNK:
            return "link";
        case S_IFIFO:
            return "pipe";
        case S_IFSOCK:
            return "socket";
        case S_IFCHR:
        case S_IFBLK:
            return "device";
        default:
            return node.is_stream() ? "stream" : "file";
    }
}

std::string mode_text(mode_t mode) {
    std::string text = S_ISDIR(mode) ? "d" : S_ISLNK(mode) ? "l" : S_ISREG(mode) ? "-" : "?";
    for (int shift = 6; shift >= 0; shift -= 3) {
        text += (mode >> shift & 4) != 0 ? 'r' : '-';
        text += (mode >> shift & 2) != 0 ? 'w' : '-';
        text += (mode >> shift & 1) != 0 ? 'x' : '-';
    }
    return text;
}

struct ListOptions {
    bool long_form = false, directory_itself = false;
};

int list_one(NineClient& client, const NodePtr& node, const std::string& name,
             const ListOptions& options) {
    if (!options.long_form) {
        std::puts(name.c_str());
        return 0;
    }
    const auto attr = client.attr(node);
    if (!attr) {
        return complain(name, attr.error());
    }
    const Attr& a = attr.value();
    std::printf("%s %u %u %llu %s %s\n", mode_text(a.mode).c_str(), a.uid, a.gid,
                static_cast<unsigned long long>(a.size), time_text(a.mtime).c_str(), name.c_str());
    return 0;
}

int list(NineClient& client, const std::string& path, const ListOptions& options) {
    const auto node = client.walk(path);
    if (!node) {
        return complain(path, node.error());
    }
    if (!S_ISDIR(node.value()->type()) || options.directory_itself) {
        return list_one(client, node.value(), path, options);
    }
    auto names = client.names(node.value());
    if (!names) {
        return complain(path, names.error());
    }
    std::ranges::sort(names.value());
    int status = 0;
    for (const std::string& name : names.value()) {
        if (!options.long_form) {
            std::puts(name.c_str());
            continue;
        }
        const auto child = client.ask<NodePtr>([&](auto reply) {
            node.value()->walk(std::make_shared<synthfs::Request>(), name, reply);
        });
        if (child) {
            status |= list_one(client, child.value(), name, options);
        } else if (synthfs::to_errno(child.error()) != ENOENT) {  // gone meanwhile
            status |= complain(path + '/' + name, child.error());
        }
    }
    return status;
}

bool write_out(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes = bytes.subspan(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    return true;
}

// A stream is followed to its end.
int cat(NineClient& client, const std::string& path) {
    const auto handle = client.open(path, O_RDONLY);
    if (!handle) {
        return complain(path, handle.error());
    }
    std::vector<std::byte> piece(kPiece);
    for (std::uint64_t offset = 0;;) {
        const auto size = client.read(handle.value(), offset, piece);
        if (!size) {
            return complain(path, size.error());
        }
        if (size.value() == 0) {
            return 0;
        }
        if (!write_out(std::span(piece).first(size.value()))) {
            return complain("standard output", errno);
        }
        offset += size.value();
    }
}

int stat(NineClient& client, const std::string& path) {
    const auto node = client.walk(path);
    const auto attr = node ? client.attr(node.value()) : Result<Attr>(node.error());
    if (!attr) {
        return complain(path, attr.error());
    }
    const Attr& a = attr.value();
    std::printf("name %s\ntype %s\nmode %04o\nuid %u\ngid %u\nlinks %llu\nsize %llu\nmtime %lld\n",
                synthfs::quote(path).c_str(), type_text(*node.value()), a.mode & 07777, a.uid,
                a.gid, static_cast<unsigned long long>(a.nlink),
                static_cast<unsigned long long>(a.size), static_cast<long long>(a.mtime.tv_sec));
    return 0;
}

// Whole lines at once where they come so, as they would be written by a program; at most a message.
// 0: the end; -1: errno.
ssize_t read_lines(std::vector<char>& piece) {
    std::size_t have = 0;
    while (have < piece.size()) {
        const ssize_t n = ::read(STDIN_FILENO, piece.data() + have, piece.size() - have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? n : static_cast<ssize_t>(have);
        }
        have += static_cast<std::size_t>(n);
        if (piece[have - 1] == '\n') {
            break;
        }
    }
    return static_cast<ssize_t>(have);
}

int write(NineClient& client, const std::string& path, bool append) {
    ErrorFile errors(client, path);
    const auto handle = client.open(path, O_WRONLY | (append ? O_APPEND : O_TRUNC));
    if (!handle) {
        return complain(path, synthfs::to_errno(handle.error()), errors.words());
    }
    std::vector<char> piece(kPiece);
    std::uint64_t offset = 0;
    while (true) {
        const ssize_t have = read_lines(piece);
        if (have <= 0) {
            return have == 0 ? 0 : complain("standard input", errno);
        }
        std::string_view left(piece.data(), static_cast<std::size_t>(have));
        while (!left.empty()) {
            const auto size = client.write(handle.value(), offset, left);
            if (!size && synthfs::to_errno(size.error()) == EAGAIN) {
                // A console takes only so much at a time.
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                continue;
            }
            if (!size) {
                return complain(path, synthfs::to_errno(size.error()), errors.words());
            }
            if (size.value() == 0) {
                return complain(path, EIO);
            }
            left.remove_prefix(size.value());
            offset += size.value();
        }
    }
}

int change(NineClient& client, const std::string& path, bool make) {
    ErrorFile errors(client, path);
    const std::vector<std::string> names = path_names(path);
    if (names.empty()) {
        return complain(path, make ? EEXIST : EBUSY);
    }
    const auto directory = client.walk(directory_of(path));
    if (!directory) {
        return complain(path, directory.error());
    }
    const auto request = std::make_shared<synthfs::Request>();
    int errnum = 0;
    if (make) {
        const auto made = client.ask<NodePtr>([&](auto reply) {
            directory.value()->mkdir(request, names.back(), 0755, getegid(), reply);
        });
        errnum = made ? 0 : synthfs::to_errno(made.error());
    } else {
        const auto node = client.walk(path);
        const auto removed = node ? client.ask<void>([&](auto reply) {
            directory.value()->unlink(request, names.back(), S_ISDIR(node.value()->type()), reply);
        })
                                  : Result<>(node.error());
        errnum = removed ? 0 : synthfs::to_errno(removed.error());
    }
    return errnum == 0 ? 0 : complain(path, errnum, errors.words());
}

}  // namespace

int nine_command(int argc, char** argv) {
    const char* environment = std::getenv("ENNEAD_ADDR");
    std::string text = environment != nullptr ? environment : kUsualAddress;
    int c = 0;
    // '+': what follows the command is the command's.
    while ((c = getopt(argc, argv, "+a:")) != -1) {
        if (c != 'a') {
            return usage();
        }
        text = optarg;
    }
    if (optind == argc) {
        return usage();
    }
    const std::string command = argv[optind];
    argc -= optind;
    argv += optind;
    ListOptions listing;
    bool append = false;
    const bool lists = command == "ls", writes = command == "write";
    optind = 0;  // glibc: start afresh
    while ((c = getopt(argc, argv, lists ? "+ld" : writes ? "+a" : "+")) != -1) {
        switch (c) {
            case 'l':
                listing.long_form = true;
                break;
            case 'd':
                listing.directory_itself = true;
                break;
            case 'a':
                append = true;
                break;
            default:
                return usage();
        }
    }
    std::vector<std::string> paths(argv + optind, argv + argc);
    const bool known = lists || writes || command == "cat" || command == "stat" ||
                       command == "mkdir" || command == "rm";
    if (!known || (paths.empty() && !lists) || (writes && paths.size() != 1)) {
        return usage();
    }
    if (paths.empty()) {
        paths.emplace_back("/");
    }
    const auto address = parse_address(text);
    auto client = address ? NineClient::connect(address.value())
                          : synthfs::Checked<std::unique_ptr<NineClient>>(address.error());
    if (!client) {
        std::fprintf(stderr, "ennead: %s\n", client.error().text.c_str());
        return 1;
    }
    int status = 0;
    for (const std::string& path : paths) {
        NineClient& at = *client.value();
        status |= lists               ? list(at, path, listing)
                  : writes            ? write(at, path, append)
                  : command == "cat"  ? cat(at, path)
                  : command == "stat" ? stat(at, path)
                                      : change(at, path, command == "mkdir");
    }
    return status;
}

}  // namespace ennead::srv
