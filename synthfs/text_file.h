// SPDX-License-Identifier: MIT
// A file whose text is a function, captured per open, and whose writes are messages of whole lines.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

struct TextWrite {
    std::string text;       // whole lines; only the last may lack its newline
    bool truncate = false;  // the first message after O_TRUNC: replaces what a list holds
    bool append = false;    // O_APPEND, or a further message of the same open: adds to it
};

struct TextFile {
    mode_t mode = 0444;
    std::string name{};
    ErrorSink errors{};

    // What a read gives. Called at offset 0 of every open, and again when it is rewound: later
    // reads come from that copy. At most one of the two; without either the file cannot be read.
    std::function<Checked<std::string>()> text{};
    std::function<void(RequestPtr, CheckedReply<std::string>)> text_later{};

    // One message, all of it or nothing; without this the file cannot be written. A message longer
    // than 64 KiB has been refused already (E2BIG). See MessageAssembler for texts that come in
    // pieces.
    std::function<void(RequestPtr, TextWrite, CheckedReply<>)> write{};

    // O_TRUNC and truncate(2) at once, before and without any write; for files that only can be
    // cleared.
    std::function<Checked<>()> truncate{};

    // The size shown; without it 0, as files of /proc do.
    std::function<std::uint64_t()> size{};
};

[[nodiscard]] SynthNodePtr make_text_file(TextFile file);

}  // namespace ennead::synthfs
