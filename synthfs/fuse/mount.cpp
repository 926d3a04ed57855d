// SPDX-License-Identifier: MIT
// The public side of a mount.
#include "synthfs/fuse/mount.h"

#include <utility>

#include "synthfs/fuse/mount_point.h"
#include "synthfs/fuse/session.h"

namespace ennead::synthfs::fuse {

Checked<std::unique_ptr<Mount>> Mount::mount(NodePtr root, const MountOptions& options,
                                             LogSink log) {
    // The directory first: a stale mount is removed even where a new one will not succeed.
    auto dir = prepare_mount_point(options.dir, log);
    if (!dir) {
        return std::move(dir.error());
    }
    if (auto available = check_fuse_available(); !available) {
        return std::move(available.error());
    }
    auto session = std::make_unique<Session>(std::move(root), std::move(log));
    if (auto mounted = session->mount(options, std::move(dir.value())); !mounted) {
        return std::move(mounted.error());
    }
    return std::unique_ptr<Mount>(new Mount(std::move(session)));
}

Mount::Mount(std::unique_ptr<Session> session) : session_(std::move(session)) {}
Mount::~Mount() = default;

int Mount::fd() const {
    return session_->fd();
}

void Mount::process() {
    session_->process();
}

bool Mount::ended() const {
    return session_->ended();
}

void Mount::unmount() {
    session_->unmount();
}

const std::string& Mount::dir() const {
    return session_->dir();
}

}  // namespace ennead::synthfs::fuse
