// SPDX-License-Identifier: MIT
// A file or directory of the tree, wherever it comes from: a function, a host directory, another 9P
// server.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "synthfs/handle.h"
#include "synthfs/request.h"
#include "synthfs/result.h"

namespace ennead::synthfs {

class Node;
using NodePtr = std::shared_ptr<Node>;

// What makes two Node objects the same file. `source` is unique to the mounted thing
// (next_source()), `path` to the file within it while it or a handle to it lives, and is never
// reused for another file meanwhile. `version` is 0 for synthetic files, whose contents no client
// may cache (Linux v9fs relies on it), and changes with the contents of disk files.
struct Identity {
    std::uint64_t source = 0;
    std::uint64_t path = 0;
    std::uint32_t version = 0;

    [[nodiscard]] bool same_file(const Identity& other) const {
        return source == other.source && path == other.path;
    }
};

// A fresh Identity::source. Callable from any thread.
[[nodiscard]] std::uint64_t next_source();

struct Attr {
    mode_t mode = 0;  // type and permission bits, as in struct stat
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t nlink = 1;
    std::uint64_t rdev = 0;  // makedev() form, for device nodes
    std::uint64_t size = 0;
    std::uint64_t block_size = 4096;
    std::uint64_t blocks = 0;  // of 512 bytes
    std::timespec atime{}, mtime{}, ctime{};
    Identity identity;
};

// A time to be set: a value, or the moment of the operation.
struct SetTime {
    bool now = false;
    std::timespec value{};
};

// Only what has a value is changed; all of it or nothing.
struct SetAttr {
    std::optional<mode_t> mode;  // permission bits only
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::optional<std::uint64_t> size;
    std::optional<SetTime> atime, mtime;
};

struct StatFs {
    std::uint32_t type = 0x01021997;  // V9FS_MAGIC
    std::uint32_t block_size = 4096;
    std::uint64_t blocks = 0, blocks_free = 0, blocks_available = 0;
    std::uint64_t files = 0, files_free = 0;
    std::uint64_t fsid = 0;
    std::uint32_t name_max = 255;
};

// POSIX record locks, as 9P2000.L carries them.
struct Lock {
    enum class Kind { read, write, unlock };
    Kind kind = Kind::unlock;
    std::uint64_t start = 0;
    std::uint64_t length = 0;  // 0: to the end of the file
    std::uint32_t pid = 0;     // of the process inside the client
    std::string client;        // which client asked: owners are (client, pid)
};

struct Created {
    NodePtr node;
    HandlePtr handle;
};

// Everything that can be asked of a file. What a kind of node does not override refuses politely:
// ENOTDIR, EISDIR, EPERM or EOPNOTSUPP as fits.
//
// Every operation answers through its Reply exactly once (see request.h); most do so before they
// return. Nodes belong to one thread. A node stays valid while anyone holds it, even after its file
// was removed; operations then answer ENOENT, or work on the removed file where POSIX says so.
//
// Names are single components: never empty, ".", ".." or containing '/'; the faces (FUSE, 9P) check
// this. Open flags are Linux O_* values; only O_ACCMODE, O_TRUNC, O_APPEND, O_NONBLOCK, O_EXCL,
// O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_SYNC and O_DSYNC have meaning, the rest is ignored.
class Node : public std::enable_shared_from_this<Node> {
  public:
    virtual ~Node() = default;

    [[nodiscard]] virtual Identity identity() const = 0;
    // S_IFMT bits; known without asking anyone.
    [[nodiscard]] virtual mode_t type() const = 0;
    // The file is a stream: offsets mean nothing, a read may wait for what comes next.
    [[nodiscard]] virtual bool is_stream() const { return false; }
    // Reading it makes something (`new`): not for those who are only to look.
    [[nodiscard]] virtual bool reading_makes() const { return false; }

    virtual void getattr(RequestPtr request, Reply<Attr> reply) = 0;
    virtual void setattr(RequestPtr request, SetAttr change, Reply<> reply);

    virtual void open(RequestPtr request, int flags, Reply<HandlePtr> reply) = 0;
    virtual void readlink(RequestPtr request, Reply<std::string> reply);
    virtual void statfs(RequestPtr request, Reply<StatFs> reply);

    // Directories. ENOENT if there is no such name.
    virtual void walk(RequestPtr request, std::string name, Reply<NodePtr> reply);
    // Makes and opens a regular file. An existing one is opened unless O_EXCL (EEXIST).
    virtual void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                        Reply<Created> reply);
    virtual void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
                       Reply<NodePtr> reply);
    virtual void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                         Reply<NodePtr> reply);
    // `mode` has the S_IFMT bits of the special (or regular) file to make.
    virtual void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev,
                       gid_t gid, Reply<NodePtr> reply);
    // A new name in this directory for `target`, a node of the same source (else EXDEV).
    virtual void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply);
    virtual void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply);
    // Moves `name` of this directory to `new_name` in `new_parent`, replacing what is there as
    // rename(2) does.
    virtual void rename(RequestPtr request, std::string name, NodePtr new_parent,
                        std::string new_name, Reply<> reply);

    virtual void getxattr(RequestPtr request, std::string name, Reply<std::string> reply);
    virtual void listxattr(RequestPtr request, Reply<std::vector<std::string>> reply);
    // `flags`: XATTR_CREATE, XATTR_REPLACE or 0.
    virtual void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                          Reply<> reply);
    virtual void removexattr(RequestPtr request, std::string name, Reply<> reply);

    // Of a tree's root: takes all of the tree away from those who still hold nodes or handles of
    // it. Every operation on them then answers ESTALE, and what the tree held is let go.
    virtual void revoke() {}
};

}  // namespace ennead::synthfs
