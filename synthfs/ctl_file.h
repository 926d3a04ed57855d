// SPDX-License-Identifier: MIT
// A file of verbs: each line written is a command, looked up in a table.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"
#include "synthfs/words.h"

namespace ennead::synthfs {

inline constexpr int kAnyArgs = -1;

struct Verb {
    std::string_view name;
    int min_args = 0;
    int max_args = 0;  // kAnyArgs: no limit
    std::string_view usage;
    // Does it, and answers once. Never waits for what takes time: that is only started. The command
    // stays valid until the answer. A fault's missing command is filled in.
    std::function<void(RequestPtr, const Command&, CheckedReply<>)> run;
    // Asked for every line of a message before the first is run; changes nothing.
    std::function<Checked<>(const Command&)> check{};
    // For verbs that mean the open they were written to: once `run` has succeeded, what this gives
    // is kept until that open is closed.
    std::function<std::shared_ptr<void>()> keep{};
};

// `run` of a verb that is done when its function returns: Checked<>(command) or Checked<>(request,
// command).
template <class F>
[[nodiscard]] auto at_once(F function) {
    return [function = std::move(function)](RequestPtr request, const Command& command,
                                            CheckedReply<> reply) {
        if constexpr (std::is_invocable_v<F, RequestPtr, const Command&>) {
            reply(function(std::move(request), command));
        } else {
            reply(function(command));
        }
    };
}

struct CtlFile {
    mode_t mode = 0644;
    std::string name = "ctl";
    ErrorSink errors{};
    std::vector<Verb> verbs;
    // What a read without a write gives.
    std::function<Checked<std::string>()> text{};
};

// All lines of a write are parsed and checked, then run in order. A line that is refused before
// anything ran leaves everything as it was; one that fails while running ends the message there.
// After a write the same descriptor reads `ok` or the error's text.
[[nodiscard]] SynthNodePtr make_ctl_file(CtlFile file);

}  // namespace ennead::synthfs
