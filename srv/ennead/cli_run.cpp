// SPDX-License-Identifier: MIT
// Makes a VM by `new`, starts it, runs a command in it or attaches to it, and destroys it.
#include "srv/ennead/cli_run.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "srv/common/fd.h"
#include "srv/ennead/cli_attach.h"
#include "srv/ennead/cli_command_options.h"
#include "srv/ennead/cli_console.h"
#include "srv/ennead/cli_signals.h"
#include "srv/ennead/cli_tree.h"
#include "synthfs/words.h"

namespace ennead::srv {
namespace {

constexpr const char* kUsage =
    "usage: ennead run [-d DIR] [-n] [-t SECONDS] [key=value]… [-- command…]\n";

// A VM that is destroyed at the end of the scope.
class TemporaryVm {
  public:
    TemporaryVm(std::string dir, std::string number)
        : path_(dir + '/' + number), label_("VM " + number) {}
    ~TemporaryVm() {
        if (const auto words = tell(path_ + "/ctl", "destroy\n");
            words && access(path_.c_str(), F_OK) == 0) {
            complain("%s was not destroyed: %s", label_.c_str(), words->c_str());
        }
    }
    TemporaryVm(const TemporaryVm&) = delete;
    TemporaryVm& operator=(const TemporaryVm&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& label() const { return label_; }

  private:
    std::string path_, label_;
};

// Its number, or nothing and a line that says why.
std::optional<std::string> make_vm(const std::string& dir, const std::string& settings) {
    const Fd fd(open((dir + "/new").c_str(), O_RDWR | O_CLOEXEC));
    char number[32];
    ssize_t n = -1;
    if (fd && (settings.empty() || write_all(fd.get(), settings + '\n'))) {
        n = read(fd.get(), number, sizeof number);
    }
    if (n <= 0) {
        complain("no VM was made: %s", last_error(dir + "/error", errno).c_str());
        return std::nullopt;
    }
    std::string text(number, static_cast<std::size_t>(n));
    return text.substr(0, text.find('\n'));
}

bool start(const TemporaryVm& vm) {
    const Progress progress(vm.label() + " is being built");
    const auto words = tell(vm.path() + "/ctl", "start\n");
    if (words && caught_signal() == 0) {
        complain("%s does not start: %s", vm.label().c_str(), words->c_str());
    }
    return !words;
}

// How a VM ended that somebody was attached to: state reason exit uptime instructions.
int status_of_end(const TemporaryVm& vm) {
    const auto words = synthfs::split_words(read_file(vm.path() + "/status").value_or(""));
    if (!words || words.value().size() < 3) {
        return 0;  // destroyed by somebody else
    }
    const std::string& state = words.value()[0].text;
    const std::string& reason = words.value()[1].text;
    if (state == "dead" || (state == "stopped" && reason != "poweroff" && reason != "stop")) {
        complain("%s is %s: %s", vm.label().c_str(), state.c_str(), reason.c_str());
        return kOwnFailure;
    }
    return 0;  // off in order, or the user left
}

}  // namespace

int run_command(int argc, char** argv) {
    std::string dir = default_tree();
    ConsoleCommand what{.patience = std::chrono::seconds(60), .booting = true};
    // Behind -- nothing is ours.
    const auto end = std::find_if(argv, argv + argc,
                                  [](const char* word) { return std::string_view(word) == "--"; });
    const int ours = static_cast<int>(end - argv);
    if (const auto status = parse_command_options(ours, argv, kUsage, dir, what)) {
        return *status;
    }
    std::string settings;
    for (int i = optind; i < ours; i++) {
        if (std::strchr(argv[i], '=') == nullptr) {
            complain("%s: settings are key=value, and a command comes after --", argv[i]);
            return kOwnFailure;
        }
        settings += (settings.empty() ? "" : " ") + synthfs::quote(argv[i]);
    }
    if (ours < argc) {
        what.command.arguments.assign(argv + ours + 1, argv + argc);
        if (what.command.arguments.empty()) {
            std::fputs(kUsage, stderr);
            return kOwnFailure;
        }
    }
    if (!tree_answers(dir)) {
        return kOwnFailure;
    }
    catch_signals();
    const auto number = make_vm(dir, settings);
    if (!number) {
        return kOwnFailure;
    }
    const TemporaryVm vm(dir, *number);
    if (!start(vm)) {
        return caught_signal() != 0 ? 128 + caught_signal() : kOwnFailure;
    }
    if (const int number_of_signal = caught_signal(); number_of_signal != 0) {
        return 128 + number_of_signal;
    }
    if (what.command.arguments.empty()) {
        const int status = attach_console(vm.path());
        return status != 0 ? status : status_of_end(vm);
    }
    what.vm = vm.path();
    what.label = vm.label();
    what.command.afterwards = "sync";  // disks of the host's, which outlive the VM
    return run_in_console(what);
}

}  // namespace ennead::srv
