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

    // Cut anywhere, it is refused; so is a byte more. The last field of Tfsync may be missing
    // as a whole, and the one that Tattach and Tauth do not have in 9P2000.
    for (std::size_t cut = kHeaderSize; cut < *size; ++cut) {
        std::vector<std::byte> shorter(first.begin(), first.begin() + static_cast<long>(cut));
        Writer(shorter).field(static_cast<std::uint32_t>(cut));
        const bool whole =
            (M::kType == Type::tfsync || M::kType == Type::tattach || M::kType == Type::tauth) &&
            cut == *size - 4;
        EXPECT_EQ(bool(decode(shorter)), whole) << type_name(M::kType) << " cut at " << cut;
    }
    std::vector<std::byte> longer(first.begin(), first.begin() + static_cast<long>(*size) + 1);
    Writer(longer).field(static_cast<std::uint32_t>(longer.size()));
    EXPECT_EQ(decode(longer).error(), make_error_code(Error::trailing_bytes));

    // Room for all but the last byte is no room.
    EXPECT_FALSE(encode_as(std::span(first).first(*size - 1), 1, message));
}

template <class... M>
void check_all(std::type_identity<std::variant<M...>>) {
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

TEST(Codec, an_attach_without_a_number_names_nobody) {
    const unsigned char attach[] = {19, 0,    0,    0,    104,  5, 0, 1, 0, 0,
                                    0,  0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    const auto frame = decode(std::as_bytes(std::span(attach)));
    ASSERT_TRUE(frame);
    EXPECT_EQ(std::get<Tattach>(frame.value().message), (Tattach{1, kNoFid, "", "", kNoUid}));
}

TEST(Codec, each_dialect_has_its_own_requests) {
    for (const Type type : {Type::topen, Type::tcreate, Type::tstat, Type::twstat}) {
        EXPECT_TRUE(speaks(Dialect::plain, type));
        EXPECT_FALSE(speaks(Dialect::linux, type));
    }
    for (const Type type : {Type::tlopen, Type::tgetattr, Type::treaddir, Type::tunlinkat}) {
        EXPECT_FALSE(speaks(Dialect::plain, type));
        EXPECT_TRUE(speaks(Dialect::linux, type));
    }
    for (const Type type : {Type::tversion, Type::tattach, Type::tflush, Type::twalk, Type::tread,
                            Type::twrite, Type::tclunk, Type::tremove, Type::tauth}) {
        EXPECT_TRUE(speaks(Dialect::plain, type));
        EXPECT_TRUE(speaks(Dialect::linux, type));
    }
}

TEST(Codec, a_stat_is_what_stat_5_says) {
    Stat stat;
    stat.type = 1;
    stat.dev = 2;
    stat.qid = {3, 4, 5};
    stat.mode = 6;
    stat.atime = 7;
    stat.mtime = 8;
    stat.length = 9;
    stat.name = "n";
    stat.uid = "u";
    stat.gid = "";
    stat.muid = "mm";
    const unsigned char expected[] = {51, 0, 1, 0, 2, 0, 0, 0,   3, 4, 0,   0, 0, 5, 0, 0,   0,  0,
                                      0,  0, 0, 6, 0, 0, 0, 7,   0, 0, 0,   8, 0, 0, 0, 9,   0,  0,
                                      0,  0, 0, 0, 0, 1, 0, 'n', 1, 0, 'u', 0, 0, 2, 0, 'm', 'm'};
    const std::string bytes = encode_stat(stat);
    EXPECT_EQ(bytes, std::string(reinterpret_cast<const char*>(expected), sizeof expected));
    stat.size = 51;
    EXPECT_EQ(decode_stat(bytes), stat);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        EXPECT_FALSE(decode_stat(std::string_view(bytes).substr(0, cut)));
    }
    EXPECT_FALSE(decode_stat(bytes + 'x'));
    const std::string long_name(kMaxString, 'n');
    stat.name = long_name;
    EXPECT_EQ(encode_stat(stat), "");
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
