// SPDX-License-Identifier: MIT
// Runs one command in the shell at a VM's console: `exec`, and what `run` does once its VM is on.
#pragma once

#include <chrono>
#include <string>

#include "srv/ennead/cli_shell.h"

namespace ennead::srv {

struct ConsoleCommand {
    std::string vm{};     // the VM's directory
    std::string label{};  // what messages call it
    ShellCommand command{};
    std::chrono::seconds patience{10};  // how long the shell may take to answer
    bool booting = false;               // the VM was started just now
};

// Types the command at the shell, copies its output to standard output and, if it is to have it,
// standard input to it, and gives its exit status; kOwnFailure, and a line on standard error, if it
// could not be run or its end is not known; 128 + n if signal n ended this.
//
// One at a time on each console: others wait (flock on `cons`). The output is read from `log`,
// where nothing is lost to a slow reader; `cons` says when to look. What a user has typed at the
// prompt is typed again afterwards, if it can be told what that was. Ctrl-C (SIGINT) is the
// command's, the third one is ours; SIGTERM, SIGHUP and SIGQUIT interrupt the command and end this.
[[nodiscard]] int run_in_console(const ConsoleCommand& what);

}  // namespace ennead::srv
