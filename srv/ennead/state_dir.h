// SPDX-License-Identifier: MIT
// The server's private directory on disk: logs and scratch layers of its VMs.
#pragma once

#include <string>

#include "srv/ennead/supervisor.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// Made new for each server and removed by its destructor. One that a killed server left behind is
// removed when the next is made.
class StateDir {
  public:
    // In $TMPDIR, /var/tmp or $HOME/.cache: the first whose file system keeps user extended
    // attributes, which the overlay's upper layer needs.
    static synthfs::Checked<StateDir> make();
    StateDir(StateDir&&) = default;
    StateDir& operator=(StateDir&&) = delete;
    ~StateDir();

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    StateDir(std::string path, Fd fd, Fd lock)
        : path_(std::move(path)), fd_(std::move(fd)), lock_(std::move(lock)) {}
    std::string path_;
    Fd fd_;
    Fd lock_;  // held as long as the server lives, and let go by the kernel when it is killed
};

}  // namespace ennead::srv
