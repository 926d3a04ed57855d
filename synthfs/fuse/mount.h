// SPDX-License-Identifier: MIT
// The FUSE face: shows a tree of nodes as a mounted directory.
#pragma once

#include <memory>
#include <string>

#include "synthfs/fault.h"
#include "synthfs/log.h"
#include "synthfs/node.h"

namespace ennead::synthfs::fuse {

struct MountOptions {
    std::string dir;
    std::string fsname = "ennead";  // the source that mount tables show
};

class Session;

// Everything happens on the thread that owns the tree, inside process(); nothing here waits.
class Mount {
  public:
    // Mounts at once; the tree answers as soon as process() is called. A fault's text is one line
    // for the user. Files belong to the user of this process; others are let in where the system
    // allows it (root, or user_allow_other in /etc/fuse.conf), and modes decide what they may do.
    static Checked<std::unique_ptr<Mount>> mount(NodePtr root, const MountOptions& options,
                                                 LogSink log);
    Mount(const Mount&) = delete;
    Mount& operator=(const Mount&) = delete;
    // Unmounts. Not from within process().
    ~Mount();

    // To be polled for reading by the owner's loop, which then calls process(). Valid until
    // unmount().
    [[nodiscard]] int fd() const;
    // Carries out what has arrived; leaves the rest, so wait for fd() again. Afterwards ended() may
    // have become true.
    void process();
    // Unmounted, from outside (fusermount3 -u) or by unmount(); or the connection was aborted.
    [[nodiscard]] bool ended() const;
    // Cancels what waits, answers it, and unmounts; allowed from within process().
    void unmount();

    // The absolute path of the directory mounted on.
    [[nodiscard]] const std::string& dir() const;

  private:
    explicit Mount(std::unique_ptr<Session> session);
    std::unique_ptr<Session> session_;
};

}  // namespace ennead::synthfs::fuse
