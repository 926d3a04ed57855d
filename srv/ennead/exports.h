// SPDX-License-Identifier: MIT
// The tree for 9P clients: where it is given, which part of it, and to whom.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "p9/stream.h"
#include "srv/ennead/host_source.h"
#include "srv/ennead/listener.h"
#include "synthfs/ctl_file.h"
#include "synthfs/node.h"

namespace ennead::srv {

// Loop thread only. Every client acts as the user that the kernel knows it as (PeerUser), whatever
// it calls itself, and is given what owner, group and mode of each file give that user; a client
// that is root may name somebody else.
class Exports {
  public:
    struct Options {
        boost::asio::io_context& io;
        const HiddenPlaces& hidden;
        bool anyway = false;  // TCP for other hosts
        std::function<void(std::string)> log;
    };

    explicit Exports(Options options) : options_(std::move(options)) {}
    // The tree; to be called before anything is added.
    void attach(synthfs::NodePtr root) { root_ = std::move(root); }
    ~Exports() { close(); }
    Exports(const Exports&) = delete;
    Exports& operator=(const Exports&) = delete;

    // The part of the tree at `path` ("/": all of it). Errors as Listener::open; ENOENT and so on
    // if there is nothing at `path` now. The same again changes nothing. EEXIST: something else is
    // given at this address.
    synthfs::Checked<> add(const std::string& address, const std::string& path, bool read_only);
    // Its clients are sent away. ENOENT: nothing is given there.
    synthfs::Checked<> remove(const std::string& address);
    // Ends all, for good.
    void close();

    // `export addr [path] [-r]` and `unexport addr`, for the ctl file at the top.
    [[nodiscard]] std::vector<synthfs::Verb> verbs();
    // `export` lines that give the same again.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::size_t clients() const;
    // One more is sent away.
    static constexpr std::size_t kMostClients = 1024;

  private:
    struct Export;
    void accept(const std::shared_ptr<Export>& to, Fd client);
    static void serve(const Options& options, const std::shared_ptr<Export>& to, Fd client,
                      const std::string& name, synthfs::NodePtr part);

    Options options_;
    synthfs::NodePtr root_;
    std::vector<std::shared_ptr<Export>> exports_;
    unsigned long last_client_ = 0;
};

}  // namespace ennead::srv
