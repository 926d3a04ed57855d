// SPDX-License-Identifier: MIT
// Wires the tree to the mount and runs the loop.
#include "srv/ennead/app.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <iterator>

#include "srv/ennead/top_dir.h"

namespace ennead::srv {
namespace {

// Each VM takes a handful of descriptors, each open of its live files none; each reader of the tree
// none either.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace

synthfs::Checked<std::unique_ptr<App>> App::make(const AppOptions& options,
                                                 std::function<void(std::string)> log) {
    raise_descriptor_limit();
    auto state = StateDir::make();
    if (!state) {
        return state.error();
    }
    auto app = std::unique_ptr<App>(new App(std::move(state.value()), options.listen_anyway, log));
    if (!options.dir.empty()) {
        if (auto mounted = app->mount(options.dir); !mounted) {
            return mounted.error();
        }
    }
    for (const std::string& address : options.listen) {
        if (auto added = app->exports_->add(address, "/", false); !added) {
            return added.error();
        }
    }
    return app;
}

synthfs::Checked<> App::mount(const std::string& dir) {
    auto mount = synthfs::fuse::Mount::mount(
        root_, {.dir = dir}, [log = services_.log](synthfs::LogLevel, std::string_view line) {
            log(std::string(line));
        });
    if (!mount) {
        return mount.error();
    }
    mount_ = std::move(mount.value());
    if (const auto device = device_of_mount(mount_->dir()); device) {
        services_.hidden.tree_device = device.value();
    } else {
        return device.error();
    }
    watch_mount();
    return synthfs::success();
}

App::App(StateDir state, bool listen_anyway, std::function<void(std::string)> log)
    : state_(std::move(state)),
      errors_(synthfs::ErrorLog::make(16)),
      services_{.io = io_,
                .installation = Installation::find(),
                .state_dir_fd = state_.fd(),
                .events = synthfs::StreamFile::make(
                    {.name = "events", .errors = errors_->sink(), .lines = true}),
                .log = std::move(log)},
      table_(services_),
      signals_(io_, SIGINT, SIGTERM) {
    struct stat st {};
    if (fstat(state_.fd(), &st) == 0) {
        services_.hidden.directories.emplace_back(st.st_dev, st.st_ino);
    }
    exports_ = std::make_unique<Exports>(Exports::Options{
        .io = io_, .hidden = services_.hidden, .anyway = listen_anyway, .log = services_.log});
    mounts_ = std::make_unique<Mounts>(Mounts::Options{
        .io = io_, .hidden = services_.hidden, .errors = errors_->sink(), .log = services_.log});
    services_.mounted = [this]() -> synthfs::NodePtr {
        return mounts_ ? mounts_->directory() : nullptr;
    };
    std::vector<synthfs::Verb> verbs = mounts_->verbs();
    std::ranges::move(exports_->verbs(), std::back_inserter(verbs));
    root_ = make_top_dir({.table = table_,
                          .errors = errors_,
                          .events = services_.events,
                          // The write that asks for it is answered before anything is torn down.
                          .quit = [this] { boost::asio::post(io_, [this] { quit(); }); },
                          .mounted = mounts_->directory(),
                          .verbs = std::move(verbs),
                          .settings = [this] { return mounts_->text() + exports_->text(); }});
    table_.attach(root_);
    exports_->attach(root_);
    signals_.async_wait([this](boost::system::error_code ec, int) {
        if (!ec) {
            quit();
        }
    });
}

App::~App() {
    table_.destroy_all();
    exports_ = nullptr;
    mounts_ = nullptr;
    if (mount_ready_) {
        mount_ready_->release();  // the descriptor is the mount's
    }
}

void App::run() {
    io_.run();
}

void App::watch_mount() {
    mount_ready_ = std::make_unique<boost::asio::posix::stream_descriptor>(io_, mount_->fd());
    struct Waiter {
        App* app;
        void operator()(boost::system::error_code ec) const {
            if (ec || app->quitting_) {
                return;
            }
            app->mount_->process();
            if (app->mount_->ended()) {
                app->quit();
                return;
            }
            app->mount_ready_->async_wait(boost::asio::posix::stream_descriptor::wait_read, *this);
        }
    };
    mount_ready_->async_wait(boost::asio::posix::stream_descriptor::wait_read, Waiter{this});
}

void App::quit() {
    if (std::exchange(quitting_, true)) {
        return;
    }
    // VMs first: blocked reads of their files are answered while there is still somebody to answer
    // to.
    table_.destroy_all();
    mounts_->close();
    exports_->close();
    if (mount_) {
        mount_ready_->release();
        mount_ready_ = nullptr;
        mount_->unmount();
    }
    io_.stop();
}

}  // namespace ennead::srv
