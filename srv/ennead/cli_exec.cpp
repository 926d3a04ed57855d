// SPDX-License-Identifier: MIT
// Options of `exec`, and which VMs it can be for.
#include "srv/ennead/cli_exec.h"

#include <getopt.h>

#include <cstdio>
#include <string>

#include "srv/ennead/cli_command_options.h"
#include "srv/ennead/cli_console.h"
#include "srv/ennead/cli_tree.h"

namespace ennead::srv {

int exec_command(int argc, char** argv) {
    constexpr const char* kUsage = "usage: ennead exec [-d DIR] [-n] [-t SECONDS] N command…\n";
    std::string dir = default_tree();
    ConsoleCommand what;
    if (const auto status = parse_command_options(argc, argv, kUsage, dir, what)) {
        return *status;
    }
    if (argc - optind < 2) {
        std::fputs(kUsage, stderr);
        return kOwnFailure;
    }
    const auto vm = find_vm(dir, argv[optind]);
    if (!vm) {
        return kOwnFailure;
    }
    what.vm = *vm;
    what.label = std::string("VM ") + argv[optind];
    what.command.arguments.assign(argv + optind + 1, argv + argc);
    const std::string status = read_file(*vm + "/status").value_or("");
    const std::string state = status.substr(0, status.find(' '));
    if (state != "running") {
        complain("%s is %s", what.label.c_str(), state.empty() ? "gone" : state.c_str());
        return kOwnFailure;
    }
    return run_in_console(what);
}

}  // namespace ennead::srv
