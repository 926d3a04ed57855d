// SPDX-License-Identifier: MIT
// Linux's v9fs reads on until a read(2) is full: of a stream that must not wait.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

class ReadOnTest : public testing::Test {
  protected:
    ReadOnTest() {
        ServerOptions options;
        options.reads_on = true;
        peer = Peer::attached(world.root, kMsize, std::move(options));
        peer->open(1, "stream");
    }
    static constexpr std::uint32_t kMsize = 8192 + kIoHeaderSize;

    // The message is sent and not answered yet.
    bool waits(std::uint64_t offset, std::uint32_t count, std::uint16_t tag = 7) {
        const std::size_t before = peer->answers.size();
        peer->send(Tread{1, offset, count}, tag);
        return peer->answers.size() == before;
    }
    int refusal(std::uint64_t offset, std::uint32_t count) {
        return peer->error(Tread{1, offset, count});
    }

    World world;
    std::unique_ptr<Peer> peer;
};

TEST_F(ReadOnTest, the_rest_of_a_read_does_not_wait) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 100), "abc");
    EXPECT_EQ(refusal(3, 97), EINTR);
    // The next read(2) does, also if it asks for as much as was left.
    EXPECT_TRUE(waits(3, 97));
    world.stream->feed("de");
    EXPECT_EQ(text_of(std::get<Rread>(peer->answers.back().frame.message).data), "de");
}

TEST_F(ReadOnTest, a_client_says_by_its_name_that_it_is_v9fs) {
    for (const char* name : {"v9fs", "nobody"}) {
        peer = std::make_unique<Peer>(world.root);
        peer->call<Rversion>(Tversion{kMsize, kVersion}, kNoTag);
        peer->call<Rattach>(Tattach{0, kNoFid, name, "", 0});
        peer->open(1, "stream");
        world.stream->feed("abc");
        EXPECT_EQ(peer->read(1, 0, 100), "abc");
        EXPECT_EQ(waits(3, 97), name == std::string("nobody")) << name;
    }
}

TEST_F(ReadOnTest, the_rest_brings_what_is_there) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 100), "abc");
    world.stream->feed("de");
    EXPECT_EQ(peer->read(1, 3, 97), "de");
    EXPECT_EQ(refusal(5, 95), EINTR);
    world.stream->feed("f");
    EXPECT_EQ(peer->read(1, 5, 100), "f");
}

TEST_F(ReadOnTest, another_read_waits) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 100), "abc");
    EXPECT_TRUE(waits(3, 100));
}

TEST_F(ReadOnTest, a_read_that_was_filled_has_no_rest) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 3), "abc");
    EXPECT_TRUE(waits(3, 3));
}

TEST_F(ReadOnTest, a_read_of_more_than_a_message_has_a_rest_of_any_size) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 8192), "abc");
    EXPECT_EQ(refusal(3, 8192), EINTR);
    EXPECT_TRUE(waits(3, 8192));
}

TEST_F(ReadOnTest, the_end_is_the_end) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 100), "abc");
    world.stream->finish();
    EXPECT_EQ(peer->read(1, 3, 97), "");
    EXPECT_EQ(peer->read(1, 3, 100), "");
}

TEST_F(ReadOnTest, a_failure_is_told_as_it_is) {
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(1, 0, 100), "abc");
    EXPECT_EQ(refusal(3, 97), EINTR);
    ASSERT_TRUE(waits(3, 97, 8));
    peer->send(Tflush{8}, 9);
    EXPECT_EQ(peer->answers.back().tag, 9);  // flush(5): the read itself is not answered
}

TEST_F(ReadOnTest, with_nonblock_the_reader_hears_eagain) {
    peer->open(2, "stream", 04000);  // O_NONBLOCK as 9P2000.L has it
    world.stream->feed("abc");
    EXPECT_EQ(peer->read(2, 0, 100), "abc");
    EXPECT_EQ(peer->error(Tread{2, 3, 97}), EAGAIN);
}

TEST_F(ReadOnTest, other_files_and_other_clients_know_nothing_of_it) {
    peer->open(2, "hello");
    EXPECT_EQ(peer->read(2, 0, 100), "hello, world\n");
    EXPECT_EQ(peer->read(2, 13, 87), "");
    const auto other = Peer::attached(world.root);
    other->open(1, "stream");
    world.stream->feed("abc");
    EXPECT_EQ(other->read(1, 0, 100), "abc");
    const std::size_t before = other->answers.size();
    other->send(Tread{1, 3, 97}, 7);
    EXPECT_EQ(other->answers.size(), before);
}

}  // namespace
}  // namespace ennead::p9::test
