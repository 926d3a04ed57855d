// SPDX-License-Identifier: MIT
// How the upper layer records what the guest sees of a file: as text in extended attributes of a
// plain host file.
#include "synthfs/overlay_attr.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <limits>

namespace ennead::synthfs {

namespace {

// Takes one number off the front of `text`.
bool take(std::string_view& text, int base, std::uint64_t limit, std::uint64_t& value) {
    const std::size_t start = text.find_first_not_of(' ');
    if (start == std::string_view::npos) {
        return false;
    }
    text.remove_prefix(start);
    const auto [end, failure] =
        std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failure != std::errc() || value > limit) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return text.empty() || text.front() == ' ';
}

bool known_type(mode_t mode) {
    switch (mode & S_IFMT) {
        case S_IFREG:
        case S_IFDIR:
        case S_IFLNK:
        case S_IFCHR:
        case S_IFBLK:
        case S_IFIFO:
        case S_IFSOCK:
            return true;
        default:
            return false;
    }
}

}  // namespace

std::string to_text(const GuestAttr& attr) {
    char text[96];
    int length = std::snprintf(text, sizeof text, "%o %u %u", attr.mode, attr.uid, attr.gid);
    const auto append = [&](std::uint64_t value) {
        length += std::snprintf(text + length, sizeof text - static_cast<std::size_t>(length),
                                " %llu", static_cast<unsigned long long>(value));
    };
    if (attr.rdev != 0 || attr.path != 0) {
        append(attr.rdev);
    }
    if (attr.path != 0) {
        append(attr.path);
    }
    return {text, static_cast<std::size_t>(length)};
}

std::optional<GuestAttr> parse_guest_attr(std::string_view text) {
    constexpr std::uint64_t kWord = std::numeric_limits<std::uint32_t>::max();
    constexpr std::uint64_t kLong = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t mode = 0, uid = 0, gid = 0, rdev = 0, path = 0;
    if (!take(text, 8, 0177777, mode) || !take(text, 10, kWord, uid) ||
        !take(text, 10, kWord, gid)) {
        return std::nullopt;
    }
    if (!text.empty() && !take(text, 10, kLong, rdev)) {
        return std::nullopt;
    }
    if (!text.empty() && !take(text, 10, kLong, path)) {
        return std::nullopt;
    }
    if (!text.empty() || !known_type(static_cast<mode_t>(mode))) {
        return std::nullopt;
    }
    return GuestAttr{static_cast<mode_t>(mode), static_cast<uid_t>(uid), static_cast<gid_t>(gid),
                     rdev, path};
}

GuestAttr attr_from_host(const struct stat& st) {
    static const uid_t own_uid = ::geteuid();
    static const gid_t own_gid = ::getegid();
    GuestAttr attr;
    attr.mode = st.st_mode;
    attr.uid = st.st_uid == own_uid ? 0 : st.st_uid;
    attr.gid = st.st_gid == own_gid ? 0 : st.st_gid;
    attr.rdev = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? st.st_rdev : 0;
    return attr;
}

Result<UpperInfo> read_upper(int dir, const std::string& name) {
    const auto st = stat_in(dir, name);
    if (!st) {
        return st.error();
    }
    UpperInfo info;
    info.st = st.value();
    info.attr = attr_from_host(info.st);
    // Anything else was put there by hand on the host; it is shown, and never opened.
    if (!S_ISREG(info.st.st_mode) && !S_ISDIR(info.st.st_mode)) {
        return info;
    }
    const auto fd = open_in(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!fd) {
        return fd.error();
    }
    const auto text = get_xattr(fd.value().get(), kAttrXattr);
    if (!text) {
        return text.error();
    }
    if (text.value()) {
        if (*text.value() == kWhiteoutText) {
            info.whiteout = true;
            return info;
        }
        const auto attr = parse_guest_attr(*text.value());
        if (!attr || S_ISDIR(attr->mode) != S_ISDIR(info.st.st_mode)) {
            return error(EIO);
        }
        info.attr = *attr;
    }
    if (S_ISDIR(info.st.st_mode)) {
        const auto opaque = get_xattr(fd.value().get(), kOpaqueXattr);
        if (!opaque) {
            return opaque.error();
        }
        info.opaque = opaque.value().has_value();
    }
    return info;
}

}  // namespace ennead::synthfs
