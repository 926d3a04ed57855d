// SPDX-License-Identifier: MIT
// Copying a file's contents and attributes from one layer to another.
#include "synthfs/overlay_copy.h"

#include <linux/limits.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "synthfs/overlay_attr.h"

namespace ennead::synthfs {

namespace {

constexpr std::size_t kChunk = std::size_t{256} << 10;
constexpr off_t kRange = off_t{1} << 30;

Result<> copy_by_hand(int from, int to, off_t at, off_t end) {
    std::vector<char> buffer(kChunk);
    while (at < end) {
        const auto want = static_cast<std::size_t>(std::min<off_t>(end - at, kChunk));
        const ssize_t got = ::pread(from, buffer.data(), want, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return last_error();
        }
        if (got == 0) {
            return success();  // it became shorter meanwhile
        }
        for (ssize_t done = 0; done < got;) {
            const ssize_t put =
                ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(got - done), at + done);
            if (put < 0 && errno != EINTR) {
                return last_error();
            }
            done += std::max<ssize_t>(put, 0);
        }
        at += got;
    }
    return success();
}

// copy_file_range(2) shares blocks or copies inside the kernel where it can; it may refuse pairs of
// file systems (EXDEV, EINVAL, EOPNOTSUPP), be missing (ENOSYS) or filtered (EPERM).
Result<> copy_range(int from, int to, off_t at, off_t end) {
    while (at < end) {
        off_t in = at, out = at;
        const auto want = static_cast<std::size_t>(std::min(end - at, kRange));
        const ssize_t got = ::copy_file_range(from, &in, to, &out, want, 0);
        if (got > 0) {
            at += got;
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else if (got < 0 &&
                   (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) {
            return last_error();
        } else {
            return copy_by_hand(from, to, at, end);
        }
    }
    return success();
}

}  // namespace

Result<> copy_data(int from, int to, std::uint64_t length) {
    const auto st = stat_fd(from);
    if (!st) {
        return st.error();
    }
    const off_t size = st.value().st_size;
    const off_t end = length < static_cast<std::uint64_t>(size) ? static_cast<off_t>(length) : size;
    for (off_t at = 0; at < end;) {
        off_t data = ::lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            break;  // only a hole is left
        }
        // A file system that knows no holes is one stretch of data.
        const bool knows_holes = data >= 0;
        data = knows_holes ? std::min(data, end) : at;
        off_t hole = knows_holes ? ::lseek(from, data, SEEK_HOLE) : end;
        hole = hole < 0 ? end : std::min(hole, end);
        if (auto copied = copy_range(from, to, data, hole); !copied) {
            return copied;
        }
        if (hole <= at) {
            break;  // the file changed under us; what it lost reads as a hole
        }
        at = hole;
    }
    if (::ftruncate(to, end) != 0) {
        return last_error();
    }
    return success();
}

Result<> copy_user_xattrs(int from, int to) {
    const auto names = list_xattrs(from);
    if (!names) {
        return names.error();
    }
    for (const std::string& name : names.value()) {
        const bool shown = name.starts_with("user.") && !name.starts_with(kOwnXattrPrefix);
        // A name too long to be prefixed cannot be kept; losing it is less than refusing to write
        // the file.
        if (!shown || kGuestXattrPrefix.size() + name.size() > XATTR_NAME_MAX) {
            continue;
        }
        const auto value = get_xattr(from, name);
        if (!value) {
            return value.error();
        }
        if (value.value()) {
            if (auto set = set_xattr(to, kGuestXattrPrefix + name, *value.value()); !set) {
                return set;
            }
        }
    }
    return success();
}

}  // namespace ennead::synthfs
