// SPDX-License-Identifier: MIT
// A file of bytes at offsets, with a real size: seekable, never captured (`log`, `mem`).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "synthfs/fault.h"
#include "synthfs/synth_node.h"

namespace ennead::synthfs {

struct DataFile {
    mode_t mode = 0444;
    std::string name{};
    ErrorSink errors{};

    std::function<std::uint64_t()> size{};
    // As pread(2): fewer bytes than asked only at the end of the file.
    std::function<void(RequestPtr, std::uint64_t offset, std::span<std::byte>,
                       CheckedReply<std::size_t>)>
        read{};
    // As pwrite(2); without it the file can only be read, or truncated.
    std::function<void(RequestPtr, std::uint64_t offset, std::span<const std::byte>,
                       CheckedReply<std::size_t>)>
        write{};
    // O_TRUNC and truncate(2); without it O_TRUNC is ignored where the file can be written.
    std::function<Checked<>(std::uint64_t size)> truncate{};
};

[[nodiscard]] SynthNodePtr make_data_file(DataFile file);

}  // namespace ennead::synthfs
