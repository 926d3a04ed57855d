// SPDX-License-Identifier: MIT
// The server: owns the loop, the tree, the VMs and the mount; starts and stops them in order.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>
#include <memory>
#include <string>

#include "srv/ennead/state_dir.h"
#include "srv/ennead/vm_table.h"
#include "synthfs/error_log.h"
#include "synthfs/fuse/mount.h"

namespace ennead::srv {

class App {
  public:
    // Mounts the tree at `dir`. `log` takes a line.
    static synthfs::Checked<std::unique_ptr<App>> make(const std::string& dir,
                                                       std::function<void(std::string)> log);
    ~App();
    App(const App&) = delete;
    App& operator=(const App&) = delete;

    // Serves until `quit` is written, the tree is unmounted, or a signal ends it.
    void run();

    // The absolute path of the mount point.
    [[nodiscard]] const std::string& dir() const { return mount_->dir(); }

  private:
    App(StateDir state, std::function<void(std::string)> log);
    void watch_mount();
    void quit();

    boost::asio::io_context io_;
    StateDir state_;
    std::shared_ptr<synthfs::ErrorLog> errors_;
    VmServices services_;
    VmTable table_;
    std::shared_ptr<synthfs::Directory> root_;
    std::unique_ptr<synthfs::fuse::Mount> mount_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> mount_ready_;
    boost::asio::signal_set signals_;
    bool quitting_ = false;
};

}  // namespace ennead::srv
