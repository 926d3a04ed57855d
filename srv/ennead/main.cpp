// SPDX-License-Identifier: MIT
// The program `ennead`: options, subcommands, and going into the background.
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <string>

#include "srv/ennead/app.h"
#include "srv/ennead/cli_9p.h"
#include "srv/ennead/cli_attach.h"
#include "srv/ennead/cli_exec.h"
#include "srv/ennead/cli_ps.h"
#include "srv/ennead/cli_run.h"
#include "synthfs/address.h"

namespace {

constexpr const char* kUsage =
    "usage: ennead [serve] [-f] [--log FILE] [--listen ADDR]... [DIR]\n"
    "                                                mount the tree at DIR and serve it\n"
    "       ennead attach [-d DIR] N                 this terminal on VM N's console; Ctrl-] "
    "leaves\n"
    "       ennead 9p [-a ADDR] ls|cat|write|stat|mkdir|rm PATH...\n"
    "                                                the same files with no mount, over 9P\n"
    "       ennead run [-d DIR] [-n] [-t SECONDS] [key=value]… [-- command…]\n"
    "                                                a VM for one command, or this terminal\n"
    "       ennead exec [-d DIR] [-n] [-t SECONDS] N command…\n"
    "                                                a command in VM N's shell\n"
    "       ennead ps [-d DIR] [--json]              the VMs\n"
    "       ennead --help | --version\n"
    "\n"
    "  -f           stay in the foreground; log to standard error unless --log is given\n"
    "  --log FILE   append log lines to FILE\n"
    "  --listen ADDR      serve 9P clients at unix!PATH or tcp!HOST!PORT too; DIR may be left out\n"
    "  --listen-anyway    tcp! may be reached by other hosts, who then act as this user\n"
    "  -d DIR       where the tree is mounted (default: $ENNEAD_DIR, then /vm)\n"
    "  -n           the command's standard input is empty\n"
    "  -t SECONDS   how long the guest's shell may take to answer (run: 60, exec: 10)\n"
    "\n"
    "The tree explains itself: cat DIR/help. Manuals: ennead(1), vm(4).\n";

struct Subcommand {
    const char* name;
    int (*run)(int argc, char** argv);
};
constexpr Subcommand kSubcommands[] = {
    {"9p", ennead::srv::nine_command},   {"attach", ennead::srv::attach_command},
    {"exec", ennead::srv::exec_command}, {"ps", ennead::srv::ps_command},
    {"run", ennead::srv::run_command},
};

struct Options {
    bool foreground = false;
    std::string log_file;
    ennead::srv::AppOptions app;
};

int complain(const std::string& text) {
    std::fprintf(stderr, "ennead: %s\n", text.c_str());
    return 1;
}

void log_line(const std::string& line) {
    std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    char stamp[32];
    std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    std::fprintf(stderr, "%s %s\n", stamp, line.c_str());
}

// Standard error becomes the log: of this process and of its VM processes.
bool redirect_log(const Options& options) {
    const bool named = !options.log_file.empty();
    if (!named && options.foreground) {
        return true;
    }
    const int fd = open(named ? options.log_file.c_str() : "/dev/null",
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;
}

// `ready`: -1, or a pipe that gets one line: empty if the tree is mounted, else what went wrong.
int serve(const Options& options, int ready) {
    const auto fail = [ready](const std::string& text) {
        if (ready < 0) {
            return complain(text);
        }
        const std::string line = text + '\n';
        return write(ready, line.data(), line.size()) >= 0 ? 1 : 1;
    };
    auto app = ennead::srv::App::make(options.app, log_line);
    if (!app) {
        return fail(app.error().text);
    }
    if (!redirect_log(options)) {
        return fail("cannot write the log " + options.log_file + ": " + std::strerror(errno));
    }
    if (ready >= 0) {
        const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (write(ready, "\n", 1) != 1) {
            return 1;
        }
        close(ready);
    }
    app.value()->run();
    return 0;
}

// The parent returns once the tree answers.
int serve_in_background(const Options& options) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return complain(std::strerror(errno));
    }
    const pid_t child = fork();
    if (child < 0) {
        return complain(std::strerror(errno));
    }
    if (child == 0) {
        close(ends[0]);
        setsid();
        const int status = serve(options, ends[1]);
        std::fflush(nullptr);
        _exit(status);
    }
    close(ends[1]);
    std::string answer;
    char buffer[512];
    ssize_t n = 0;
    while ((n = read(ends[0], buffer, sizeof buffer)) > 0) {
        answer.append(buffer, static_cast<std::size_t>(n));
    }
    if (answer != "\n") {
        while (!answer.empty() && answer.back() == '\n') {
            answer.pop_back();
        }
        return complain(answer.empty() ? "the server ended before the tree was mounted" : answer);
    }
    struct stat st {};
    const std::string& dir = options.app.dir;
    if (!dir.empty() && stat((dir + "/version").c_str(), &st) != 0) {
        return complain(dir + ": the tree does not answer: " + std::strerror(errno));
    }
    return 0;
}

int serve_command(int argc, char** argv) {
    Options options;
    const option longs[] = {
        {"log", required_argument, nullptr, 'l'},     {"listen", required_argument, nullptr, 'L'},
        {"listen-anyway", no_argument, nullptr, 'A'}, {"help", no_argument, nullptr, 'h'},
        {"version", no_argument, nullptr, 'V'},       {nullptr, 0, nullptr, 0}};
    int c = 0;
    while ((c = getopt_long(argc, argv, "fh", longs, nullptr)) != -1) {
        switch (c) {
            case 'f':
                options.foreground = true;
                break;
            case 'l':
                options.log_file = optarg;
                break;
            case 'L':
                options.app.listen.push_back(ennead::synthfs::absolute_address(optarg));
                break;
            case 'A':
                options.app.listen_anyway = true;
                break;
            case 'h':
                std::fputs(kUsage, stdout);
                return 0;
            case 'V':
                std::puts("ennead " ENNEAD_VERSION);
                return 0;
            default:
                std::fputs(kUsage, stderr);
                return 2;
        }
    }
    const bool has_dir = optind + 1 == argc;
    if (!has_dir && (optind != argc || options.app.listen.empty())) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    options.app.dir = has_dir ? argv[optind] : "";
    return options.foreground ? serve(options, -1) : serve_in_background(options);
}

}  // namespace

int main(int argc, char** argv) {
    // Inherited as ignored, it would keep from us how VM processes end.
    std::signal(SIGCHLD, SIG_DFL);
    try {
        for (const Subcommand& subcommand : kSubcommands) {
            if (argc > 1 && std::strcmp(argv[1], subcommand.name) == 0) {
                return subcommand.run(argc - 1, argv + 1);
            }
        }
        if (argc > 1 && std::strcmp(argv[1], "serve") == 0) {
            return serve_command(argc - 1, argv + 1);
        }
        return serve_command(argc, argv);
    } catch (const std::exception& e) {
        return complain(e.what());
    }
}
