// SPDX-License-Identifier: MIT
// Other servers' trees under `n/`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "srv/ennead/remote_tree.h"
#include "synthfs/ctl_file.h"
#include "synthfs/namespace.h"
#include "synthfs/tree.h"

namespace ennead::srv {

// Loop thread only. At each name there is one tree, or a union of them with Plan 9's meaning, one
// level deep; members that are not connected are left out of a union.
class Mounts {
  public:
    struct Options {
        boost::asio::io_context& io;
        const HiddenPlaces& hidden;
        synthfs::ErrorSink errors{};  // why a tree is not there, each time that changes
        std::function<void(std::string)> log;
    };

    explicit Mounts(Options options);
    ~Mounts() { close(); }
    Mounts(const Mounts&) = delete;
    Mounts& operator=(const Mounts&) = delete;

    // `n`.
    [[nodiscard]] synthfs::NodePtr directory() const { return names_->root(); }

    // `mount [-abc] addr n/name`: only begun here. Without -a (after) and -b (before) it replaces
    // what is at the name; a connection that goes on being wanted is kept. EINVAL: flags, address
    // or name. EEXIST: with -a or -b, the address is there already. EDQUOT: too many.
    synthfs::Checked<> mount(const synthfs::Command& line);
    // `unmount [addr] n/name`: one of a union, or all. ENOENT: not mounted.
    synthfs::Checked<> unmount(const synthfs::Command& line);
    // For good.
    void close();

    [[nodiscard]] std::vector<synthfs::Verb> verbs();
    // `mount` lines that give the same again; what is not connected is followed by why, as a
    // comment.
    [[nodiscard]] std::string text() const;

    static constexpr std::size_t kMost = 256;

  private:
    struct Member {
        std::shared_ptr<RemoteTree> tree;
        bool create = false;
    };
    struct Point {
        std::string name;
        std::vector<Member> members;
    };

    // Shows `points` from now on.
    synthfs::Checked<> show(std::vector<Point> points);
    [[nodiscard]] std::shared_ptr<RemoteTree> connect(const synthfs::Address& address,
                                                      const std::string& name);

    Options options_;
    std::shared_ptr<synthfs::Namespace> names_ = synthfs::Namespace::make();
    std::shared_ptr<synthfs::Directory> base_;
    std::vector<Point> points_;
};

}  // namespace ennead::srv
