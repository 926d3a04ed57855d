// SPDX-License-Identifier: MIT
// One request frame on its way through the server, and the place its reply goes to.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "p9/wire.h"

namespace ennead::p9 {

// Made by the transport, owned by the server until it is answered. The memory behind request() and
// reply_space() must live as long as the exchange itself: a file may still be read into it after
// the server was destroyed, until its node has answered the cancelled read.
class Exchange {
  public:
    virtual ~Exchange() = default;

    // The request, or its beginning with all of a Twrite's fields but the data.
    [[nodiscard]] virtual Bytes request() const = 0;
    // What follows of it, where the transport left it; for as long as the server takes the request,
    // and others may change it meanwhile.
    [[nodiscard]] virtual std::span<const Bytes> request_rest() const { return {}; }

    // Room for a reply of `want` bytes; less if the transport has no more (a virtqueue's chain),
    // and then the reply is cut short or refused. The latest answer counts, earlier ones are
    // forgotten.
    virtual std::span<std::byte> reply_space(std::size_t want) = 0;

    // Where the bytes of a reply will be in the end, if they may be put there at once: for as long
    // as the server takes the request, not later. Empty: they may not.
    [[nodiscard]] virtual std::span<const std::span<std::byte>> reply_places() { return {}; }

    // The reply is the first `size` bytes of the latest reply_space(). 0: there is no reply, since
    // the request was flushed; a virtqueue returns the chain with nothing written. Called once; not
    // at all when the connection ended first.
    virtual void done(std::size_t size) = 0;
    // Instead of done(): the reply is the first `size` bytes in reply_places().
    virtual void done_in_place(std::size_t /*size*/) {}
};
using ExchangePtr = std::unique_ptr<Exchange>;

}  // namespace ennead::p9
