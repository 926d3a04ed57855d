// SPDX-License-Identifier: MIT
// A socket that waits for 9P clients.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "srv/common/fd.h"
#include "srv/ennead/host_source.h"
#include "synthfs/address.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// Loop thread only. Destruction ends it at once and removes a unix socket.
class Listener {
  public:
    struct Options {
        bool anyway = false;  // tcp! may be heard from other hosts
        const HiddenPlaces* hidden = nullptr;
        // A client has come.
        std::function<void(Fd)> accepted;
        std::function<void(std::string)> log;
    };

    // A unix socket's path is absolute. It is made with mode 0600, and in place of one that nobody
    // listens at any more. EADDRINUSE: somebody does. EACCES: a TCP address of other hosts' without
    // `anyway`. EINVAL: a host that is no number, `localhost` or `*`. Everything else as bind(2).
    static synthfs::Checked<std::unique_ptr<Listener>> open(boost::asio::io_context& io,
                                                            const synthfs::Address& address,
                                                            Options options);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    // With the port that was given for port 0.
    [[nodiscard]] const synthfs::Address& address() const { return address_; }

  private:
    // The unix socket's place, and which file was made there.
    struct Place {
        Fd directory;
        std::string name;
        dev_t device = 0;
        ino_t inode = 0;
    };

    Listener(boost::asio::io_context& io, Fd socket, synthfs::Address address, Options options);
    static synthfs::Checked<Fd> listen_unix(const synthfs::Address& address, const Options& options,
                                            std::optional<Place>& place);
    static synthfs::Checked<Fd> listen_tcp(synthfs::Address& address, const Options& options);
    void wait();
    void take_all();

    synthfs::Address address_;
    Options options_;
    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    std::optional<Place> place_;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace ennead::srv
