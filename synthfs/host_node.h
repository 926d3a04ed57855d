// SPDX-License-Identifier: MIT
// A live file or directory of a host tree: where it is now, in which layers, and what is known of
// it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "synthfs/host_fd_cache.h"
#include "synthfs/host_locks.h"
#include "synthfs/host_tree.h"
#include "synthfs/node.h"
#include "synthfs/overlay_attr.h"
#include "synthfs/shared_locks.h"

namespace ennead::synthfs {

class HostNode;
using HostNodePtr = std::shared_ptr<HostNode>;

// There is one node for each live file, whatever its names; it knows those it was reached by, and
// reaches the host through (parent, name) again whenever the cache has no descriptor. So the rename
// of a directory carries along everything below it, and a copy-up is seen by all open handles at
// once.
//
// When the last known name of a file goes while somebody holds the node, it keeps a descriptor of
// its own.
class HostNode final : public Node {
  public:
    static constexpr std::uint64_t kWhole = std::numeric_limits<std::uint64_t>::max();

    // What a look at the host found of a name.
    struct Found {
        int layer = 0;
        struct stat st {};
        GuestAttr attr;           // mapped trees only
        std::vector<int> layers;  // of a directory: those merged, topmost first
    };

    HostNode(std::shared_ptr<HostTree> tree, const Found& found, std::uint64_t path);
    ~HostNode() override;

    // The node of the tree's topmost directory.
    [[nodiscard]] static Result<HostNodePtr> make_root(std::shared_ptr<HostTree> tree);

    Identity identity() const override;
    mode_t type() const override { return type_; }
    bool is_stream() const override { return stream_; }
    void getattr(RequestPtr request, Reply<Attr> reply) override;
    void setattr(RequestPtr request, SetAttr change, Reply<> reply) override;
    void open(RequestPtr request, int flags, Reply<HandlePtr> reply) override;
    void readlink(RequestPtr request, Reply<std::string> reply) override;
    void statfs(RequestPtr request, Reply<StatFs> reply) override;
    void walk(RequestPtr request, std::string name, Reply<NodePtr> reply) override;
    void create(RequestPtr request, std::string name, int flags, mode_t mode, gid_t gid,
                Reply<Created> reply) override;
    void mkdir(RequestPtr request, std::string name, mode_t mode, gid_t gid,
               Reply<NodePtr> reply) override;
    void symlink(RequestPtr request, std::string name, std::string target, gid_t gid,
                 Reply<NodePtr> reply) override;
    void mknod(RequestPtr request, std::string name, mode_t mode, std::uint64_t rdev, gid_t gid,
               Reply<NodePtr> reply) override;
    void link(RequestPtr request, std::string name, NodePtr target, Reply<> reply) override;
    void unlink(RequestPtr request, std::string name, bool directory, Reply<> reply) override;
    void rename(RequestPtr request, std::string name, NodePtr new_parent, std::string new_name,
                Reply<> reply) override;
    void getxattr(RequestPtr request, std::string name, Reply<std::string> reply) override;
    void listxattr(RequestPtr request, Reply<std::vector<std::string>> reply) override;
    void setxattr(RequestPtr request, std::string name, std::string value, int flags,
                  Reply<> reply) override;
    void removexattr(RequestPtr request, std::string name, Reply<> reply) override;
    void revoke() override { tree_->revoke(); }

    // For handles.
    [[nodiscard]] HostTree& tree() { return *tree_; }
    [[nodiscard]] Result<> set_lock(const Lock& lock);
    [[nodiscard]] Lock blocking_lock(const Lock& lock);
    void release_locks(const std::string& client, std::uint32_t pid);
    // A descriptor to read, or to write, the contents now; the file is copied up before it is
    // written.
    [[nodiscard]] Result<FdRef> contents(bool write);
    [[nodiscard]] Result<struct stat> host_stat();
    // What was written reaches the disk. The node is the caller's to keep until the reply.
    void sync(bool data_only, Reply<> reply);
    // The contents were read, or written by `caller` (null: read).
    void note_read() { stat_valid_ = false; }
    [[nodiscard]] Result<> note_write(const Caller& caller);
    // How many of `size` bytes may be written to `fd`, a descriptor of the contents, and what the
    // quota has put by for them; EDQUOT if none. A claim is settled when the write is done.
    struct Claim {
        std::uint64_t bytes = 0, reserved = 0;
        bool counted = false;
    };
    [[nodiscard]] Result<Claim> claim(int fd, std::uint64_t offset, std::uint64_t size,
                                      bool append);
    void settle(int fd, const Claim& claim);
    // Up to `limit` entries; next_offset is left 0.
    [[nodiscard]] Result<std::vector<DirEntry>> list(std::size_t limit);
    // All of them, from another thread's reading if they may have to come from the disk.
    void list_all(Reply<std::vector<DirEntry>> reply);

  private:
    friend class BlockTally;

    // One known name. A root, and a file without names, has none.
    struct Place {
        HostNodePtr parent;
        std::string name;
    };
    struct NewFile {
        mode_t mode = 0;
        std::uint64_t rdev = 0;
        std::string target;  // of a symbolic link
        gid_t gid = 0;
    };

    [[nodiscard]] bool mapped() const { return tree_->mode == HostMode::mapped; }
    [[nodiscard]] bool is_dir() const { return S_ISDIR(type_); }
    [[nodiscard]] HostNodePtr self() {
        return std::static_pointer_cast<HostNode>(shared_from_this());
    }
    // ESTALE, EROFS, ENOTDIR, ENOENT (removed) or the name's own error, if nothing can be changed
    // under `name` here.
    [[nodiscard]] int refuse_change(const std::string& name) const;

    // Where it is (host_node.cpp).
    void add_place(HostNodePtr parent, const std::string& name);
    void drop_place(HostNode& parent, const std::string& name);
    [[nodiscard]] bool same_id(const struct stat& st) const;
    [[nodiscard]] Result<FdRef> dir_fd(int layer);
    [[nodiscard]] Result<FdRef> open_place(int flags);
    [[nodiscard]] Result<FdRef> open_for_locks(int flags);
    [[nodiscard]] Result<FdRef> attr_fd();  // to set attributes by: O_PATH in direct trees
    [[nodiscard]] Result<FdRef> xattr_fd();
    void set_id(const struct stat& st);
    [[nodiscard]] Result<> prepare_removal(long spare_references);
    void pin(FdRef fd);
    void settle_pin();
    void removed_from(HostNode& parent, const std::string& name);
    void touch() { stat_valid_ = false; }
    [[nodiscard]] std::uint32_t version(const struct stat& now) const;

    // The quota (host_quota.cpp).
    void count(std::int64_t bytes);

    // What is there (host_lookup.cpp).
    [[nodiscard]] std::vector<FdRef> layers_without(const std::string& name);
    [[nodiscard]] Result<HostNodePtr> lookup(const std::string& name);
    [[nodiscard]] Result<Found> find(const std::string& name);
    [[nodiscard]] HostNodePtr adopt(const std::string& name, const Found& found);
    [[nodiscard]] Result<bool> lower_has(const std::string& name);
    [[nodiscard]] std::uint64_t path_of(const std::string& name, const Found& found) const;
    [[nodiscard]] Result<std::optional<DirEntry>> describe(int layer, int dir, std::string name,
                                                           unsigned char type, HostId id);

    // Files that another server makes up (foreign_handle.cpp).
    [[nodiscard]] bool is_foreign();
    [[nodiscard]] Result<HandlePtr> open_foreign(int flags);

    // Attributes (host_attr.cpp).
    [[nodiscard]] Result<Attr> get_attr();
    [[nodiscard]] Result<> set_attr(const Caller& caller, const SetAttr& change);
    [[nodiscard]] Result<> set_owner_mode(const SetAttr& change, bool strip);
    [[nodiscard]] Result<> set_owner_mode_direct(const SetAttr& change, bool strip);
    [[nodiscard]] Result<> store_attr(const GuestAttr& attr);
    void strip_capability();
    [[nodiscard]] int bad_xattr(const std::string& name, bool write) const;
    [[nodiscard]] std::string host_xattr(const std::string& name) const;
    [[nodiscard]] Result<std::string> get_guest_xattr(const std::string& name);
    [[nodiscard]] Result<std::vector<std::string>> list_guest_xattrs();
    [[nodiscard]] Result<> change_xattr(const std::string& name, const std::string* value,
                                        int flags);

    // Changes to a directory (host_change.cpp, host_rename.cpp).
    [[nodiscard]] Result<HandlePtr> open_handle(const Caller& caller, int flags);
    [[nodiscard]] Result<std::string> read_link();
    [[nodiscard]] Result<Created> create_file(const Caller& caller, const std::string& name,
                                              int flags, mode_t mode, gid_t gid);
    [[nodiscard]] Result<HostNodePtr> make(const Caller& caller, const std::string& name,
                                           NewFile file);
    [[nodiscard]] GuestAttr attr_of_new(const Caller& caller, const NewFile& file) const;
    [[nodiscard]] Result<HostNodePtr> make_mapped(const std::string& name, const GuestAttr& attr,
                                                  const std::string& contents);
    [[nodiscard]] Result<HostNodePtr> make_direct(const Caller& caller, const std::string& name,
                                                  const NewFile& file);
    [[nodiscard]] Result<> add_link(const std::string& name, HostNode& target);
    [[nodiscard]] Result<> link_host(const std::string& name, HostNode& target);
    [[nodiscard]] Result<> remove(const std::string& name, bool directory);
    [[nodiscard]] Result<> remove_mapped(const std::string& name, HostNode& child);
    [[nodiscard]] Result<> rename_child(const std::string& name, HostNode& to,
                                        const std::string& new_name);
    [[nodiscard]] Result<> check_replace(HostNode& moved, HostNode* replaced, HostNode& to);
    [[nodiscard]] Result<> move_mapped(const std::string& name, HostNode& moved, HostNode& to,
                                       const std::string& new_name, HostNode* replaced);
    [[nodiscard]] Result<> clear_for_replacement();

    // Into the upper layer (overlay_copy_up.cpp). Only the first `keep` bytes of a file are needed.
    [[nodiscard]] Result<> copy_up(std::uint64_t keep = kWhole);
    [[nodiscard]] Result<> copy_up_here(std::uint64_t keep);
    [[nodiscard]] Result<> copy_up_dir();
    [[nodiscard]] Result<> copy_up_file(std::uint64_t keep);
    [[nodiscard]] Result<> copy_contents(int to, std::uint64_t keep);
    [[nodiscard]] Result<> copy_up_tree();

    const std::shared_ptr<HostTree> tree_;
    const mode_t type_;
    const std::uint64_t path_;
    mode_t host_type_;      // the host's idea of it: links and devices of the upper layer are plain
                            // files there
    int layer_;             // the one that has its contents and attributes
    bool upper_;            // that one can be written
    HostId id_;             // in that layer
    bool removed_ = false;  // a directory that is gone; last_attr_ tells what it was
    std::optional<Attr> last_attr_;
    std::vector<Place> places_;
    std::map<int, FdSlot> layers_;                         // a directory's
    std::unordered_map<std::string, HostNode*> children_;  // live ones, which remove themselves
    FdSlot read_fd_, write_fd_;  // an upper file of a mapped tree uses write_fd_, O_RDWR, for both
    FdRef pinned_;               // of a file without known names
    GuestAttr attr_;             // mapped trees only
    bool may_have_capability_ = true;
    unsigned claims_ = 0;        // of writes under way
    std::uint64_t counted_ = 0;  // the file's blocks, in bytes, as the quota knows them meanwhile
    std::optional<std::uint64_t> unlinked_bytes_;  // of a file without names: what it counts there
    bool stream_ = false;                          // known once it was opened
    // A directory that was not in the host's memory when it was found, and has not been listed.
    bool cold_ = false;
    struct stat stat_ {};
    bool stat_valid_ = false;
    std::uint32_t changes_ = 0;  // host times are too coarse to tell two writes apart
    LockTable locks_;            // of a mapped tree, which nobody else uses
    SharedLocks shared_locks_;   // of a direct one
};

}  // namespace ennead::synthfs
