// SPDX-License-Identifier: MIT
// Goes through the table of files over the mount and over 9P, each at a server of its own, and then
// looks whether the table has every file that the tree has, and every errno.
//
// usage: rows BUILD
#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "tests/client/files.h"
#include "tests/client/server.h"
#include "tests/rows/row.h"
#include "tests/vmcore/machine/tiny_kernel.h"

namespace ennead::rows {
namespace {

using client::Files;
using client::Server;

constexpr int kTries = 1'000;  // at 5 ms each

std::string name_of(int outcome) {
    // EOPNOTSUPP has two names.
    const char* name = outcome == EOPNOTSUPP ? "EOPNOTSUPP" : strerrorname_np(outcome);
    return outcome == 0 ? "ok" : name != nullptr ? name : std::to_string(outcome);
}

class Pass {
  public:
    Pass(const char* way, const std::string& build) : way_(way), server_(build) {
        if (!server_.good()) {
            wrong("there is no server");
            return;
        }
        namespace code = vmcore::test::code;
        for (const auto& [name, guest] :
             {std::pair{"echo", &code::kEcho}, {"spin", &code::kSpin}}) {
            const auto image =
                vmcore::test::TinyKernel{.code = *guest, .cmdline_size = 2047}.image();
            server_.add_file(name, {reinterpret_cast<const char*>(image.data()), image.size()});
        }
        server_.add_file("script", "#!/bin/sh\n");
        files_ = std::string(way) == "mount" ? client::mounted_files(server_.mount())
                                             : client::nine_files(server_.socket());
    }

    int run() {
        if (!files_) {
            return 1;
        }
        for (const Row& row : table()) {
            if (row.file == std::string("off/ctl") && !compared_) {
                compared_ = true;
                long_texts();
            }
            check(row);
        }
        every_file_has_rows();
        for (const int errnum : errnos()) {
            if (!seen_.contains(errnum)) {
                wrong("no row gives " + name_of(errnum));
            }
        }
        const int status = put("ctl", "quit\n", O_WRONLY);
        if (status != 0 || server_.wait_for_end(std::chrono::seconds(30)) != 0) {
            wrong("the server did not end well");
        }
        return wrongs_;
    }

  private:
    void wrong(const std::string& what) {
        ++wrongs_;
        std::printf("rows: %s: %s\n", way_, what.c_str());
    }

    [[nodiscard]] std::string expand(std::string text) const {
        const std::string place = server_.path("");
        for (std::size_t at = 0; (at = text.find('@', at)) != std::string::npos;) {
            text.replace(at, 1, place.substr(0, place.size() - 1));
        }
        return text;
    }

    int put(const std::string& path, const std::string& text, int flags) {
        int file = 0;
        int outcome = files_->open(path, flags, file);
        if (outcome == 0) {
            outcome = text.empty() ? 0 : files_->write(file, 0, text);
            files_->close(file);
        }
        return outcome;
    }
    // One read, or all of them until the end or for as long as nothing has to be waited for.
    int get(const std::string& path, int flags, bool all, std::string& text) {
        int file = 0;
        int outcome = files_->open(path, flags, file);
        if (outcome != 0) {
            return outcome;
        }
        std::string piece;
        while ((outcome = files_->read(file, text.size(), 64 * 1024, piece)) == 0) {
            text += piece;
            if (piece.empty() || !all) {
                break;
            }
        }
        if (outcome == EAGAIN && !text.empty()) {
            outcome = 0;
        }
        files_->close(file);
        return outcome;
    }
    static std::string machine_of(const std::string& path) {
        return path.substr(0, path.find('/'));
    }

    int carry_out(const Row& row, const std::string& data, std::string& text) {
        const std::string path = row.file;
        int file = 0;
        int outcome = 0;
        switch (row.op) {
            case Op::read:
                // Of what follows for ever, what there is.
                return get(path, path.ends_with("/cons") ? O_RDONLY | O_NONBLOCK : O_RDONLY, true,
                           text);
            case Op::first:
                return get(path, O_RDONLY, false, text);
            case Op::glance:
                return get(path, O_RDONLY | O_NONBLOCK, false, text);
            case Op::wait:
                outcome = files_->open(path, O_RDONLY, file);
                if (outcome == 0) {
                    outcome = files_->read_called_off(file, 0, 4096, text);
                    files_->close(file);
                }
                return outcome;
            case Op::write:
                return put(path, data, O_WRONLY | O_TRUNC);
            case Op::append:
                return put(path, data, O_WRONLY | O_APPEND);
            case Op::truncate:
                return put(path, "", O_WRONLY | O_TRUNC);
            case Op::talk: {
                outcome = files_->open(path, O_RDWR, file);
                if (outcome != 0) {
                    return outcome;
                }
                outcome = files_->write(file, 0, data);
                // After a refusal `new` has nothing to give.
                if (outcome == 0 || row.text[0] != '\0') {
                    const int refused = files_->read(file, 0, 4096, text);
                    outcome = outcome != 0 ? outcome : refused;
                }
                files_->close(file);
                return outcome;
            }
            case Op::fill:
                outcome = files_->open(path, O_WRONLY | O_NONBLOCK, file);
                // ENODATA: the last piece was taken in part.
                for (int i = 0; i < 64 && (outcome == 0 || outcome == ENODATA); ++i) {
                    outcome = files_->write(file, 0, std::string(4096, 'x'));
                }
                files_->close(file);
                return outcome;
            case Op::at_3g:
                outcome = files_->open(path, O_RDONLY, file);
                if (outcome == 0) {
                    outcome = files_->read(file, 3ull << 30, 1, text);
                    files_->close(file);
                }
                return outcome;
            case Op::over:
                outcome = files_->open(path, O_RDONLY, file);
                if (outcome == 0) {
                    outcome = put(machine_of(path) + "/ctl", data, O_WRONLY);
                }
                if (outcome == 0) {
                    outcome = files_->read(file, 0, 4096, text);
                    files_->close(file);
                }
                return outcome;
            case Op::list: {
                std::vector<std::string> names;
                outcome = files_->list(path, names);
                for (const std::string& name : names) {
                    text += name + '\n';
                }
                return outcome;
            }
            case Op::stat: {
                Files::Stat stat;
                return files_->stat(path, stat);
            }
            case Op::becomes: {
                Files::Stat stat;
                for (int i = 0; i < kTries; ++i) {
                    outcome = files_->stat(path, stat);
                    if (outcome == row.outcome) {
                        break;
                    }
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                }
                return outcome;
            }
            case Op::mkdir:
                return files_->mkdir(path);
            case Op::rmdir:
                return files_->rmdir(path);
            case Op::rename:
                return files_->rename(path, data);
            case Op::await:
                for (int i = 0; i < kTries; ++i) {
                    text.clear();
                    outcome = get(path, O_RDONLY, true, text);
                    if (outcome != 0 || text.find(row.text) != std::string::npos) {
                        break;
                    }
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                }
                return outcome;
            case Op::limit: {
                rlimit now{};
                prlimit(server_.process(), RLIMIT_AS, nullptr, &now);
                now.rlim_cur = data.empty() ? now.rlim_max : std::stoull(data);
                return prlimit(server_.process(), RLIMIT_AS, &now, nullptr) == 0 ? 0 : errno;
            }
            case Op::hang:
                for (const pid_t process : server_.machines()) {
                    kill(process, SIGSTOP);
                }
                return 0;
        }
        return ENOSYS;
    }

    void check(const Row& row) {
        const std::string data = expand(row.data), wanted = expand(row.text);
        std::string text;
        const int outcome = carry_out(row, data, text);
        seen_.insert(outcome);
        touched_.insert({path_in_any(row.file), is_write(row.op)});
        const std::string what = std::string(row.file) + (data.empty() ? "" : " '" + data + '\'');
        if (outcome != row.outcome) {
            wrong(what + ": " + name_of(outcome) + ", not " + name_of(row.outcome));
        }
        if (text.find(wanted) == std::string::npos) {
            wrong(what + " gives '" + text.substr(0, 300) + "' without '" + wanted + '\'');
        }
    }

    static bool is_write(Op op) {
        return op == Op::write || op == Op::append || op == Op::talk || op == Op::truncate ||
               op == Op::fill;
    }
    // `ctl` of the top, or `N/ctl` of any machine.
    static std::string path_in_any(const std::string& path) {
        const std::size_t slash = path.find('/');
        return slash == std::string::npos ? path : "N" + path.substr(slash);
    }

    // Messages and lists that are too long.
    void long_texts() {
        const std::string blanks(65'537, ' ');
        for (const char* path :
             {"ctl", "conf", "new", "off/ctl", "off/conf", "off/name", "off/ns"}) {
            const int outcome = put(path, '#' + blanks, O_WRONLY);
            seen_.insert(outcome);
            if (outcome != E2BIG) {
                wrong(std::string(path) + " takes 65538 bytes: " + name_of(outcome));
            }
        }
        std::string binds, mounts, breakpoints;
        for (int i = 0; i < 65; ++i) {
            binds += "bind '#ram' /" + std::to_string(i) + '\n';
        }
        for (int i = 0; i < 257; ++i) {
            mounts += "mount unix!/nobody n/" + std::to_string(i) + "\n";
        }
        for (const auto& [path, text] : {std::pair{"off/ns", binds}, {"ctl", mounts}}) {
            const int outcome = put(path, text, O_WRONLY);
            seen_.insert(outcome);
            if (outcome != EDQUOT) {
                wrong(std::string(path) + " takes a long list: " + name_of(outcome));
            }
        }
        // Those before the last one were done.
        for (int i = 0; i < 256; ++i) {
            put("ctl", "unmount n/" + std::to_string(i) + '\n', O_WRONLY);
        }
    }

    // Of the top and of a machine; what can be written as well as what cannot.
    void every_file_has_rows() {
        for (const auto& [directory, prefix] :
             {std::pair{"", ""}, {"still", "N/"}, {"still/jit", "N/jit/"}}) {
            std::vector<std::string> names;
            files_->list(directory, names);
            for (const std::string& name : names) {
                const std::string path = prefix + name;
                Files::Stat stat;
                files_->stat(std::string(directory) + (*directory != '\0' ? "/" : "") + name, stat);
                const bool machine = *directory == '\0' && !touched_.contains({name, false}) &&
                                     (std::isdigit(name[0]) != 0 || name == "on" || name == "last");
                if (name == "." || name == ".." || machine || S_ISLNK(stat.mode)) {
                    continue;
                }
                if (!touched_.contains({path, false}) && path != "new") {
                    wrong("no row reads " + path);
                }
                if (!S_ISDIR(stat.mode) && !touched_.contains({path, true})) {
                    wrong("no row writes " + path);
                }
            }
        }
    }

    const char* way_;
    Server server_;
    std::unique_ptr<Files> files_;
    std::set<int> seen_;
    std::set<std::pair<std::string, bool>> touched_;
    bool compared_ = false;
    int wrongs_ = 0;
};

}  // namespace
}  // namespace ennead::rows

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: rows BUILD\n");
        return 2;
    }
    setvbuf(stdout, nullptr, _IOLBF, 0);
    std::atomic<int> wrongs{0};
    const auto pass = [&](const char* way) { wrongs += ennead::rows::Pass(way, argv[1]).run(); };
    // At once: each waits five seconds for a process that hangs.
    std::thread mount(pass, "mount");
    pass("9P");
    mount.join();
    std::printf("rows: %zu rows, twice\n", ennead::rows::table().size());
    return wrongs == 0 ? 0 : 1;
}
