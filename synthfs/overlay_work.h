// SPDX-License-Identifier: MIT
// The upper layer's workshop: new files and directories are finished here, then moved into place in
// one step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "synthfs/host_fd.h"
#include "synthfs/overlay_attr.h"

namespace ennead::synthfs {

// A directory beside the upper tree, on the same file system. Whatever a crash leaves in it is no
// part of the tree and is removed at the next opening.
class OverlayWork {
  public:
    // Takes `upper` (the scratch directory) for this process alone: EBUSY if another has it.
    // ENOTSUP if its file system keeps no user attributes.
    [[nodiscard]] static Result<std::unique_ptr<OverlayWork>> open(const HostFd& upper);

    [[nodiscard]] int fd() const { return dir_.get(); }
    [[nodiscard]] std::string fresh_name();

    struct Made {
        std::string name;
        HostFd fd;  // O_RDWR for files, O_RDONLY for directories
    };
    [[nodiscard]] Result<Made> make_file(const GuestAttr& attr);
    [[nodiscard]] Result<Made> make_dir(const GuestAttr& attr, bool opaque);

    // Moves a file made here over whatever plain file or whiteout is at `name` in `dir`.
    [[nodiscard]] Result<> move_out(const std::string& made, int dir, const std::string& name);
    // Puts what was made here in the place of `name` in `dir`, of whatever types both are; that one
    // goes.
    [[nodiscard]] Result<> swap_out(const std::string& made, int dir, const std::string& name);
    // Marks `name` in `dir` as removed; replaces what the upper layer has there, a directory too.
    [[nodiscard]] Result<> white_out(int dir, const std::string& name);

    // Removes something made here, with what is below it.
    void discard(const std::string& made);

  private:
    explicit OverlayWork(HostFd lock, HostFd dir) : lock_(std::move(lock)), dir_(std::move(dir)) {}
    void clear();
    [[nodiscard]] Result<> link_whiteout(int dir, const std::string& name);
    [[nodiscard]] Result<> make_whiteout();

    HostFd lock_;
    HostFd dir_;
    std::uint64_t last_ = 0;
    std::string whiteout_;  // one whiteout, linked to all the names removed; empty: none made yet
};

}  // namespace ennead::synthfs
