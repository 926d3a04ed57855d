// SPDX-License-Identifier: MIT
// The table of messages, and the checks every frame passes before it is believed.
#include "p9/codec.h"

#include <array>
#include <stdexcept>

#include "p9/error.h"

namespace ennead::p9 {
namespace {

struct Row {
    Type type{};
    std::string_view name;
    void (*decode)(Reader&, Message&) = nullptr;
    std::optional<std::size_t> (*encode)(std::span<std::byte>, std::uint16_t,
                                         const Message&) = nullptr;
};

template <class M>
constexpr Row row(std::string_view name) {
    return {M::kType, name,
            [](Reader& reader, Message& message) { M::fields(message.emplace<M>(), reader); },
            [](std::span<std::byte> room, std::uint16_t tag, const Message& message) {
                return encode_as(room, tag, std::get<M>(message));
            }};
}

constexpr auto kRows = std::to_array<Row>({
    // clang-format off
    row<Rlerror>("Rlerror"),
    row<Tstatfs>("Tstatfs"),           row<Rstatfs>("Rstatfs"),
    row<Tlopen>("Tlopen"),             row<Rlopen>("Rlopen"),
    row<Tlcreate>("Tlcreate"),         row<Rlcreate>("Rlcreate"),
    row<Tsymlink>("Tsymlink"),         row<Rsymlink>("Rsymlink"),
    row<Tmknod>("Tmknod"),             row<Rmknod>("Rmknod"),
    row<Trename>("Trename"),           row<Rrename>("Rrename"),
    row<Treadlink>("Treadlink"),       row<Rreadlink>("Rreadlink"),
    row<Tgetattr>("Tgetattr"),         row<Rgetattr>("Rgetattr"),
    row<Tsetattr>("Tsetattr"),         row<Rsetattr>("Rsetattr"),
    row<Txattrwalk>("Txattrwalk"),     row<Rxattrwalk>("Rxattrwalk"),
    row<Txattrcreate>("Txattrcreate"), row<Rxattrcreate>("Rxattrcreate"),
    row<Treaddir>("Treaddir"),         row<Rreaddir>("Rreaddir"),
    row<Tfsync>("Tfsync"),             row<Rfsync>("Rfsync"),
    row<Tlock>("Tlock"),               row<Rlock>("Rlock"),
    row<Tgetlock>("Tgetlock"),         row<Rgetlock>("Rgetlock"),
    row<Tlink>("Tlink"),               row<Rlink>("Rlink"),
    row<Tmkdir>("Tmkdir"),             row<Rmkdir>("Rmkdir"),
    row<Trenameat>("Trenameat"),       row<Rrenameat>("Rrenameat"),
    row<Tunlinkat>("Tunlinkat"),       row<Runlinkat>("Runlinkat"),
    row<Tversion>("Tversion"),         row<Rversion>("Rversion"),
    row<Tauth>("Tauth"),               row<Rauth>("Rauth"),
    row<Tattach>("Tattach"),           row<Rattach>("Rattach"),
    row<Tflush>("Tflush"),             row<Rflush>("Rflush"),
    row<Twalk>("Twalk"),               row<Rwalk>("Rwalk"),
    row<Tread>("Tread"),               row<Rread>("Rread"),
    row<Twrite>("Twrite"),             row<Rwrite>("Rwrite"),
    row<Tclunk>("Tclunk"),             row<Rclunk>("Rclunk"),
    row<Tremove>("Tremove"),           row<Rremove>("Rremove"),
    row<Rerror>("Rerror"),
    row<Topen>("Topen"),               row<Ropen>("Ropen"),
    row<Tcreate>("Tcreate"),           row<Rcreate>("Rcreate"),
    row<Tstat>("Tstat"),               row<Rstat>("Rstat"),
    row<Twstat>("Twstat"),             row<Rwstat>("Rwstat"),
    // clang-format on
});

// Row numbers by type; 0xff where there is no such message. A type given twice does not compile.
consteval std::array<std::uint8_t, 256> index_rows() {
    std::array<std::uint8_t, 256> index{};
    index.fill(0xff);
    for (std::size_t i = 0; i < kRows.size(); ++i) {
        auto& slot = index[static_cast<std::uint8_t>(kRows[i].type)];
        if (slot != 0xff) {
            throw std::logic_error("two rows for one message type");
        }
        slot = static_cast<std::uint8_t>(i);
    }
    return index;
}
constexpr auto kIndex = index_rows();

const Row* find(Type type) {
    const std::uint8_t i = kIndex[static_cast<std::uint8_t>(type)];
    return i == 0xff ? nullptr : &kRows[i];
}

}  // namespace

bool speaks(Dialect dialect, Type request) {
    switch (request) {
        case Type::topen:
        case Type::tcreate:
        case Type::tstat:
        case Type::twstat:
            return dialect == Dialect::plain;
        default:
            // All that 9P2000.L adds is numbered below what it has from 9P2000.
            return dialect == Dialect::linux || request >= Type::tversion;
    }
}

std::string_view type_name(Type type) {
    const Row* row = find(type);
    return row ? row->name : std::string_view("no message");
}

synthfs::Result<Frame> decode(Bytes bytes) {
    if (bytes.size() < kHeaderSize) {
        return make_error_code(Error::short_frame);
    }
    Reader reader(bytes);
    std::uint32_t size = 0;
    std::uint8_t type = 0;
    Frame frame;
    reader(size, type, frame.tag);
    if (size != bytes.size()) {
        return make_error_code(Error::wrong_size);
    }
    frame.type = static_cast<Type>(type);
    const Row* row = find(frame.type);
    if (row == nullptr) {
        return make_error_code(Error::unknown_type);
    }
    row->decode(reader, frame.message);
    if (!reader.ok()) {
        return make_error_code(Error::bad_body);
    }
    if (reader.left() != 0) {
        return make_error_code(Error::trailing_bytes);
    }
    return frame;
}

synthfs::Result<Frame> decode_beginning(Bytes bytes, std::size_t size) {
    Reader reader(bytes);
    std::uint32_t whole = 0, count = 0;
    std::uint8_t type = 0;
    Frame frame;
    Twrite write;
    reader(whole, type, frame.tag, write.fid, write.offset, count);
    if (!reader.ok() || whole != size || static_cast<Type>(type) != Type::twrite) {
        return make_error_code(Error::wrong_size);
    }
    write.data = bytes.last(reader.left());
    if (count != size - (bytes.size() - write.data.size())) {
        return make_error_code(Error::bad_body);
    }
    frame.type = Type::twrite;
    frame.message = write;
    return frame;
}

std::optional<std::size_t> encode(std::span<std::byte> room, std::uint16_t tag,
                                  const Message& message) {
    const Type type = std::visit([](const auto& m) { return m.kType; }, message);
    const Row* row = find(type);
    return row != nullptr ? row->encode(room, tag, message) : std::nullopt;
}

std::string encode_stat(Stat stat) {
    Writer counter;
    Stat::fields(stat, counter);
    const std::size_t size = counter.size();
    if (!counter.ok() || size > kMaxString) {
        return {};
    }
    stat.size = static_cast<std::uint16_t>(size - sizeof stat.size);
    std::string bytes(size, '\0');
    Writer writer(std::as_writable_bytes(std::span(bytes)));
    Stat::fields(stat, writer);
    return bytes;
}

std::optional<Stat> decode_stat(std::string_view bytes) {
    Reader reader(std::as_bytes(std::span(bytes)));
    Stat stat;
    Stat::fields(stat, reader);
    if (!reader.ok() || reader.left() != 0 || stat.size + sizeof stat.size != bytes.size()) {
        return std::nullopt;
    }
    return stat;
}

}  // namespace ennead::p9
