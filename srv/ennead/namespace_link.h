// SPDX-License-Identifier: MIT
// The server's end of the name space socket of one VM process.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "srv/common/fd.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// A name space as it is sent: the text of a NamespaceMessage and what it grants.
struct NamespaceGrant {
    std::string text;
    std::vector<Fd> descriptors;
};

// Loop thread only. Destruction answers what is pending with ENODEV.
class NamespaceLink {
  public:
    NamespaceLink(boost::asio::io_context& io, Fd socket);
    ~NamespaceLink();
    NamespaceLink(const NamespaceLink&) = delete;
    NamespaceLink& operator=(const NamespaceLink&) = delete;

    // Answers when the process has taken it over, or why it did not. The process may still be on
    // its way up: the message waits for it in the socket.
    void send(const NamespaceGrant& grant, synthfs::CheckedReply<> reply);

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace ennead::srv
