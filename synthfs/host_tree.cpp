// SPDX-License-Identifier: MIT
// What all nodes of one host directory, or of one overlay of several, have in common.
#include "synthfs/host_tree.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "synthfs/host_node.h"
#include "synthfs/node.h"

namespace ennead::synthfs {

namespace {

constexpr unsigned kDeviceShift = 60;
constexpr std::uint64_t kInodeMask = (std::uint64_t{1} << kDeviceShift) - 1;
// For what is too large, or from too many devices, to be numbered directly.
constexpr std::uint64_t kHashed = std::uint64_t{15} << kDeviceShift;

// SplitMix64's finaliser.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

std::size_t descriptors() {
    rlimit files{};
    return ::getrlimit(RLIMIT_NOFILE, &files) == 0 ? static_cast<std::size_t>(files.rlim_cur)
                                                   : 1024;
}

}  // namespace

HostTree::HostTree(HostMode mode_, std::size_t max_descriptors)
    : mode(mode_), source(next_source()), fds(max_descriptors), most_pinned(descriptors() / 8) {}

std::uint64_t HostTree::number(HostId id) {
    auto found = std::find(devices_.begin(), devices_.end(), id.device);
    if (found == devices_.end() && devices_.size() < 14) {
        devices_.push_back(id.device);
        found = devices_.end() - 1;
    }
    if (found == devices_.end() || id.inode > kInodeMask) {
        return kHashed | (mix(mix(id.device) ^ id.inode) & kInodeMask);
    }
    const auto tag = static_cast<std::uint64_t>(found - devices_.begin()) + 1;
    return (tag << kDeviceShift) | id.inode;
}

std::uint64_t HostTree::number(std::uint64_t parent, const std::string& name) {
    std::uint64_t hash = mix(parent + 1);
    for (const char c : name) {
        hash = mix(hash ^ static_cast<unsigned char>(c));
    }
    return kHashed | (hash & kInodeMask);
}

void HostTree::revoke() {
    revoked = true;
    upper = false;
    fds.clear();
    // An invalid descriptor is a failure of its own, should a look at `revoked` be missing
    // somewhere.
    for (FdRef& layer : layers) {
        layer = share(HostFd());
    }
    work.reset();  // and with it the lock on the scratch directory
    // An answer may lead to anything.
    while (!on_revoke.empty()) {
        const auto next = on_revoke.begin();
        const auto tell = std::move(next->second);
        on_revoke.erase(next);
        tell();
    }
}

bool HostTree::hides(const struct stat& st) const {
    if (hidden_device != 0 && st.st_dev == hidden_device) {
        return true;
    }
    return std::find(hidden.begin(), hidden.end(), HostId{st.st_dev, st.st_ino}) != hidden.end();
}

void HostTree::release(std::shared_ptr<HostNode> node) {
    doomed_.push_back(std::move(node));
    if (std::exchange(releasing_, true)) {
        return;
    }
    while (!doomed_.empty()) {
        // Its destructor may add its parent to the list.
        const std::shared_ptr<HostNode> last = std::move(doomed_.back());
        doomed_.pop_back();
    }
    releasing_ = false;
}

void HostTree::aside(std::function<void()> work, std::function<void()> then) {
    if (offload) {
        offload->run(std::move(work), std::move(then));
        return;
    }
    work();
    then();
}

}  // namespace ennead::synthfs
