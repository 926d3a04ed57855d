// SPDX-License-Identifier: MIT
// What the tests of host directories and overlays share: scratch directories, and operations as
// plain calls.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "synthfs/node.h"

namespace ennead::synthfs::test {

// A directory that is gone with the object. Empty path: nowhere here keeps user extended
// attributes.
class TempDir {
  public:
    // Memory before disk: some disks take milliseconds to remove a directory.
    TempDir() : TempDir(std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "/dev/shm") {}
    explicit TempDir(const std::string& first) {
        for (const std::string& base :
             {first, std::string("/tmp"), std::string("/var/tmp"), std::string(".")}) {
            std::string path = base + "/ennead-test-XXXXXX";
            if (::mkdtemp(path.data()) == nullptr) {
                continue;
            }
            if (::setxattr(path.c_str(), "user.ennead.probe", "1", 1, 0) == 0) {
                path_ = std::filesystem::absolute(path);
                return;
            }
            ::rmdir(path.c_str());
        }
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;
        if (!path_.empty()) {
            std::filesystem::remove_all(path_, ignored);
        }
    }

    [[nodiscard]] std::string path(const std::string& below = "") const {
        return below.empty() ? path_ : path_ + "/" + below;
    }
    [[nodiscard]] bool usable() const { return !path_.empty(); }

    void dir(const std::string& name, mode_t mode = 0755) const {
        std::filesystem::create_directories(path(name));
        ::chmod(path(name).c_str(), mode);
    }
    void file(const std::string& name, const std::string& text, mode_t mode = 0644) const {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::ofstream(path(name)) << text;
        ::chmod(path(name).c_str(), mode);
    }
    void symlink(const std::string& name, const std::string& target) const {
        std::filesystem::create_symlink(target, path(name));
    }
    [[nodiscard]] std::string text(const std::string& name) const {
        std::ifstream in(path(name));
        return {std::istreambuf_iterator<char>(in), {}};
    }
    [[nodiscard]] bool has(const std::string& name) const {
        struct stat st {};
        return ::lstat(path(name).c_str(), &st) == 0;
    }
    [[nodiscard]] int fd(const std::string& name = "") const {
        return ::open(path(name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    }

  private:
    std::string path_;
};

// Runs `call` with a Reply and returns what it was given; it must have been called.
template <class T, class Call>
Result<T> answer(Call call) {
    std::optional<Result<T>> got;
    call(Reply<T>([&](Result<T> result) {
        EXPECT_FALSE(got.has_value()) << "answered twice";
        got.emplace(std::move(result));
    }));
    EXPECT_TRUE(got.has_value()) << "not answered";
    return got ? std::move(*got) : Result<T>(error(EPROTO));
}

inline RequestPtr by(unsigned uid, unsigned gid = 0) {
    return std::make_shared<Request>(Caller{uid, gid, 0});
}

inline RequestPtr root() {
    return by(0);
}

// 0, or the errno.
template <class T>
int err(const Result<T>& result) {
    return result ? 0 : to_errno(result.error());
}

// Follows no links; "" is `from` itself.
inline Result<NodePtr> walk(NodePtr from, const std::string& path) {
    std::size_t at = 0;
    while (at < path.size()) {
        const std::size_t slash = std::min(path.find('/', at), path.size());
        const std::string name = path.substr(at, slash - at);
        auto next = answer<NodePtr>([&](auto reply) { from->walk(root(), name, reply); });
        if (!next) {
            return next;
        }
        from = next.value();
        at = slash + 1;
    }
    return from;
}

inline Result<HandlePtr> open(const NodePtr& node, int flags, RequestPtr request = root()) {
    return answer<HandlePtr>([&](auto reply) { node->open(request, flags, reply); });
}

inline Result<std::string> read(const HandlePtr& handle, std::uint64_t offset = 0,
                                std::size_t size = 1 << 16) {
    std::string text(size, '\0');
    const auto got = answer<std::size_t>([&](auto reply) {
        handle->read(root(), offset, std::as_writable_bytes(std::span(text.data(), text.size())),
                     reply);
    });
    if (!got) {
        return got.error();
    }
    text.resize(got.value());
    return text;
}

inline Result<std::size_t> write(const HandlePtr& handle, std::uint64_t offset,
                                 const std::string& text, RequestPtr request = root()) {
    return answer<std::size_t>([&](auto reply) {
        handle->write(request, offset, std::as_bytes(std::span(text.data(), text.size())), reply);
    });
}

inline Result<Attr> attr(const NodePtr& node) {
    return answer<Attr>([&](auto reply) { node->getattr(root(), reply); });
}

inline Result<> set(const NodePtr& node, SetAttr change, RequestPtr request = root()) {
    return answer<void>([&](auto reply) { node->setattr(request, change, reply); });
}

inline Result<> resize(const NodePtr& node, std::uint64_t size) {
    SetAttr change;
    change.size = size;
    return set(node, change);
}

inline Result<> chmod(const NodePtr& node, mode_t mode) {
    SetAttr change;
    change.mode = mode;
    return set(node, change);
}

inline Result<Created> create(const NodePtr& dir, const std::string& name, mode_t mode = 0644,
                              int flags = O_RDWR | O_EXCL, RequestPtr request = root(),
                              gid_t gid = 0) {
    return answer<Created>(
        [&](auto reply) { dir->create(request, name, flags, mode, gid, reply); });
}

inline Result<NodePtr> mkdir(const NodePtr& dir, const std::string& name, mode_t mode = 0755) {
    return answer<NodePtr>([&](auto reply) { dir->mkdir(root(), name, mode, 0, reply); });
}

inline Result<NodePtr> symlink(const NodePtr& dir, const std::string& name,
                               const std::string& target) {
    return answer<NodePtr>([&](auto reply) { dir->symlink(root(), name, target, 0, reply); });
}

inline Result<NodePtr> mknod(const NodePtr& dir, const std::string& name, mode_t mode,
                             std::uint64_t rdev) {
    return answer<NodePtr>([&](auto reply) { dir->mknod(root(), name, mode, rdev, 0, reply); });
}

inline Result<std::string> readlink(const NodePtr& node) {
    return answer<std::string>([&](auto reply) { node->readlink(root(), reply); });
}

inline Result<> link(const NodePtr& dir, const std::string& name, const NodePtr& target) {
    return answer<void>([&](auto reply) { dir->link(root(), name, target, reply); });
}

inline Result<> unlink(const NodePtr& dir, const std::string& name) {
    return answer<void>([&](auto reply) { dir->unlink(root(), name, false, reply); });
}

inline Result<> rmdir(const NodePtr& dir, const std::string& name) {
    return answer<void>([&](auto reply) { dir->unlink(root(), name, true, reply); });
}

inline Result<> rename(const NodePtr& dir, const std::string& name, const NodePtr& to,
                       const std::string& new_name) {
    return answer<void>([&](auto reply) { dir->rename(root(), name, to, new_name, reply); });
}

inline Result<std::string> getxattr(const NodePtr& node, const std::string& name) {
    return answer<std::string>([&](auto reply) { node->getxattr(root(), name, reply); });
}

inline Result<> setxattr(const NodePtr& node, const std::string& name, const std::string& value,
                         int flags = 0) {
    return answer<void>([&](auto reply) { node->setxattr(root(), name, value, flags, reply); });
}

inline Result<std::vector<std::string>> listxattr(const NodePtr& node) {
    return answer<std::vector<std::string>>([&](auto reply) { node->listxattr(root(), reply); });
}

// All entries, read `batch` at a time.
inline Result<std::vector<DirEntry>> entries(const NodePtr& dir, std::size_t batch = 7) {
    const auto handle = open(dir, O_RDONLY | O_DIRECTORY);
    if (!handle) {
        return handle.error();
    }
    std::vector<DirEntry> all;
    for (std::uint64_t offset = 0;;) {
        auto some = answer<std::vector<DirEntry>>(
            [&](auto reply) { handle.value()->readdir(root(), offset, batch, reply); });
        if (!some) {
            return some.error();
        }
        if (some.value().empty()) {
            return all;
        }
        offset = some.value().back().next_offset;
        std::move(some.value().begin(), some.value().end(), std::back_inserter(all));
    }
}

// Sorted names; a name given twice shows twice.
inline std::vector<std::string> names(const NodePtr& dir) {
    std::vector<std::string> found;
    const auto listed = entries(dir);
    EXPECT_EQ(err(listed), 0);
    if (listed) {
        for (const DirEntry& entry : listed.value()) {
            found.push_back(entry.name);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

using Names = std::vector<std::string>;

// The whole contents, or "errno N".
inline std::string contents(const NodePtr& from, const std::string& path) {
    const auto node = walk(from, path);
    const auto handle = node ? open(node.value(), O_RDONLY) : Result<HandlePtr>(node.error());
    const auto text = handle ? read(handle.value()) : Result<std::string>(handle.error());
    return text ? text.value() : "errno " + std::to_string(err(text));
}

}  // namespace ennead::synthfs::test
