// SPDX-License-Identifier: MIT
// What the server tells a VM process of the guest's name space, with the descriptors it grants for
// it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "srv/common/fd.h"
#include "synthfs/fault.h"

namespace ennead::srv {

// One whole name space, which takes the place of the one before; all of it or nothing. Travels on
// the name space socket (kNamespaceFd), one message each, as lines of text with the descriptors
// beside it (SCM_RIGHTS); host paths stay with the server. The answer is a message too: `ok`, or
// `error ERRNO 'text'`.
struct NamespaceMessage {
    enum class Kind {
        known,    // the element of that number in the name space before
        host,     // a host directory, as it is
        overlay,  // directories merged, under a scratch directory unless read-only
        ram,      // an empty tree in memory
        tree,     // one that is served over 9P
    };
    struct Element {
        Kind kind = Kind::known;
        std::uint64_t id = 0;  // the server's, never used for another element of this process
        bool create = false;
        bool read_only = false;
        unsigned layers = 0;           // overlay
        std::uint64_t size_bytes = 0;  // ram: the most it may take

        // What it comes with, O_PATH directories: a host directory; an overlay's layers, topmost
        // first, and then its scratch directory. Of a tree it is a stream socket, at whose other
        // end the server speaks 9P2000.L.
        [[nodiscard]] std::size_t descriptors() const;
        bool operator==(const Element&) const = default;
    };
    struct Point {
        std::string target;
        std::vector<Element> elements;
        std::optional<std::size_t> under;  // as synthfs::NamespacePoint
        bool operator==(const Point&) const = default;
    };
    std::vector<Point> points;
    // Host directories, and a device, that are not to be entered.
    std::vector<std::pair<dev_t, ino_t>> hidden;
    dev_t hidden_device = 0;  // 0: none

    // Of all elements, in their order.
    [[nodiscard]] std::size_t descriptors() const;
    [[nodiscard]] std::string encode() const;
    [[nodiscard]] static synthfs::Checked<NamespaceMessage> decode(std::string_view text);
};

// Descriptors that the kernel passes with one message (SCM_MAX_FD).
inline constexpr std::size_t kMaxDescriptors = 253;

// `socket` is one of type SOCK_SEQPACKET. Never waits: EAGAIN.
[[nodiscard]] synthfs::Checked<> send_message(int socket, std::string_view text,
                                              std::span<const int> descriptors = {});

struct ReceivedMessage {
    std::string text;  // empty: the other end was closed
    std::vector<Fd> descriptors;
};
// Waits, unless `dont_wait`: EAGAIN. EMSGSIZE if the message was cut.
[[nodiscard]] synthfs::Checked<ReceivedMessage> receive_message(int socket, bool dont_wait);

// The answer to a message.
[[nodiscard]] std::string encode_answer(const synthfs::Checked<>& answer);
[[nodiscard]] synthfs::Checked<> decode_answer(std::string_view text);

}  // namespace ennead::srv
