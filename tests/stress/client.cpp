// SPDX-License-Identifier: MIT
// Timing around every operation, and what is compared.
#include "tests/stress/client.h"

#include <algorithm>
#include <cerrno>

namespace ennead::stress {

int Client::open(const std::string& path, int flags, int& file) {
    return report_.timed("open", path, [&] { return files_->open(path, flags, file); });
}
int Client::read(const std::string& path, int file, std::uint64_t offset, std::size_t size,
                 std::string& into) {
    return report_.timed("read", path, [&] { return files_->read(file, offset, size, into); });
}
int Client::read_called_off(const std::string& path, int file, std::string& into) {
    return report_.timed("read, called off", path,
                         [&] { return files_->read_called_off(file, 0, 4096, into); });
}
int Client::write(const std::string& path, int file, std::uint64_t offset, std::string_view text) {
    const bool starts = path.ends_with("/ctl") && text.starts_with("start");
    return report_.timed(starts ? "write of start" : "write", path,
                         [&] { return files_->write(file, offset, text); });
}
int Client::poll(const std::string& path, int file, bool& ready) {
    return report_.timed("poll", path, [&] { return files_->poll(file, ready); });
}
int Client::stat(const std::string& path, Files::Stat& stat) {
    return report_.timed("stat", path, [&] { return files_->stat(path, stat); });
}
int Client::list(const std::string& path, std::vector<std::string>& names) {
    names.clear();
    constexpr int kCalls = 8;  // some 250 names in pieces, opened and closed
    return report_.timed(
        "list", path, [&] { return files_->list(path, names); }, kCalls);
}
int Client::mkdir(const std::string& path) {
    return report_.timed("mkdir", path, [&] { return files_->mkdir(path); });
}
int Client::rmdir(const std::string& path) {
    return report_.timed("rmdir", path, [&] { return files_->rmdir(path); });
}
int Client::rename(const std::string& from, const std::string& to) {
    return report_.timed("rename", from, [&] { return files_->rename(from, to); });
}

std::string Client::cat(const std::string& path) {
    int file = 0;
    if (const int failure = open(path, O_RDONLY, file); failure != 0) {
        return outcome_name(failure);
    }
    std::string all, piece;
    do {
        if (const int failure = read(path, file, all.size(), 16 * 1024, piece); failure != 0) {
            all = outcome_name(failure);
            break;
        }
        all += piece;
    } while (!piece.empty());
    close(file);
    return all;
}

int Client::put(const std::string& path, std::string_view text, int flags) {
    int file = 0;
    int outcome = open(path, flags, file);
    if (outcome == 0) {
        outcome = text.empty() ? 0 : write(path, file, 0, text);
        close(file);
    }
    return outcome;
}

void Client::expect(const std::string& what, int outcome, std::initializer_list<int> possible) {
    if (std::ranges::find(possible, outcome) == possible.end()) {
        std::string wanted;
        for (const int each : possible) {
            wanted += (wanted.empty() ? "" : ", ") + outcome_name(each);
        }
        wrong(what + ": " + outcome_name(outcome) + ", not " + wanted);
    }
}

void Client::expect_text(const std::string& what, const std::string& got,
                         const std::string& wanted) {
    if (got != wanted) {
        wrong(what + ": '" + got.substr(0, 200) + "', not '" + wanted.substr(0, 200) + '\'');
    }
}

void Client::expect_line(const std::string& path, const std::string& line, bool there) {
    const std::string text = '\n' + cat(path);
    if ((text.find('\n' + line + '\n') != std::string::npos) != there) {
        wrong(path + (there ? " lacks '" : " has '") + line + "':" + text.substr(0, 400));
    }
}

void Client::wrong(const std::string& what) {
    report_.wrong(name_ + ": " + what);
}

}  // namespace ennead::stress
