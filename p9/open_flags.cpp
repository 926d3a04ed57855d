// SPDX-License-Identifier: MIT
// Translates open flags.
#include "p9/open_flags.h"

#include <fcntl.h>

#include <array>

namespace ennead::p9 {
namespace {

// 9P2000.L's open flags are Linux's generic ones in octal; only those a node knows are passed on.
// What a client asks of its own cache (NOCTTY, DIRECT, LARGEFILE, NOATIME, CLOEXEC) is dropped.
struct OpenFlag {
    std::uint32_t wire;
    int host;
};
constexpr auto kOpenFlags = std::to_array<OpenFlag>({
    // clang-format off
    {00000200, O_EXCL},
    {00001000, O_TRUNC},
    {00002000, O_APPEND},
    {00004000, O_NONBLOCK},
    {00010000, O_DSYNC},
    {00200000, O_DIRECTORY},
    {00400000, O_NOFOLLOW},
    {04000000, O_SYNC},
    // clang-format on
});
constexpr std::uint32_t kCreate = 00000100;

}  // namespace

std::optional<int> host_open_flags(std::uint32_t wire) {
    const std::uint32_t access = wire & 3;
    if (access == 3) {
        return std::nullopt;
    }
    int flags = access == 1 ? O_WRONLY : access == 2 ? O_RDWR : O_RDONLY;
    for (const OpenFlag& flag : kOpenFlags) {
        if ((wire & flag.wire) != 0) {
            flags |= flag.host;
        }
    }
    return flags;
}

std::uint32_t wire_open_flags(int flags) {
    const int access = flags & O_ACCMODE;
    std::uint32_t wire = access == O_WRONLY ? 1 : access == O_RDWR ? 2 : 0;
    for (const OpenFlag& flag : kOpenFlags) {
        // O_SYNC is two bits, of which O_DSYNC is one.
        if ((flags & flag.host) == flag.host) {
            wire |= flag.wire;
        }
    }
    return (flags & O_CREAT) != 0 ? wire | kCreate : wire;
}

}  // namespace ennead::p9
