// SPDX-License-Identifier: MIT
// Frames in words.
#include "p9/describe.h"

#include <gtest/gtest.h>

#include <array>

#include "p9/codec.h"

namespace ennead::p9 {
namespace {

template <class M>
std::string described(const M& message, std::uint16_t tag = 7) {
    std::array<std::byte, 4096> room{};
    const auto size = encode_as(room, tag, message);
    EXPECT_TRUE(size);
    return describe(std::span(room).first(*size));
}

TEST(Describe, names_its_fields) {
    Twalk walk{.fid = 1, .newfid = 2, .names = {}};
    walk.names.push("etc");
    walk.names.push("passwd");
    EXPECT_EQ(described(walk), "Twalk tag=7 fid=1 newfid=2 names=etc/passwd");
    Rwalk walked;
    walked.qids.push({});
    walked.qids.push({});
    EXPECT_EQ(described(walked), "Rwalk tag=7 qids=2");
    EXPECT_EQ(described(Tread{.fid = 3, .offset = 4096, .count = 512}),
              "Tread tag=7 fid=3 offset=4096 count=512");
    EXPECT_EQ(described(Tclunk{.fid = 5}), "Tclunk tag=7 fid=5");
    EXPECT_EQ(described(Rclunk{}), "Rclunk tag=7");
    EXPECT_EQ(described(Rlerror{.ecode = 2}), "Rlerror tag=7 ecode=2");
    EXPECT_EQ(described(Tversion{.msize = 8192, .version = "9P2000.L"}, kNoTag),
              "Tversion tag=65535 msize=8192 version=9P2000.L");
    EXPECT_EQ(described(Tlcreate{.fid = 1, .name = "f", .flags = 0x42, .mode = 0644, .gid = 0}),
              "Tlcreate tag=7 fid=1 name=f flags=0x42 mode=0644 gid=0");
    EXPECT_EQ(described(Rlopen{.qid = {0x80, 1, 0x2a}, .iounit = 0}),
              "Rlopen tag=7 qid=80.1.2a iounit=0");
    Rgetattr attributes;
    attributes.valid = 0x7ff;
    attributes.mode = 0100644;
    attributes.nlink = 1;
    attributes.rdev = 99;
    attributes.size = 12;
    attributes.atime_sec = 77;
    EXPECT_EQ(described(attributes),
              "Rgetattr tag=7 valid=0x7ff qid=00.0.0 mode=0100644 uid=0 gid=0 nlink=1 size=12");
}

TEST(Describe, tells_the_size_of_data_alone) {
    const std::string bytes = "secret";
    EXPECT_EQ(described(Twrite{.fid = 1, .offset = 2, .data = std::as_bytes(std::span(bytes))}),
              "Twrite tag=7 fid=1 offset=2 count=6");
    EXPECT_EQ(described(Rread{.data = std::as_bytes(std::span(bytes))}), "Rread tag=7 count=6");
}

TEST(Describe, stays_one_line_of_words) {
    EXPECT_EQ(described(Tmkdir{.dfid = 1, .name = "a b\nc", .mode = 0755, .gid = 0}),
              "Tmkdir tag=7 dfid=1 name='a b?c' mode=0755 gid=0");
    EXPECT_EQ(described(Tattach{.fid = 0, .afid = kNoFid, .uname = "", .aname = "it's"}),
              "Tattach tag=7 fid=0 afid=none uname='' aname='it''s' n_uname=none");
}

TEST(Describe, what_is_no_message_is_called_broken) {
    const std::array<std::byte, 4> junk{};
    EXPECT_TRUE(describe(junk).starts_with("broken size=4 '")) << describe(junk);
}

}  // namespace
}  // namespace ennead::p9
