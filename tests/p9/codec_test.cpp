// SPDX-License-Identifier: MIT
// Every message survives being written and read; what does not fit is refused.
#include "p9/codec.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "p9/error.h"
#include "p9/open_flags.h"
#include "p9/qid_map.h"

namespace ennead::p9 {
namespace {

// Fills every field with something else: writes are compared byte for byte after a round trip.
class Filler {
  public:
    template <class... Field>
    void operator()(Field&... fields) {
        (field(fields), ...);
    }
    template <class Field>
    void optional(Field& value) {
        field(value);
    }
    template <std::unsigned_integral T>
    void field(T& value) {
        value = static_cast<T>(0xf1e2d3c4b5a69788 + 0x0101010101010101 * ++count_);
    }
    void field(std::string_view& value) { value = texts_[++count_ % 3]; }
    void field(Bytes& value) { value = std::as_bytes(std::span(texts_[2])); }
    void field(Qid& value) { (*this)(value.type, value.version, value.path); }
    template <class T>
    void field(WalkList<T>& value) {
        value.count = 3;
        for (std::size_t i = 0; i < 3; ++i) {
            field(value.items[i]);
        }
    }

  private:
    std::size_t count_ = 0;
    std::string texts_[3] = {"", "name", std::string(300, 'x')};
};

template <class M>
void check_round_trip() {
    Filler filler;
    M message;
    M::fields(message, filler);
    std::vector<std::byte> first(4096), second(4096);

    const auto size = encode_as(first, 0x1234, message);
    ASSERT_TRUE(size) << type_name(M::kType);
    EXPECT_EQ(*size, encoded_size(message)) << type_name(M::kType);
    const auto frame = decode(Bytes(first).first(*size));
    ASSERT_TRUE(frame) << type_name(M::kType) << frame.error().message();
    EXPECT_EQ(frame.value().tag, 0x1234);
    EXPECT_EQ(frame.value().type, M::kType);
    ASSERT_TRUE(std::holds_alternative<M>(frame.value().message));
    EXPECT_EQ(encode(second, 0x1234, frame.value().message), size);
    EXPECT_EQ(first, second) << type_name(M::kType);
    if constexpr (requires { message == message; }) {
        EXPECT_EQ(std::get<M>(frame.value().message), message) << type_name(M::kType);
    }

    // Cut anywhere, it is refused; so is a byte more. Tfsync's last field may be missing as a
    // whole.
    for (std::size_t cut = kHeaderSize; cut < *size; ++cut) {
        std::vector<std::byte> shorter(first.begin(), first.begin() + static_cast<long>(cut));
        Writer(shorter).field(static_cast<std::uint32_t>(cut));
        const bool whole = M::kType == Type::tfsync && cut == kHeaderSize + 4;
        EXPECT_EQ(bool(decode(shorter)), whole) << type_name(M::kType) << " cut at " << cut;
    }
    std::vector<std::byte> longer(first.begin(), first.begin() + static_cast<long>(*size) + 1);
    Writer(longer).field(static_cast<std::uint32_t>(longer.size()));
    EXPECT_EQ(decode(longer).error(), make_error_code(Error::trailing_bytes));

    // Room for all but the last byte is no room.
    EXPECT_FALSE(encode_as(std::span(first).first(*size - 1), 1, message));
}

template <class... M>
void check_all(std::type_identity<std::variant<Unsupported, M...>>) {
    (check_round_trip<M>(), ...);
}

TEST(Codec, every_message_survives_a_round_trip) {
    check_all(std::type_identity<Message>{});
}

TEST(Codec, layout_is_the_wire_s) {
    std::vector<std::byte> room(64);
    const auto size = encode_as(room, 0x0201, Tread{0x06050403, 0x0e0d0c0b0a090807, 0x1211100f});
    ASSERT_EQ(size, 23u);
    const unsigned char expected[] = {23, 0, 0,  0,  116, 1,  2,  3,  4,  5,  6, 7,
                                      8,  9, 10, 11, 12,  13, 14, 15, 16, 17, 18};
    EXPECT_EQ(0, std::memcmp(room.data(), expected, sizeof expected));
}

TEST(Codec, refuses_what_is_no_frame) {
    const auto error_of = [](std::vector<unsigned char> bytes) {
        return decode(std::as_bytes(std::span(bytes))).error();
    };
    EXPECT_EQ(error_of({}), make_error_code(Error::short_frame));
    EXPECT_EQ(error_of({6, 0, 0, 0, 120, 0}), make_error_code(Error::short_frame));
    EXPECT_EQ(error_of({8, 0, 0, 0, 109, 0, 0}), make_error_code(Error::wrong_size));
    EXPECT_EQ(error_of({7, 0, 0, 0, 99, 0, 0}), make_error_code(Error::unknown_type));
    EXPECT_EQ(error_of({7, 0, 0, 0, 6, 0, 0}), make_error_code(Error::unknown_type));
    // Seventeen names.
    EXPECT_EQ(
        error_of({51, 0, 0, 0, 110, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                  0,  0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0}),
        make_error_code(Error::bad_body));
    EXPECT_EQ(synthfs::to_errno(make_error_code(Error::bad_body)), EPROTO);
    EXPECT_EQ(synthfs::to_errno(make_error_code(Error::bad_version)), EPROTONOSUPPORT);
}

TEST(Codec, knows_messages_it_has_no_fields_for) {
    const unsigned char topen[] = {12, 0, 0, 0, 112, 5, 0, 1, 0, 0, 0, 2};
    const auto frame = decode(std::as_bytes(std::span(topen)));
    ASSERT_TRUE(frame);
    EXPECT_EQ(std::get<Unsupported>(frame.value().message).type, Type::topen);
    EXPECT_EQ(type_name(Type::topen), "Topen");
    std::vector<std::byte> room(64);
    EXPECT_FALSE(encode(room, 5, frame.value().message));
}

TEST(Codec, strings_end_at_64_kib) {
    const std::string longest(kMaxString, 'a'), longer(kMaxString + 1, 'a');
    std::vector<std::byte> room(kMaxString + 100);
    EXPECT_TRUE(encode_as(room, 0, Rreadlink{longest}));
    EXPECT_FALSE(encode_as(room, 0, Rreadlink{longer}));
}

TEST(Codec, payloads_are_views_into_the_frame) {
    std::vector<std::byte> room(64);
    const auto size = encode_as(room, 0, Twrite{1, 2, std::as_bytes(std::span("abc", 3))});
    const auto frame = decode(Bytes(room).first(*size));
    const Bytes data = std::get<Twrite>(frame.value().message).data;
    EXPECT_EQ(data.data(), room.data() + kHeaderSize + 4 + 8 + 4);
    EXPECT_EQ(data.size(), 3u);
}

TEST(OpenFlags, are_linux_s_in_octal) {
    EXPECT_EQ(host_open_flags(0), O_RDONLY);
    EXPECT_EQ(host_open_flags(1 | 01000 | 0100 | 0100000), O_WRONLY | O_TRUNC);
    EXPECT_EQ(host_open_flags(2 | 02000 | 04000 | 0200), O_RDWR | O_APPEND | O_NONBLOCK | O_EXCL);
    EXPECT_EQ(host_open_flags(04010000), O_SYNC);
    EXPECT_EQ(host_open_flags(0200000), O_DIRECTORY);
    EXPECT_FALSE(host_open_flags(3));
    for (const int flags :
         {O_RDONLY, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND | O_SYNC, O_DSYNC | 0}) {
        EXPECT_EQ(host_open_flags(wire_open_flags(flags)), flags);
    }
}

TEST(QidMap, first_source_s_paths_come_out_unchanged) {
    QidMap map;
    EXPECT_EQ(map.fold(9, 0x1234), 0x1234u);
    EXPECT_EQ(map.fold(9, 0xffffffffffff), 0xffffffffffffu);
}

TEST(QidMap, no_two_files_share_a_path) {
    QidMap map;
    std::set<std::uint64_t> seen;
    const std::uint64_t paths[] = {0, 1, 1ull << 47, 1ull << 48, ~0ull, 0xffffull << 48};
    for (std::uint64_t source = 1; source < 70'000; source += source < 10 ? 1 : 9'999) {
        for (const std::uint64_t path : paths) {
            const std::uint64_t folded = map.fold(source, path);
            EXPECT_TRUE(seen.insert(folded).second);
            EXPECT_EQ(map.fold(source, path), folded);
        }
    }
}

}  // namespace
}  // namespace ennead::p9
