// SPDX-License-Identifier: MIT
// Frames to messages and back: one table from type to name, decoder and encoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "p9/message.h"
#include "p9/wire.h"
#include "synthfs/result.h"

namespace ennead::p9 {

using Message =
    std::variant<Rlerror, Tversion, Rversion, Tauth, Rauth, Tattach, Rattach, Tflush, Rflush, Twalk,
                 Rwalk, Tread, Rread, Twrite, Rwrite, Tclunk, Rclunk, Tremove, Rremove, Tstatfs,
                 Rstatfs, Tlopen, Rlopen, Tlcreate, Rlcreate, Tsymlink, Rsymlink, Tmknod, Rmknod,
                 Trename, Rrename, Treadlink, Rreadlink, Tgetattr, Rgetattr, Tsetattr, Rsetattr,
                 Txattrwalk, Rxattrwalk, Txattrcreate, Rxattrcreate, Treaddir, Rreaddir, Tfsync,
                 Rfsync, Tlock, Rlock, Tgetlock, Rgetlock, Tlink, Rlink, Tmkdir, Rmkdir, Trenameat,
                 Rrenameat, Tunlinkat, Runlinkat, Rerror, Topen, Ropen, Tcreate, Rcreate, Tstat,
                 Rstat, Twstat, Rwstat>;

struct Frame {
    Type type{};
    std::uint16_t tag = 0;
    Message message;  // its strings and data point into the bytes that were decoded
};

// What the two sides agreed to speak.
enum class Dialect { linux, plain };  // 9P2000.L, 9P2000

// Whether the request belongs to the dialect; most belong to both.
[[nodiscard]] bool speaks(Dialect dialect, Type request);

// "Tread"; "no message" for a number that is none.
[[nodiscard]] std::string_view type_name(Type type);

// `bytes` is one whole frame. Fails with p9::Error.
[[nodiscard]] synthfs::Result<Frame> decode(Bytes bytes);
// The frame has `size` bytes, of which `bytes` are the first: nothing but a Twrite, whose data end
// with them. Fails with p9::Error, wrong_size for every other message.
[[nodiscard]] synthfs::Result<Frame> decode_beginning(Bytes bytes, std::size_t size);

// The frame's length, or nothing if it does not fit into `room`.
[[nodiscard]] std::optional<std::size_t> encode(std::span<std::byte> room, std::uint16_t tag,
                                                const Message& message);

// The same for a message whose type is known where it is written; nothing is looked up.
template <class M>
[[nodiscard]] std::optional<std::size_t> encode_as(std::span<std::byte> room, std::uint16_t tag,
                                                   const M& message) {
    if (room.size() < kHeaderSize) {
        return std::nullopt;
    }
    Writer body(room.subspan(kHeaderSize));
    M::fields(message, body);
    if (!body.ok()) {
        return std::nullopt;
    }
    const std::size_t size = kHeaderSize + body.size();
    Writer head(room);
    head(static_cast<std::uint32_t>(size), static_cast<std::uint8_t>(M::kType), tag);
    return size;
}

// `stat` as bytes, its size filled in; empty if a string in it is too long.
[[nodiscard]] std::string encode_stat(Stat stat);
// Nothing if `bytes` are not exactly one Stat. Its strings point into them.
[[nodiscard]] std::optional<Stat> decode_stat(std::string_view bytes);

template <class M>
[[nodiscard]] std::size_t encoded_size(const M& message) {
    Writer counter;
    M::fields(message, counter);
    return kHeaderSize + counter.size();
}

}  // namespace ennead::p9
