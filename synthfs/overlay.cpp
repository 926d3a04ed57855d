// SPDX-License-Identifier: MIT
// Shared read-only directories with a private writable one over them, shown to a guest as one root
// of its own.
#include "synthfs/overlay.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "synthfs/host_node.h"
#include "synthfs/host_quota.h"
#include "synthfs/overlay_copy.h"
#include "synthfs/overlay_work.h"

namespace ennead::synthfs {

namespace {

const std::string kRootName = "root";

// Makes the upper layer's root, looking like that of the topmost lower layer.
Result<> make_upper_root(int scratch, const FdRef& lower, OverlayWork& work) {
    GuestAttr attr;
    attr.mode = S_IFDIR | 0755;
    struct stat st {};
    if (lower) {
        const auto found = stat_fd(lower->get());
        if (!found) {
            return found.error();
        }
        st = found.value();
        attr = attr_from_host(st);
    }
    auto made = work.make_dir(attr, false);
    if (!made) {
        return made.error();
    }
    if (lower) {
        const auto from = open_in(lower->get(), ".", O_RDONLY | O_DIRECTORY);
        const int to = made.value().fd.get();
        auto copied = from ? copy_user_xattrs(from.value().get(), to) : from.error();
        const timespec times[2] = {st.st_atim, st.st_mtim};
        if (copied && ::futimens(to, times) != 0) {
            copied = last_error();
        }
        if (!copied) {
            work.discard(made.value().name);
            return copied;
        }
    }
    return work.move_out(made.value().name, scratch, kRootName);
}

Result<FdRef> open_upper(const HostFd& scratch, const FdRef& lower, OverlayWork& work) {
    auto root = open_in(scratch.get(), kRootName, O_PATH | O_DIRECTORY);
    if (!root && root.error() == error(ENOENT)) {
        if (auto made = make_upper_root(scratch.get(), lower, work); !made) {
            return made.error();
        }
        root = open_in(scratch.get(), kRootName, O_PATH | O_DIRECTORY);
    }
    if (!root) {
        return root.error();
    }
    return share(std::move(root.value()));
}

}  // namespace

Result<NodePtr> make_overlay(std::vector<int> lower_fds, int upper_fd, OverlayOptions options) {
    auto tree = std::make_shared<HostTree>(HostMode::mapped, options.max_descriptors);
    const HostFd scratch(upper_fd);
    for (const int fd : lower_fds) {
        tree->layers.push_back(share(HostFd(fd)));
    }
    for (const FdRef& layer : tree->layers) {
        const auto st = stat_fd(layer->get());
        if (!st || !S_ISDIR(st.value().st_mode)) {
            return st ? error(ENOTDIR) : st.error();
        }
    }
    if (upper_fd < 0 && lower_fds.empty()) {
        return error(EINVAL);
    }
    if (upper_fd >= 0) {
        auto work = OverlayWork::open(scratch);
        if (!work) {
            return work.error();
        }
        tree->work = std::move(work.value());
        auto root =
            open_upper(scratch, tree->layers.empty() ? FdRef() : tree->layers.front(), *tree->work);
        if (!root) {
            return root.error();
        }
        tree->layers.insert(tree->layers.begin(), std::move(root.value()));
        tree->upper = true;
    }
    for (const auto& [device, inode] : options.hidden) {
        tree->hidden.push_back({device, inode});
    }
    tree->hidden_device = options.hidden_device;
    tree->offload = std::move(options.offload);
    if (tree->upper && options.quota) {
        options.quota->add_layer([top = tree->layers.front()] { return count_blocks(top->get()); });
        tree->quota = std::move(options.quota);
    }
    tree->sync_copies = options.sync_copies;
    tree->rename_copy_files = options.rename_copy_files;
    tree->rename_copy_bytes = options.rename_copy_bytes;
    // Devices are numbered in the order of the layers, so that a file has the same number at each
    // opening.
    for (const FdRef& layer : tree->layers) {
        if (const auto st = stat_fd(layer->get())) {
            (void)tree->number({st.value().st_dev, st.value().st_ino});
        }
    }
    auto node = HostNode::make_root(std::move(tree));
    if (!node) {
        return node.error();
    }
    return NodePtr(std::move(node.value()));
}

}  // namespace ennead::synthfs
