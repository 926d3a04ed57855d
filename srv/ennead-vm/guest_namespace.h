// SPDX-License-Identifier: MIT
// The guest's name space in the VM process: built of what the server grants, and changed when it
// says so.
#pragma once

#include <utility>
// Asio 1.74 forgets <utility> under C++20, so it comes first.
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "srv/common/namespace_message.h"
#include "synthfs/namespace.h"
#include "synthfs/offload.h"
#include "synthfs/quota.h"

namespace ennead::srv {

// I/O thread only. Trees of the server are asked through `io`, which has to run for that.
class GuestNamespace {
  public:
    // `tree` is held by who uses the nodes, and by what comes through `io`. `offload` does what may
    // wait for the host's disks; null: it is done on the spot.
    GuestNamespace(boost::asio::io_context& io, std::recursive_mutex& tree,
                   std::shared_ptr<synthfs::Offload> offload)
        : io_(io), tree_(tree), offload_(std::move(offload)), names_(synthfs::Namespace::make()) {}

    // What is added to the host's disks counts there; to be called before change().
    void set_quota(std::shared_ptr<synthfs::Quota> quota) { quota_ = std::move(quota); }

    [[nodiscard]] synthfs::NodePtr root() const { return names_->root(); }

    // Takes over the message's descriptors. What is not in it any more is revoked: the guest's open
    // files there answer ESTALE, and the descriptors are closed. After a fault all is as before.
    // EBUSY: a scratch layer that is in use, with other layers below it. EPROTO: a message that
    // makes no sense.
    void change(ReceivedMessage message, synthfs::CheckedReply<> reply);

  private:
    using Elements = std::map<std::uint64_t, synthfs::NodePtr>;
    [[nodiscard]] synthfs::Checked<synthfs::NodePtr> make_element(
        const NamespaceMessage& message, const NamespaceMessage::Element& element,
        std::vector<Fd> descriptors) const;

    boost::asio::io_context& io_;
    std::recursive_mutex& tree_;
    const std::shared_ptr<synthfs::Offload> offload_;
    std::shared_ptr<synthfs::Quota> quota_;  // null: none
    const std::shared_ptr<synthfs::Namespace> names_;
    Elements elements_;  // what is bound now, by the server's numbers
};

}  // namespace ennead::srv
