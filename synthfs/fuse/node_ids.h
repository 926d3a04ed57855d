// SPDX-License-Identifier: MIT
// The numbers by which the kernel knows files: one for each Identity, as long as the kernel
// remembers it.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "synthfs/node.h"

namespace ennead::synthfs::fuse {

// A number is never given twice, so the kernel's generation can stay the same.
class NodeIds {
  public:
    using Id = std::uint64_t;
    static constexpr Id kRoot = 1;  // FUSE_ROOT_ID; never forgotten

    explicit NodeIds(NodePtr root);

    // The number of `node`'s file, looked up once more.
    [[nodiscard]] Id remember(const NodePtr& node);
    // The kernel gives back `lookups` of them.
    void forget(Id id, std::uint64_t lookups);
    // Null if the kernel never had this number, or gave it back.
    [[nodiscard]] NodePtr find(Id id) const;

    [[nodiscard]] std::size_t size() const { return nodes_.size(); }

  private:
    struct Key {
        std::uint64_t source;
        std::uint64_t path;
        bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        std::size_t operator()(const Key& key) const;
    };
    struct Known {
        NodePtr node;
        std::uint64_t lookups = 0;
    };

    static Key key_of(const Node& node);

    std::unordered_map<Id, Known> nodes_;
    std::unordered_map<Key, Id, KeyHash> ids_;
    Id last_ = kRoot;
};

// The inode number shown for a file: `path` as it is for files of the root's own source, mixed with
// the source for all others, so that numbers of different sources hardly ever meet.
[[nodiscard]] std::uint64_t inode_number(std::uint64_t root_source, std::uint64_t source,
                                         std::uint64_t path);

}  // namespace ennead::synthfs::fuse
