// SPDX-License-Identifier: MIT
// The header by which a kernel says that it is a multiboot kernel (Multiboot Specification 0.6.96,
// §3.1).
#pragma once

#include <optional>
#include <span>

#include "vmcore/types.h"

namespace ennead::vmcore {

struct MultibootHeader {
    // Where the header's bytes lie in the image, and, if the header has addresses (bit 16), where
    // the image goes: for kernels that are no ELF files.
    u32 at;
    bool has_addresses;
    u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;

    // Nothing if there is none in the first 8 KiB, or if it wants what is not defined.
    [[nodiscard]] static std::optional<MultibootHeader> find(std::span<const u8> image);
};

}  // namespace ennead::vmcore
