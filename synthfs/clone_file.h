// SPDX-License-Identifier: MIT
// A file whose first read makes something and gives its number (`new`).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

// `key=value`, written before the read.
struct Setting {
    std::string key;
    std::string value;
    std::string command;     // the line it stood in
    std::size_t column = 0;  // of the word
};

struct CloneFile {
    mode_t mode = 0666;
    std::string name = "new";
    ErrorSink errors{};
    // Makes it, with the settings in the order written, and answers with the text to be read: its
    // number.
    std::function<void(RequestPtr, std::vector<Setting>, CheckedReply<std::string>)> make;
    // Asked as a setting is written; a message is taken whole or not at all.
    std::function<Checked<>(const Setting&)> check{};
};

// Each open makes at most one; looking at the file or opening it makes none. Settings that come
// after it was made are refused with EBUSY; after settings that were refused the read
// answers with their errno and makes nothing. The text is then the open's, as a text file's is,
// followed by the end of file.
[[nodiscard]] SynthNodePtr make_clone_file(CloneFile file);

}  // namespace ennead::synthfs
