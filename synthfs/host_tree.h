// SPDX-License-Identifier: MIT
// What all nodes of one host directory, or of one overlay of several, have in common.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "synthfs/host_dir.h"
#include "synthfs/host_fd.h"
#include "synthfs/host_fd_cache.h"
#include "synthfs/host_pace.h"
#include "synthfs/offload.h"
#include "synthfs/overlay_work.h"
#include "synthfs/quota.h"

namespace ennead::synthfs {

class HostNode;

struct HostId {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const HostId&) const = default;
};

struct HostIdHash {
    std::size_t operator()(const HostId& id) const {
        return static_cast<std::size_t>(id.inode * 0x9e3779b97f4a7c15u ^ id.device);
    }
};

// How the layers are used. `direct`: one layer, whose host attributes are the guest's, and which
// others on the host may change at any time. `mapped`: layers merged, the guest's attributes kept
// in extended ones, the lower layers constant and the upper ours alone; so what is known of a live
// node need not be asked again.
enum class HostMode { direct, mapped };

// Layer 0 is the topmost. Only layer 0 is ever written, and only if `upper`.
struct HostTree {
    HostTree(HostMode mode, std::size_t max_descriptors);

    // A file's Identity::path from its host inode: the same at each look, and folded to 32 bits (as
    // Linux v9fs does for a 32-bit guest) still different for inodes below 2^28.
    [[nodiscard]] std::uint64_t number(HostId id);
    // The same for a file that has no inode of its own, known by name below `parent`.
    [[nodiscard]] static std::uint64_t number(std::uint64_t parent, const std::string& name);

    // See Node::revoke.
    void revoke();
    // Whether a look at the host came upon what is not to be entered.
    [[nodiscard]] bool hides(const struct stat& st) const;

    // Does `work` where it may wait, and then `then`: both at once if there is no other thread.
    void aside(std::function<void()> work, std::function<void()> then);

    // Lets go of a node; iterative, since each node holds its parent and a guest can nest without
    // end.
    void release(std::shared_ptr<HostNode> node);

    const HostMode mode;
    const std::uint64_t source;
    bool upper = false;    // layer 0 can be written
    bool revoked = false;  // nothing can be done any more: ESTALE
    // Not entered, in any layer but the upper one: EACCES.
    std::vector<HostId> hidden;
    dev_t hidden_device = 0;    // nor anything on this device; 0: none
    bool allow_set_id = false;  // direct: the guest may make set-user-ID files on the host
    bool sync_copies =
        false;  // mapped: a copied-up file reaches the disk before it takes its place
    std::uint64_t rename_copy_files = 0, rename_copy_bytes = 0;
    std::vector<FdRef> layers;  // the layers' roots
    std::unique_ptr<OverlayWork> work;
    std::shared_ptr<Offload> offload;  // null: everything is done on the spot
    HostPace pace;                     // of writes
    std::shared_ptr<Quota> quota;      // null: none
    [[nodiscard]] Quota::Kind quota_kind() const {
        return mode == HostMode::mapped ? Quota::Kind::layer : Quota::Kind::bind;
    }
    FdCache fds;
    std::size_t kept_descriptors = 0;  // held by open handles besides the cache's
    std::size_t pinned_files = 0;      // held after their removal, each with a descriptor
    const std::size_t most_pinned;     // an eighth of what the process may have
    std::size_t locked_files = 0;      // each of which has a descriptor for it; direct trees

    // Live nodes of files by host inode, so that all links to one are one node; not directories,
    // and not those of lower layers, whose links part when one is copied up.
    std::unordered_map<HostId, HostNode*, HostIdHash> by_id;
    // Live nodes by Identity::path; used where layers are merged, to keep it unique.
    std::unordered_map<std::uint64_t, HostNode*> by_path;

    // Of files that another server makes up: which devices are FUSE's, HostDirOptions'
    // when_readable, and what to call when the tree is revoked, by the handle.
    std::unordered_map<dev_t, bool> on_fuse;
    WhenReadable when_readable;
    std::unordered_map<const void*, std::function<void()>> on_revoke;

  private:
    std::vector<dev_t> devices_;  // their index + 1 is the top four bits of a number
    std::vector<std::shared_ptr<HostNode>> doomed_;
    bool releasing_ = false;
};

}  // namespace ennead::synthfs
