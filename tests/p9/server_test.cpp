// SPDX-License-Identifier: MIT
// Version, tags, flush, limits and the end of a connection.
#include "p9/server.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <mutex>
#include <thread>

#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

// A peer with fid 1 open on the stream and a read waiting there under tag 50.
struct Blocked {
    World world;
    std::unique_ptr<Peer> peer = Peer::attached(world.root);
    Blocked() {
        peer->open(1, "stream");
        peer->send(Tread{1, 0, 100}, 50);
        EXPECT_EQ(world.stream->waiting.size(), 1u);
        peer->answers.clear();
    }
    // Tags in the order their answers came, dropped ones negated.
    std::vector<int> order() const {
        std::vector<int> tags;
        for (const auto& answer : peer->answers) {
            tags.push_back(answer.dropped ? -answer.tag : answer.tag);
        }
        return tags;
    }
};

TEST(Tree, is_held_for_a_request_and_for_the_servers_end) {
    World world;
    std::recursive_mutex tree;
    const auto is_free = [&tree] {
        bool free = false;
        std::thread([&] {
            free = tree.try_lock();
            if (free) {
                tree.unlock();
            }
        }).join();
        return free;
    };
    auto peer = Peer::attached(world.root, 65536, {.tree = &tree});
    const Buffer clunk = frame_of(9, Tclunk{0});
    std::vector<std::byte> room(100);
    bool free_inside = true;
    peer->server->request(make_exchange(
        clunk.span(), room, [&](std::size_t) { free_inside = is_free(); }, nullptr));
    EXPECT_FALSE(free_inside);
    EXPECT_TRUE(is_free());
    // A server that ends itself inside a request.
    Server::Options options{.tree = &tree};
    std::unique_ptr<Server> server;
    options.on_end = [&](std::string_view) { server = nullptr; };
    server = std::make_unique<Server>(world.root, std::move(options));
    server->request(make_exchange(
        clunk.span(), room, [](std::size_t) {}, nullptr));
    EXPECT_EQ(server, nullptr);
    EXPECT_TRUE(is_free());
}

TEST(Qid, version_may_be_steady) {
    World world;
    world.root->add("synthetic", S_IFREG | 0644)->version = 0;
    const auto version = [](Peer& peer, std::uint32_t fid, const char* name) {
        return peer.walk(0, fid, {name}).qids.items[0].version;
    };
    const auto usual = Peer::attached(world.root);
    EXPECT_EQ(version(*usual, 1, "hello"), 7u);
    world.hello->version = 8;
    EXPECT_EQ(version(*usual, 2, "hello"), 8u);
    const auto steady = Peer::attached(world.root, 65536, {.steady_versions = true});
    EXPECT_EQ(version(*steady, 1, "hello"), 1u);
    world.hello->version = 9;
    EXPECT_EQ(version(*steady, 2, "hello"), 1u);
    EXPECT_EQ(version(*steady, 3, "synthetic"), 0u);
}

TEST(Version, takes_the_smaller_msize) {
    World world;
    Peer peer(world.root, {.max_msize = 100'000});
    EXPECT_EQ(peer.call<Rversion>(Tversion{50'000, kVersion}, kNoTag).msize, 50'000u);
    EXPECT_EQ(peer.server->msize(), 50'000u);
    EXPECT_EQ(peer.call<Rversion>(Tversion{200'000, kVersion}, kNoTag).msize, 100'000u);
}

TEST(Version, answers_unknown_to_what_it_does_not_speak) {
    World world;
    Peer peer(world.root);
    for (const auto version : {"9P1999", "9P", "9P2000L", "9p2000", ".L", "", "8P"}) {
        EXPECT_EQ(peer.call<Rversion>(Tversion{8192, version}, kNoTag).version, kVersionUnknown);
    }
    EXPECT_EQ(peer.call<Rversion>(Tversion{8192, kVersion}, kNoTag).version, kVersion);
    EXPECT_EQ(peer.ends, 0);
}

TEST(Version, answers_with_plain_9p2000_to_its_refinements) {
    World world;
    Peer peer(world.root);
    for (const auto version : {"9P2000", "9P2000.u", "9P2000.LL", "9P2000.e"}) {
        const auto answer = peer.call<Rversion>(Tversion{8192, version}, kNoTag);
        EXPECT_EQ(answer.version, kVersionPlain);
        EXPECT_EQ(answer.msize, 8192u);
    }
}

TEST(Version, refuses_tiny_msize) {
    World world;
    Peer peer(world.root);
    EXPECT_EQ(peer.error(Tversion{4095, kVersion}, kNoTag), EMSGSIZE);
    EXPECT_EQ(peer.call<Rversion>(Tversion{4096, kVersion}, kNoTag).msize, 4096u);
}

TEST(Version, resets_fids_and_pending_requests) {
    Blocked b;
    EXPECT_EQ(b.peer->call<Rversion>(Tversion{8192, kVersion}, kNoTag).msize, 8192u);
    EXPECT_EQ(b.order(), (std::vector<int>{-50, kNoTag}));
    EXPECT_EQ(b.peer->server->fids(), 0u);
    EXPECT_EQ(b.peer->server->pending(), 0u);
    b.peer->call<Rattach>(Tattach{1, kNoFid, "", "", 0});
}

TEST(Version, reset_returns_a_stuck_request_when_its_node_lets_go) {
    Blocked b;
    b.world.stream->answer_cancelled = false;
    b.peer->call<Rversion>(Tversion{8192, kVersion}, kNoTag);
    b.peer->call<Rattach>(Tattach{1, kNoFid, "", "", 0}, 50);  // the old tag is free
    EXPECT_EQ(b.order(), (std::vector<int>{kNoTag, 50}));
    b.world.stream->feed("late");
    EXPECT_EQ(b.order(), (std::vector<int>{kNoTag, 50, -50}));
}

TEST(Version, what_is_still_stuck_at_the_end_is_not_returned) {
    for (const bool broken : {false, true}) {
        Blocked b;
        b.world.stream->answer_cancelled = false;
        b.peer->call<Rversion>(Tversion{8192, kVersion}, kNoTag);
        if (broken) {
            b.peer->raw(bytes_of("no message"));
            EXPECT_EQ(b.peer->ends, 1);
        } else {
            b.peer->server.reset();
        }
        b.world.stream->feed("late");
        EXPECT_EQ(b.order(), (std::vector<int>{kNoTag}));
    }
}

TEST(Version, comes_first) {
    World world;
    Peer peer(world.root);
    peer.send(Tattach{0, kNoFid, "", "", 0}, 1);
    EXPECT_EQ(peer.ends, 1);
    EXPECT_TRUE(peer.answers.empty());
    EXPECT_EQ(peer.worst, LogLevel::warn);
}

TEST(Tags, in_use_end_the_connection) {
    Blocked b;
    b.peer->send(Tgetattr{0, kAttrBasic}, 50);
    EXPECT_EQ(b.peer->ends, 1);
    EXPECT_EQ(b.peer->reason, "tag in use");
    EXPECT_TRUE(b.peer->server->ended());
    EXPECT_EQ(b.world.stream->cancelled, 1);
    EXPECT_TRUE(b.peer->answers.empty());
}

TEST(Tags, other_requests_overtake_a_waiting_one) {
    Blocked b;
    b.peer->call<Rgetattr>(Tgetattr{0, kAttrBasic}, 51);
    b.world.stream->feed("data");
    EXPECT_EQ(b.order(), (std::vector<int>{51, 50}));
    EXPECT_EQ(text_of(std::get<Rread>(b.peer->answers[1].frame.message).data), "data");
}

TEST(Flush, drops_the_answer_and_then_answers) {
    Blocked b;
    b.peer->send(Tflush{50}, 60);
    EXPECT_EQ(b.order(), (std::vector<int>{-50, 60}));
    b.peer->call<Rgetattr>(Tgetattr{0, kAttrBasic}, 50);  // the tag is free again
}

TEST(Flush, waits_for_an_answer_that_cannot_be_called_off) {
    Blocked b;
    b.world.stream->answer_cancelled = false;
    b.peer->send(Tflush{50}, 60);
    EXPECT_TRUE(b.peer->answers.empty());
    b.world.stream->feed("data");
    // The data was taken from the stream, so it must not be dropped.
    EXPECT_EQ(b.order(), (std::vector<int>{50, 60}));
    EXPECT_EQ(text_of(std::get<Rread>(b.peer->answers[0].frame.message).data), "data");
}

TEST(Flush, of_unknown_or_own_tag_is_answered_at_once) {
    Blocked b;
    b.peer->call<Rflush>(Tflush{999}, 60);
    b.peer->call<Rflush>(Tflush{61}, 61);
    EXPECT_EQ(b.peer->server->pending(), 1u);
}

TEST(Flush, of_flush_is_answered_after_it) {
    Blocked b;
    b.world.stream->answer_cancelled = false;
    b.peer->send(Tflush{50}, 60);
    b.peer->send(Tflush{60}, 61);
    b.peer->send(Tflush{50}, 62);
    EXPECT_TRUE(b.peer->answers.empty());
    b.world.stream->feed("x");
    EXPECT_EQ(b.order(), (std::vector<int>{50, 60, 61, 62}));
}

TEST(Flush, chain_of_ten_thousand_stays_flat) {
    Blocked b;
    b.world.stream->answer_cancelled = false;
    for (std::uint16_t tag = 1000; tag < 11'000; ++tag) {
        b.peer->send(Tflush{static_cast<std::uint16_t>(tag == 1000 ? 50 : tag - 1)}, tag);
    }
    b.world.stream->finish();
    EXPECT_EQ(b.peer->answers.size(), 10'001u);
    EXPECT_EQ(b.peer->answers.back().tag, 10'999);
}

TEST(Flush, of_a_waiting_walk_leaves_no_fid) {
    World world;
    const auto peer = Peer::attached(world.root);
    peer->send(Peer::walk_message(0, 5, {"slow", "x"}), 70);
    ASSERT_EQ(world.slow->waiting.size(), 1u);
    EXPECT_EQ(peer->error(Tclunk{5}), EBADF);                             // reserved, not there yet
    EXPECT_EQ(peer->error(Peer::walk_message(0, 5, {"hello"})), EINVAL);  // but taken
    peer->send(Tflush{70}, 71);
    const auto reply = std::move(world.slow->waiting.front());
    world.slow->waiting.clear();
    reply(synthfs::error(EINTR));
    EXPECT_TRUE(peer->answers[peer->answers.size() - 2].dropped);
    EXPECT_EQ(peer->answers.back().tag, 71);
    peer->walk(0, 5, {"hello"});
}

TEST(Clunk, cancels_what_waits_on_the_fid) {
    Blocked b;
    b.peer->send(Tclunk{1}, 60);
    EXPECT_EQ(b.order(), (std::vector<int>{50, 60}));
    EXPECT_EQ(std::get<Rlerror>(b.peer->answers[0].frame.message).ecode, unsigned{EINTR});
    EXPECT_EQ(b.peer->server->fids(), 1u);
}

TEST(Server, destruction_cancels_and_stays_silent) {
    Blocked b;
    b.peer->server.reset();
    EXPECT_EQ(b.world.stream->cancelled, 1);
    EXPECT_TRUE(b.peer->answers.empty());
    EXPECT_EQ(b.peer->ends, 0);
}

TEST(Server, memory_of_a_stuck_read_outlives_it) {
    Blocked b;
    b.world.stream->answer_cancelled = false;
    b.peer.reset();
    b.world.stream->feed("written into a buffer nobody reads");
}

TEST(Server, may_be_destroyed_by_its_own_answer) {
    World world;
    std::vector<std::byte> reply(64);
    const Buffer version = frame_of(kNoTag, Tversion{8192, kVersion});
    std::unique_ptr<Server> server = std::make_unique<Server>(world.root);
    server->request(make_exchange(
        version.span(), reply, [&](std::size_t) { server.reset(); }, nullptr));
    EXPECT_EQ(server, nullptr);
}

TEST(Server, exception_in_a_node_is_eio) {
    World world;
    const auto peer = Peer::attached(world.root);
    peer->walk(0, 1, {"slow"});
    EXPECT_EQ(peer->error(Tgetattr{1, kAttrBasic}), EIO);
    EXPECT_EQ(peer->error(Tlopen{1, 0}), EIO);
    EXPECT_EQ(peer->ends, 0);
    ASSERT_EQ(peer->log.size(), 1u);  // once a session: a guest can repeat it
    EXPECT_NE(peer->log[0].find("getattr"), std::string::npos);
}

TEST(Server, crowd_of_waiting_reads_is_bounded) {
    World world;
    const auto peer = Peer::attached(world.root, 65536, {.max_pending = 4});
    peer->open(1, "stream");
    for (std::uint16_t tag = 10; tag < 14; ++tag) {
        peer->send(Tread{1, 0, 10}, tag);
    }
    EXPECT_EQ(peer->error(Tread{1, 0, 10}, 14), EAGAIN);
    peer->call<Rgetattr>(Tgetattr{1, kAttrBasic}, 15);
    peer->call<Rflush>(Tflush{10}, 16);
}

TEST(Server, fids_are_bounded) {
    World world;
    const auto peer = Peer::attached(world.root, 65536, {.max_fids = 3});
    peer->walk(0, 1, {});
    peer->walk(0, 2, {});
    EXPECT_EQ(peer->error(Peer::walk_message(0, 3, {})), ENFILE);
    peer->call<Rclunk>(Tclunk{1});
    peer->walk(0, 3, {});
}

TEST(Server, open_files_are_bounded) {
    World world;
    const auto peer = Peer::attached(world.root, 65536, {.max_open = 2});
    peer->open(1, "stream");
    peer->open(2, "stream");
    peer->walk(0, 3, {"stream"});
    EXPECT_EQ(peer->error(Tlopen{3, 0}), ENFILE);
    peer->walk(0, 4, {});
    EXPECT_EQ(peer->error(Tlcreate{4, "more", 0200, 0600, 0}), ENFILE);

    peer->call<Rclunk>(Tclunk{1});
    peer->call<Rlopen>(Tlopen{3, 0});
    EXPECT_EQ(peer->error(Tlopen{4, 0}), ENFILE);
    peer->call<Rclunk>(Tclunk{2});
    peer->call<Rlopen>(Tlopen{4, 0});
}

TEST(Server, a_clunk_under_a_blocked_read_makes_room_for_another_open) {
    World world;
    const auto peer = Peer::attached(world.root, 65536, {.max_open = 1});
    peer->open(1, "stream");
    peer->send(Tread{1, 0, 10}, 10);
    peer->call<Rclunk>(Tclunk{1}, 11);
    peer->open(2, "stream");
}

TEST(Server, refuses_what_it_knows_but_does_not_speak) {
    World world;
    const auto peer = Peer::attached(world.root);
    const unsigned char tstat[] = {11, 0, 0, 0, 124, 9, 0, 0, 0, 0, 0};
    peer->raw(std::as_bytes(std::span(tstat)), 9);
    EXPECT_EQ(std::get<Rlerror>(peer->answers.back().frame.message).ecode, unsigned{EOPNOTSUPP});
    EXPECT_EQ(peer->error(Tauth{9, "root", "", 0}), ENOENT);
    EXPECT_EQ(peer->ends, 0);
}

TEST(Server, frame_above_msize_ends_the_connection) {
    World world;
    const auto peer = Peer::attached(world.root, 4096);
    peer->send(Twrite{0, 0, Bytes(std::vector<std::byte>(4096))}, 1);
    EXPECT_EQ(peer->ends, 1);
}

TEST(Server, reply_is_cut_to_the_space_of_its_channel) {
    World world;
    world.hello->data = std::string(5000, 'x');
    const auto peer = Peer::attached(world.root);
    peer->open(1, "hello");
    EXPECT_EQ(peer->call<Rread>(Tread{1, 0, 5000}, 1, 111).data.size(), 100u);
    EXPECT_EQ(peer->error(Tgetattr{1, kAttrBasic}, 1, 20), EMSGSIZE);
    // Not even an error fits: such a channel is of no use.
    peer->send(Tgetattr{1, kAttrBasic}, 2, 10);
    EXPECT_EQ(peer->ends, 1);
}

TEST(Server, counts_requests_and_bytes) {
    World world;
    const auto peer = Peer::attached(world.root);
    const auto before = peer->server->counters();
    peer->call<Rgetattr>(Tgetattr{0, kAttrBasic});
    const auto& after = peer->server->counters();
    EXPECT_EQ(after.requests, before.requests + 1);
    EXPECT_EQ(after.bytes_in, before.bytes_in + 19);
    EXPECT_EQ(after.bytes_out, before.bytes_out + encoded_size(Rgetattr{}));
}

}  // namespace
}  // namespace ennead::p9::test
