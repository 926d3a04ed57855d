// SPDX-License-Identifier: MIT
// An ELF file for i386 of a few bytes, perhaps with a multiboot header.
#pragma once

#include <cstring>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore::test {

struct TinyElf {
    struct Segment {
        u32 virtual_address, physical;
        std::vector<u8> bytes;
        u32 memory_size = 0;  // 0: as many as there are bytes
        u32 type = 1;         // PT_LOAD
    };
    std::vector<Segment> segments;
    u32 entry = 0x100000;
    u16 type = 2;     // ET_EXEC
    u16 machine = 3;  // EM_386

    [[nodiscard]] std::vector<u8> image() const {
        std::vector<u8> file(52 + 32 * segments.size());
        const auto put = [&](std::size_t at, auto value) {
            std::memcpy(file.data() + at, &value, sizeof value);
        };
        std::memcpy(file.data(),
                    "\x7f"
                    "ELF\1\1\1",
                    7);
        put(16, type);
        put(18, machine);
        put(20, u32{1});
        put(24, entry);
        put(28, u32{52});
        put(40, u16{52});
        put(42, u16{32});
        put(44, static_cast<u16>(segments.size()));
        for (std::size_t i = 0; i < segments.size(); i++) {
            const Segment& s = segments[i];
            const auto at = 52 + 32 * i;
            const auto size = static_cast<u32>(s.bytes.size());
            put(at, s.type);
            put(at + 4, static_cast<u32>(file.size()));
            put(at + 8, s.virtual_address);
            put(at + 12, s.physical);
            put(at + 16, size);
            put(at + 20, s.memory_size == 0 ? size : s.memory_size);
            file.insert(file.end(), s.bytes.begin(), s.bytes.end());
        }
        return file;
    }
};

// Three words: magic, flags, checksum; then five more if flags has bit 16.
inline std::vector<u8> multiboot_header(u32 flags, const std::vector<u32>& addresses = {}) {
    std::vector<u32> words{0x1badb002, flags, 0u - 0x1badb002u - flags};
    words.insert(words.end(), addresses.begin(), addresses.end());
    std::vector<u8> bytes(words.size() * 4);
    std::memcpy(bytes.data(), words.data(), bytes.size());
    return bytes;
}

}  // namespace ennead::vmcore::test
