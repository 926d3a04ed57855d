// SPDX-License-Identifier: MIT
// Another server's tree, as one directory that is always there: connected in the background, and
// again when it was lost.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "p9/stream.h"
#include "srv/ennead/host_source.h"
#include "synthfs/address.h"
#include "synthfs/node.h"

namespace ennead::srv {

// Loop thread only. Nothing that is asked of it waits for a connection: without one, every
// operation answers EIO at once, and those that were under way when it was lost do so then.
// What was opened before belongs to the connection it was opened over. Whoever owns the other
// tree's root shows as this process's user.
class RemoteTree : public std::enable_shared_from_this<RemoteTree> {
  public:
    struct Options {
        boost::asio::io_context& io;
        const HiddenPlaces& hidden;
        // The connection is there, or is not, and why: a line each time that changes.
        std::function<void(const std::string& text, bool connected)> changed;
        // How long an attempt may take, and how long after one that failed the next comes at first
        // and at most; each time twice as long.
        std::chrono::milliseconds patience{10'000}, first_retry{250}, last_retry{5'000};
    };

    // The first attempt is under way.
    static std::shared_ptr<RemoteTree> start(synthfs::Address address, Options options);
    ~RemoteTree();

    // The directory; the same node for good. EIO once this object is closed.
    [[nodiscard]] const synthfs::NodePtr& node() const { return node_; }
    // A request that so many servers have passed on goes no further, but is told ELOOP: or what
    // reads everything would never come to the end of two servers that mount each other.
    static constexpr unsigned kMostHops = 4;

    // The other tree's root; null while there is no connection.
    [[nodiscard]] synthfs::NodePtr root() const { return root_; }
    [[nodiscard]] const synthfs::Address& address() const { return address_; }
    // Why there is no connection.
    [[nodiscard]] const std::string& reason() const { return reason_; }
    // A member of a union: without a connection it is empty, and does not stand in the others' way.
    void set_in_union(bool in_union) { in_union_ = in_union; }
    [[nodiscard]] bool in_union() const { return in_union_; }

    // For good.
    void close();

  private:
    RemoteTree(synthfs::Address address, Options options);
    // Why there is no root.
    [[nodiscard]] std::string absence() const;
    // The root for a request that looks at what is in it.
    void enter(const synthfs::RequestPtr& request, const synthfs::Reply<synthfs::NodePtr>& reply);
    // The root for a request that came from elsewhere: an attach of its own, so that the other
    // server knows how far it is from who asked.
    void root_for(unsigned hops, synthfs::Reply<synthfs::NodePtr> reply);
    void attempt();
    void dial_unix();
    void dial_tcp();
    void connected(p9::Socket socket);
    void ready(synthfs::Result<synthfs::NodePtr> root);
    void owner_known(const synthfs::NodePtr& root, const synthfs::Result<synthfs::Attr>& attr);
    void keep_root(unsigned hops, const synthfs::NodePtr& root);
    void fail(const std::string& reason);
    // Calls `method` with what else it is given unless another attempt has begun, or the end come.
    template <class... Args>
    auto in_attempt(void (RemoteTree::*method)(Args...));

    synthfs::Address address_;
    Options options_;
    synthfs::NodePtr node_, root_;
    std::array<synthfs::NodePtr, kMostHops> passed_on_;  // root_for(), by hops
    std::string reason_ = "not connected yet";
    bool in_union_ = false, closed_ = false;
    unsigned attempt_ = 0;
    std::chrono::milliseconds retry_;
    boost::asio::steady_timer deadline_, pause_;
    std::unique_ptr<boost::asio::ip::tcp::resolver> resolver_;
    std::unique_ptr<boost::asio::ip::tcp::socket> tcp_;
    std::unique_ptr<p9::Socket> unix_;
    std::shared_ptr<p9::ClientConnection> connection_;
};

}  // namespace ennead::srv
