// SPDX-License-Identifier: MIT
// The options that `exec` and `run` have in common.
#include "srv/ennead/cli_command_options.h"

#include <getopt.h>

#include <cstdio>

#include "srv/ennead/cli_tree.h"

namespace ennead::srv {

std::optional<int> parse_command_options(int argc, char** argv, const char* usage, std::string& dir,
                                         ConsoleCommand& what) {
    int c = 0;
    // +: what follows the first other word may be the command's.
    while ((c = getopt(argc, argv, "+d:hnt:")) != -1) {
        switch (c) {
            case 'd':
                dir = optarg;
                break;
            case 'n':
                what.command.with_input = false;
                break;
            case 't':
                if (!parse_patience(optarg, what.patience)) {
                    return kOwnFailure;
                }
                break;
            case 'h':
                std::fputs(usage, stdout);
                return 0;
            default:
                std::fputs(usage, stderr);
                return kOwnFailure;
        }
    }
    return std::nullopt;
}

}  // namespace ennead::srv
