// SPDX-License-Identifier: MIT
// The guest's name space in the VM process.
#include "srv/ennead-vm/guest_namespace.h"

#include <cerrno>
#include <iterator>
#include <utility>

#include "srv/ennead-vm/tree_source.h"
#include "srv/ennead-vm/wait_readable.h"
#include "synthfs/host_dir.h"
#include "synthfs/overlay.h"
#include "synthfs/ram_tree.h"

namespace ennead::srv {

using synthfs::Checked;
using synthfs::make_fault;
using synthfs::NodePtr;
using synthfs::Result;

namespace {

using Kind = NamespaceMessage::Kind;

std::vector<Fd> take_first(std::vector<Fd>& from, std::size_t count) {
    std::vector<Fd> taken(
        std::make_move_iterator(from.begin()),
        std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(count)));
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
    return taken;
}

}  // namespace

Checked<NodePtr> GuestNamespace::make_element(const NamespaceMessage& message,
                                              const NamespaceMessage::Element& element,
                                              std::vector<Fd> descriptors) const {
    Result<NodePtr> made = synthfs::error(EPROTO);
    switch (element.kind) {
        case Kind::known: {
            const auto known = elements_.find(element.id);
            if (known != elements_.end()) {
                made = known->second;
            }
            break;
        }
        case Kind::ram:
            made = synthfs::make_ram_tree(
                {.limit = element.size_bytes, .read_only = element.read_only});
            break;
        case Kind::host:
            made = synthfs::make_host_dir(descriptors.front().release(),
                                          {.read_only = element.read_only,
                                           .hidden = message.hidden,
                                           .hidden_device = message.hidden_device,
                                           .offload = offload_,
                                           .quota = quota_,
                                           .when_readable = wait_readable(io_, tree_)});
            break;
        case Kind::tree:
            made = make_tree_source(io_, tree_, std::move(descriptors.front()));
            break;
        case Kind::overlay: {
            const int scratch = element.read_only ? -1 : descriptors.back().release();
            std::vector<int> layers;
            for (std::size_t i = 0; i < element.layers; ++i) {
                layers.push_back(descriptors[i].release());
            }
            made = synthfs::make_overlay(std::move(layers), scratch,
                                         {.hidden = message.hidden,
                                          .hidden_device = message.hidden_device,
                                          .offload = offload_,
                                          .quota = quota_});
            break;
        }
    }
    if (!made) {
        const int errnum = synthfs::to_errno(made.error());
        return make_fault(errnum, "%s",
                          errnum == EBUSY ? "the scratch layer is in use; the layers below it are "
                                            "fixed meanwhile"
                                          : made.error().message().c_str());
    }
    return std::move(made.value());
}

void GuestNamespace::change(ReceivedMessage received, synthfs::CheckedReply<> reply) {
    const auto message = NamespaceMessage::decode(received.text);
    if (!message) {
        reply(message.error());
        return;
    }
    if (message.value().descriptors() != received.descriptors.size()) {
        reply(make_fault(EPROTO, "name space message: %zu descriptors, not %zu",
                         received.descriptors.size(), message.value().descriptors()));
        return;
    }
    Elements elements;
    std::vector<synthfs::NamespacePoint> points;
    for (const NamespaceMessage::Point& point : message.value().points) {
        synthfs::NamespacePoint shown{point.target, {}, point.under};
        for (const NamespaceMessage::Element& element : point.elements) {
            auto made = make_element(message.value(), element,
                                     take_first(received.descriptors, element.descriptors()));
            if (!made) {
                reply(make_fault(made.error().errnum, "%s: %s", point.target.c_str(),
                                 made.error().text.c_str()));
                return;
            }
            elements[element.id] = made.value();
            shown.elements.push_back({std::move(made.value()), element.create});
        }
        points.push_back(std::move(shown));
    }
    names_->set(std::move(points),
                [this, elements = std::move(elements), reply = std::move(reply)](Checked<> done) {
                    if (done) {
                        for (const auto& [id, root] : elements_) {
                            if (!elements.contains(id)) {
                                root->revoke();
                            }
                        }
                        elements_ = elements;
                    }
                    reply(std::move(done));
                });
}

}  // namespace ennead::srv
