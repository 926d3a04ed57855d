// SPDX-License-Identifier: MIT
// A file of a tree in memory. Included by ram_*.cpp only.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "synthfs/host_locks.h"
#include "synthfs/node.h"
#include "synthfs/ram_tree.h"

namespace ennead::synthfs {

class RamNode;
using RamNodePtr = std::shared_ptr<RamNode>;

// What all files of a tree have in common.
struct RamTree {
    explicit RamTree(RamTreeOptions o) : options(o), source(next_source()) {}

    // False, and nothing taken, if that would be above the limit.
    [[nodiscard]] bool take(std::uint64_t bytes);
    void give_back(std::uint64_t bytes) { used -= bytes; }
    // Lets go of a directory's contents without recursion: a guest can nest without end.
    void release(RamNodePtr node);

    const RamTreeOptions options;
    const std::uint64_t source;
    std::uint64_t used = 0, files = 0;
    std::uint64_t last_path = 0;
    bool revoked = false;
    std::weak_ptr<RamNode> root;

  private:
    std::vector<RamNodePtr> doomed_;
    bool releasing_ = false;
};

// A regular file's bytes; what was never written reads as zeroes and takes no memory.
class RamContents {
  public:
    explicit RamContents(std::shared_ptr<RamTree> tree) : tree_(std::move(tree)) {}
    ~RamContents() { resize(0); }
    RamContents(const RamContents&) = delete;
    RamContents& operator=(const RamContents&) = delete;

    [[nodiscard]] std::uint64_t size() const { return size_; }
    [[nodiscard]] std::uint64_t pages() const { return pages_.size(); }
    void resize(std::uint64_t size);
    [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> into) const;
    // Fewer bytes than given, or none, once the tree is full.
    [[nodiscard]] std::size_t write(std::uint64_t offset, std::span<const std::byte> data);

    static constexpr std::uint64_t kPage = 4096;

  private:
    using Page = std::array<std::byte, kPage>;
    const std::shared_ptr<RamTree> tree_;
    std::uint64_t size_ = 0;
    std::map<std::uint64_t, std::unique_ptr<Page>> pages_;  // by number
};

class RamNode final : public Node {
  public:
    struct Names {
        std::string name;
        RamNodePtr node;
    };

    // Has been paid for: kRamNodeCost, and its target's length.
    RamNode(std::shared_ptr<RamTree> tree, mode_t mode, const Caller& owner, gid_t gid,
            std::uint64_t rdev, std::string target);
    ~RamNode() override;

    Identity identity() const override { return {tree_->source, path_, version_}; }
    mode_t type() const override { return attr_.mode & S_IFMT; }
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
    void revoke() override;

    // For handles.
    [[nodiscard]] bool revoked() const { return tree_->revoked; }
    [[nodiscard]] RamContents& contents() { return contents_; }
    [[nodiscard]] LockTable& locks() { return locks_; }
    void note_read();
    void note_write(const Caller& caller);
    // The entries after the one that has `offset`.
    [[nodiscard]] std::vector<DirEntry> list(std::uint64_t offset, std::size_t max_entries) const;

  private:
    friend struct RamTree;

    [[nodiscard]] bool is_dir() const { return S_ISDIR(attr_.mode); }
    [[nodiscard]] RamNodePtr self() {
        return std::static_pointer_cast<RamNode>(shared_from_this());
    }
    // 0, or why nothing can be looked up, or changed, under `name` here.
    [[nodiscard]] int refuse_look(const std::string& name) const;
    [[nodiscard]] int refuse_change(const std::string& name) const;
    [[nodiscard]] Result<RamNodePtr> lookup(const std::string& name) const;
    [[nodiscard]] Result<RamNodePtr> make(const Caller& caller, const std::string& name,
                                          mode_t mode, std::uint64_t rdev, gid_t gid,
                                          std::string target);
    [[nodiscard]] Result<HandlePtr> open_handle(const Caller& caller, int flags);
    [[nodiscard]] Result<> set_attr(const Caller& caller, const SetAttr& change);
    [[nodiscard]] Result<> rename_child(const std::string& name, RamNode& to,
                                        const std::string& new_name);
    // Null: removes it.
    [[nodiscard]] Result<> change_xattr(const std::string& name, const std::string* value);
    void drop_capability();
    [[nodiscard]] int bad_xattr(const std::string& name, bool write) const;
    void add_name(const std::string& name, RamNodePtr node);
    RamNodePtr drop_name(const std::string& name);
    void changed();  // contents: both times
    void touched();  // attributes alone

    const std::shared_ptr<RamTree> tree_;
    const std::uint64_t path_;
    Attr attr_;  // size, blocks and identity are worked out
    std::uint32_t version_ = 1;
    RamContents contents_;
    std::string target_;
    std::map<std::string, std::string> xattrs_;
    LockTable locks_;

    // A directory's. Offsets only grow, so that a listing meets each name that stays once.
    RamNode* above_ = nullptr;  // null at the root and once removed
    std::map<std::uint64_t, Names> entries_;
    std::map<std::string, std::uint64_t> offsets_;
    std::uint64_t last_offset_ = 0;
};

}  // namespace ennead::synthfs
