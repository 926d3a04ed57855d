// SPDX-License-Identifier: MIT
// The files at the top of the tree.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// The text of `help`, and of `version`.
[[nodiscard]] std::string_view help_text();
[[nodiscard]] std::string version_text();

// What the top has in common with the tree of a guest (guest_tree.h): `above` is that guest's VM,
// and the VMs are those below it. At the top it is nothing; without a VM any more, ENODEV.
using Above = std::optional<std::weak_ptr<Vm>>;
[[nodiscard]] synthfs::SynthNodePtr make_new_file(VmTable& table, synthfs::ErrorSink errors,
                                                  Above above);
// Making, naming and removing by mkdir, rename and rmdir.
[[nodiscard]] synthfs::DirectoryHooks make_vm_hooks(VmTable& table, Above above);

}  // namespace ennead::srv
