// SPDX-License-Identifier: MIT
// A 9P client for programs that do one thing after the other: each call waits for its answer.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "p9/stream.h"
#include "srv/common/fd.h"
#include "synthfs/address.h"
#include "synthfs/fault.h"
#include "synthfs/node.h"

namespace ennead::srv {

// A connected stream socket; waits for it, and for a host's name. Errors as connect(2), ENXIO for a
// host that is not known.
[[nodiscard]] synthfs::Checked<Fd> dial(const synthfs::Address& address);

class NineClient {
  public:
    // Connects, agrees on a version and attaches.
    static synthfs::Checked<std::unique_ptr<NineClient>> connect(const synthfs::Address& address);

    // What `call`, given a Reply, comes to.
    template <class T, class Call>
    synthfs::Result<T> ask(Call call) {
        std::optional<synthfs::Result<T>> answer;
        call(synthfs::Reply<T>(
            [&](synthfs::Result<T> result) { answer.emplace(std::move(result)); }));
        while (!answer) {
            if (io_.run_one() == 0) {
                return synthfs::error(EIO);
            }
        }
        return std::move(*answer);
    }

    // Paths are from the tree's root, with or without a slash at their beginning.
    synthfs::Result<synthfs::NodePtr> walk(std::string_view path);
    synthfs::Result<synthfs::HandlePtr> open(std::string_view path, int flags);
    synthfs::Result<synthfs::Attr> attr(const synthfs::NodePtr& node);
    synthfs::Result<std::size_t> read(const synthfs::HandlePtr& handle, std::uint64_t offset,
                                      std::span<std::byte> into);
    synthfs::Result<std::size_t> write(const synthfs::HandlePtr& handle, std::uint64_t offset,
                                       std::string_view text);
    synthfs::Result<std::string> read_all(std::string_view path);
    // In the order in which the directory gives them.
    synthfs::Result<std::vector<std::string>> names(const synthfs::NodePtr& directory);

  private:
    NineClient() = default;
    static synthfs::RequestPtr request() { return std::make_shared<synthfs::Request>(); }

    boost::asio::io_context io_;
    std::shared_ptr<p9::ClientConnection> connection_;
    synthfs::NodePtr root_;
};

// The names of a path; empty ones and `.` are left out, `..` goes back.
[[nodiscard]] std::vector<std::string> path_names(std::string_view path);

}  // namespace ennead::srv
