// SPDX-License-Identifier: MIT
// Files under /vm/N whose contents live in the VM's process, and directories of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "synthfs/error_log.h"
#include "synthfs/synth_node.h"

namespace ennead::srv {

struct LiveFile {
    mode_t mode = 0600;
    std::string name;  // the path from /vm/N on, which is that in the VM process's tree
    bool stream = false;
    // Its contents are a list, which O_TRUNC and truncate(2) to nothing clear, not the machine, to
    // which they mean nothing.
    bool list = false;
    synthfs::ErrorSink errors{};
    // The VM process's tree; null while there is no process, and then an open answers EBUSY.
    std::function<synthfs::NodePtr()> tree;
    std::function<std::uint64_t()> size{};  // without it 0
    // Where the VM process's words for a failure come to stand; null: nowhere.
    std::shared_ptr<const synthfs::ErrorLog> log{};
};

// The node stays the same over the VM's processes; an open belongs to the process it was made
// under, and answers ENODEV once that has ended. A failed operation is told by the VM process
// itself, with its words, which mostly are there before its answer: who asked then gets them too.
[[nodiscard]] synthfs::SynthNodePtr make_live_file(LiveFile file);

// A directory whose files come and go in the VM's process; they have the mode of `files`. Its
// listing is the one there as it begins. While there is no process it is empty, so that find(1) has
// nothing to complain of, and a look at a name answers EBUSY.
struct LiveDirectory {
    mode_t mode = 0500;
    LiveFile files;  // `name`: that of the directory
};
[[nodiscard]] synthfs::SynthNodePtr make_live_directory(LiveDirectory directory);

}  // namespace ennead::srv
