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
#include <vector>

#include "srv/ennead/exports.h"
#include "srv/ennead/mounts.h"
#include "srv/ennead/state_dir.h"
#include "srv/ennead/vm_table.h"
#include "synthfs/error_log.h"
#include "synthfs/fuse/mount.h"

namespace ennead::srv {

struct AppOptions {
    std::string dir;                  // where to mount the tree; empty: nowhere
    std::vector<std::string> listen;  // addresses for 9P clients
    bool listen_anyway = false;       // TCP for other hosts
};

class App {
  public:
    // Mounts the tree and gives it to 9P clients. `log` takes a line.
    static synthfs::Checked<std::unique_ptr<App>> make(const AppOptions& options,
                                                       std::function<void(std::string)> log);
    ~App();
    App(const App&) = delete;
    App& operator=(const App&) = delete;

    // Serves until `quit` is written, the tree is unmounted, or a signal ends it.
    void run();

  private:
    App(StateDir state, bool listen_anyway, std::function<void(std::string)> log);
    synthfs::Checked<> mount(const std::string& dir);
    void watch_mount();
    void quit();

    boost::asio::io_context io_;
    StateDir state_;
    std::shared_ptr<synthfs::ErrorLog> errors_;
    VmServices services_;
    VmTable table_;
    std::shared_ptr<synthfs::Directory> root_;
    std::unique_ptr<Mounts> mounts_;
    std::unique_ptr<Exports> exports_;
    std::unique_ptr<synthfs::fuse::Mount> mount_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> mount_ready_;
    boost::asio::signal_set signals_;
    bool quitting_ = false;
};

}  // namespace ennead::srv
