// SPDX-License-Identifier: MIT
// A folder of the host shown as it is, never above its root, and never through its links.
#include "synthfs/host_dir.h"

#include <utility>

#include "synthfs/host_node.h"

namespace ennead::synthfs {

Result<NodePtr> make_host_dir(int root_fd, HostDirOptions options) {
    HostFd root(root_fd);
    const auto st = stat_fd(root.get());
    if (!st) {
        return st.error();
    }
    if (!S_ISDIR(st.value().st_mode)) {
        return error(ENOTDIR);
    }
    auto tree = std::make_shared<HostTree>(HostMode::direct, options.max_descriptors);
    tree->upper = !options.read_only;
    tree->allow_set_id = options.allow_set_id;
    for (const auto& [device, inode] : options.hidden) {
        tree->hidden.push_back({device, inode});
    }
    tree->hidden_device = options.hidden_device;
    tree->offload = std::move(options.offload);
    tree->quota = std::move(options.quota);
    tree->pace = HostPace(std::move(options.clock));
    tree->when_readable = std::move(options.when_readable);
    tree->layers.push_back(share(std::move(root)));
    auto node = HostNode::make_root(std::move(tree));
    if (!node) {
        return node.error();
    }
    return NodePtr(std::move(node.value()));
}

}  // namespace ennead::synthfs
