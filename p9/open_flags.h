// SPDX-License-Identifier: MIT
// The open flags of 9P2000.L and the host's O_*.
#pragma once

#include <cstdint>
#include <optional>

namespace ennead::p9 {

// O_* of a wire value, without O_CREAT; nothing for the access mode 3, which neither reads nor
// writes.
[[nodiscard]] std::optional<int> host_open_flags(std::uint32_t wire);
[[nodiscard]] std::uint32_t wire_open_flags(int flags);

}  // namespace ennead::p9
