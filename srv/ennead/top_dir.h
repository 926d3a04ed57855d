// SPDX-License-Identifier: MIT
// The files at the top of the tree.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "srv/ennead/vm_table.h"
#include "synthfs/ctl_file.h"
#include "synthfs/error_log.h"
#include "synthfs/tree.h"

namespace ennead::srv {

struct TopDir {
    VmTable& table;
    std::shared_ptr<synthfs::ErrorLog> errors;
    std::shared_ptr<synthfs::StreamFile> events;
    std::function<void()> quit;  // must return before anything is torn down
    synthfs::NodePtr mounted{};  // `n`
    // Further verbs of `ctl`, and the lines that it shows for them.
    std::vector<synthfs::Verb> verbs{};
    std::function<std::string()> settings{};
};

// The root of the tree; `top.table` outlives it.
[[nodiscard]] std::shared_ptr<synthfs::Directory> make_top_dir(TopDir top);

// The text of `help`.
[[nodiscard]] std::string_view help_text();

}  // namespace ennead::srv
