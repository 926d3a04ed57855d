// SPDX-License-Identifier: MIT
// How the upper layer records what the guest sees of a file: as text in extended attributes of a
// plain host file.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "synthfs/host_fd.h"

namespace ennead::synthfs {

// What the guest sees. The host's own owner and mode are always those of the server with 0600 or
// 0700, so a guest cannot leave a set-user-ID file, a device node or another user's file behind.
struct GuestAttr {
    mode_t mode = 0;  // type and permissions
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t rdev = 0;
    std::uint64_t path =
        0;  // Identity::path carried over from a lower layer; 0: the host inode gives it
};

// `user.ennead.attr` holds "mode uid gid rdev path" (mode in octal, the last two left out when 0),
// or "whiteout" on the empty file that stands for a removed name.
inline const std::string kAttrXattr = "user.ennead.attr";
inline constexpr std::string_view kWhiteoutText = "whiteout";
// Set to "y" on a directory below which the lower layers do not show.
inline const std::string kOpaqueXattr = "user.ennead.opaque";
// The guest's own attributes are kept under this prefix.
inline const std::string kGuestXattrPrefix = "user.ennead.x.";
// Everything of ours begins so; hidden where it occurs in a lower layer.
inline constexpr std::string_view kOwnXattrPrefix = "user.ennead.";

[[nodiscard]] std::string to_text(const GuestAttr& attr);
[[nodiscard]] std::optional<GuestAttr> parse_guest_attr(std::string_view text);

// What a file without our attribute shows: the host's values, with the server's own user and group
// as 0, because whoever builds a base tree is root inside it.
[[nodiscard]] GuestAttr attr_from_host(const struct stat& st);

struct UpperInfo {
    struct stat st {};
    GuestAttr attr;
    bool whiteout = false;
    bool opaque = false;
};

// What the upper layer says of `name` in `dir`. EIO if the record there is damaged.
[[nodiscard]] Result<UpperInfo> read_upper(int dir, const std::string& name);

}  // namespace ennead::synthfs
