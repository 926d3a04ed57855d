// SPDX-License-Identifier: MIT
// The table of files that the kernel remembers.
#include "synthfs/fuse/node_ids.h"

#include <utility>

namespace ennead::synthfs::fuse {

namespace {

// The finaliser of the splitmix64 generator: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio

}  // namespace

std::size_t NodeIds::KeyHash::operator()(const Key& key) const {
    return mix(key.source * kGolden + key.path);
}

NodeIds::Key NodeIds::key_of(const Node& node) {
    const Identity identity = node.identity();
    return {identity.source, identity.path};
}

NodeIds::NodeIds(NodePtr root) {
    ids_.emplace(key_of(*root), kRoot);
    nodes_.emplace(kRoot, Known{std::move(root), 1});
}

NodeIds::Id NodeIds::remember(const NodePtr& node) {
    const auto [place, fresh] = ids_.try_emplace(key_of(*node), last_ + 1);
    if (fresh) {
        ++last_;
        nodes_.emplace(place->second, Known{node, 0});
    }
    ++nodes_.at(place->second).lookups;
    return place->second;
}

void NodeIds::forget(Id id, std::uint64_t lookups) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || id == kRoot) {
        return;
    }
    Known& known = found->second;
    if (known.lookups > lookups) {
        known.lookups -= lookups;
        return;
    }
    ids_.erase(key_of(*known.node));
    // The node's end may run code of its owner: not while the table is being changed.
    const NodePtr last_hold = std::move(known.node);
    nodes_.erase(found);
}

NodePtr NodeIds::find(Id id) const {
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? nullptr : found->second.node;
}

std::uint64_t inode_number(std::uint64_t root_source, std::uint64_t source, std::uint64_t path) {
    if (source == root_source) {
        return path;
    }
    const std::uint64_t number = mix(source * kGolden + path);
    return number != 0 ? number : 1;
}

}  // namespace ennead::synthfs::fuse
