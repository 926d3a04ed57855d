// SPDX-License-Identifier: MIT
// Attach, walk, open, read, write, locks, attributes and directories through the server.
#include <tuple>

#include <dirent.h>

#include <cerrno>
#include <set>
#include <tuple>

#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

class Files : public testing::Test {
  protected:
    World world;
    std::unique_ptr<Peer> peer = Peer::attached(world.root);

    std::vector<DirRecord> records(Bytes data) {
        std::vector<DirRecord> list;
        Reader reader(data);
        while (reader.left() > 0 && reader.ok()) {
            DirRecord::fields(list.emplace_back(), reader);
        }
        EXPECT_TRUE(reader.ok());
        return list;
    }
};

TEST_F(Files, attach_gives_the_root) {
    const auto root = peer->call<Rattach>(Tattach{9, kNoFid, "guest", "/", 1000});
    EXPECT_EQ(root.qid.type, kQtDir);
    EXPECT_EQ(root.qid.path, world.root->identity().path);
    peer->walk(9, 10, {"hello"});
    peer->call<Rlopen>(Tlopen{10, 0});
    EXPECT_EQ(world.hello->last_caller.uid, 1000u);
}

TEST_F(Files, attach_below_the_root_is_a_root_of_its_own) {
    EXPECT_EQ(peer->call<Rattach>(Tattach{9, kNoFid, "", "/dir//deep/", kNoUid}).qid.path,
              world.deep->identity().path);
    EXPECT_EQ(peer->walk(9, 10, {".."}).qids.items[0].path, world.deep->identity().path);
    EXPECT_EQ(peer->error(Tattach{11, kNoFid, "", "nowhere", 0}), ENOENT);
    EXPECT_EQ(peer->error(Tattach{9, kNoFid, "", "", 0}), EINVAL);  // in use
    EXPECT_EQ(peer->error(Tattach{11, 3, "", "", 0}), EBADF);       // no auth fids here
    EXPECT_EQ(peer->error(Tattach{kNoFid, kNoFid, "", "", 0}), EINVAL);
    EXPECT_EQ(peer->server->fids(), 3u);
}

TEST_F(Files, walk_goes_down_and_up_and_no_higher) {
    EXPECT_EQ(peer->walk(0, 1, {"dir", "inner"}).qids.count, 2);
    EXPECT_EQ(peer->walk(0, 2, {"..", "..", "dir", ".", "deep", "..", "inner"}).qids.count, 7);
    EXPECT_EQ(peer->call<Rgetattr>(Tgetattr{2, kAttrBasic}).qid.path, world.inner->identity().path);
    EXPECT_EQ(peer->walk(0, 3, {}).qids.count, 0);
}

TEST_F(Files, walk_tells_kinds_of_files) {
    EXPECT_EQ(peer->walk(0, 1, {"hello"}).qids.items[0],
              (Qid{kQtFile, 7, world.hello->identity().path}));
    EXPECT_EQ(peer->walk(0, 2, {"link"}).qids.items[0].type, kQtSymlink);
    EXPECT_EQ(peer->walk(0, 3, {"stream"}).qids.items[0].type, kQtAppend);
    EXPECT_EQ(peer->walk(0, 4, {"dir"}).qids.items[0].type, kQtDir);
}

TEST_F(Files, qid_paths_differ_between_sources) {
    std::set<std::uint64_t> paths;
    for (const auto name : {"hello", "stream", "slow", "dir", "link", "fifo"}) {
        paths.insert(peer->walk(0, 1, {name}).qids.items[0].path);
        peer->call<Rclunk>(Tclunk{1});
    }
    EXPECT_EQ(paths.size(), 6u);
}

TEST_F(Files, partial_walk_makes_no_fid) {
    EXPECT_EQ(peer->walk(0, 1, {"dir", "none", "x"}).qids.count, 1);
    EXPECT_EQ(peer->error(Tclunk{1}), EBADF);
    EXPECT_EQ(peer->error(Peer::walk_message(0, 1, {"none"})), ENOENT);
    EXPECT_EQ(peer->walk(0, 1, {"hello", "x"}).qids.count, 1);
    EXPECT_EQ(peer->walk(0, 1, {"hello", ".."}).qids.count, 1);
    EXPECT_EQ(peer->error(Peer::walk_message(0, 1, {"a/b"})), ENOENT);
    EXPECT_EQ(peer->error(Peer::walk_message(0, 1, {""})), ENOENT);
    EXPECT_EQ(peer->server->fids(), 1u);
}

TEST_F(Files, walk_of_a_fid_onto_itself) {
    peer->walk(0, 1, {});
    peer->walk(1, 1, {"dir"});
    EXPECT_EQ(peer->walk(1, 1, {"inner", "x"}).qids.count, 1);  // stays where it was
    EXPECT_EQ(peer->walk(1, 2, {"inner"}).qids.count, 1);
    peer->call<Rlopen>(Tlopen{2, 0});
    EXPECT_EQ(peer->error(Peer::walk_message(2, 2, {})), EINVAL);
    peer->walk(2, 3, {});  // Linux clones open fids
    peer->call<Rlopen>(Tlopen{3, 0});
}

TEST_F(Files, misused_fids_are_told) {
    EXPECT_EQ(peer->error(Tclunk{77}), EBADF);
    EXPECT_EQ(peer->error(Tlopen{77, 0}), EBADF);
    EXPECT_EQ(peer->error(Peer::walk_message(77, 78, {})), EBADF);
    EXPECT_EQ(peer->error(Peer::walk_message(0, 0xffffffff, {})), EINVAL);
    EXPECT_EQ(peer->error(Tread{0, 0, 10}), EBADF);
    EXPECT_EQ(peer->error(Treaddir{0, 0, 10}), EBADF);
    EXPECT_EQ(peer->error(Twrite{0, 0, {}}), EBADF);
    EXPECT_EQ(peer->error(Tfsync{0, 0}), EBADF);
    peer->open(1, "hello");
    EXPECT_EQ(peer->error(Tlopen{1, 0}), EINVAL);
    EXPECT_EQ(peer->error(Twrite{1, 0, {}}), EBADF);
    EXPECT_EQ(peer->error(Treaddir{1, 0, 1000}), ENOTDIR);
    peer->open(2, "hello", 1);
    EXPECT_EQ(peer->error(Tread{2, 0, 10}), EBADF);
    peer->open(3, "dir");
    EXPECT_EQ(peer->error(Tread{3, 0, 10}), EISDIR);
    peer->walk(0, 4, {"dir"});
    EXPECT_EQ(peer->error(Tlopen{4, 2}), EISDIR);
    EXPECT_EQ(peer->error(Tlopen{4, 3}), EINVAL);
    peer->walk(0, 5, {"hello"});
    EXPECT_EQ(peer->error(Tlopen{5, 0200000}), ENOTDIR);
    EXPECT_EQ(peer->ends, 0);
}

TEST_F(Files, read_gives_what_is_there) {
    const auto opened = (peer->walk(0, 1, {"hello"}), peer->call<Rlopen>(Tlopen{1, 0100000}));
    EXPECT_EQ(opened.qid.version, 7u);
    EXPECT_EQ(opened.iounit, 65536 - kIoHeaderSize);
    EXPECT_EQ(peer->read(1), "hello, world\n");
    EXPECT_EQ(peer->read(1, 7, 5), "world");
    EXPECT_EQ(peer->read(1, 13), "");
    EXPECT_EQ(peer->read(1, ~0ull >> 1), "");
    EXPECT_EQ(peer->error(Tread{1, ~0ull, 10}), EINVAL);
    EXPECT_EQ(peer->read(1, 0, 0), "");
}

TEST_F(Files, read_is_bounded_by_msize) {
    world.hello->data = std::string(100'000, 'x');
    peer->open(1, "hello");
    EXPECT_EQ(peer->read(1, 0, 0xffffffff).size(), 65536 - kDataHeaderSize);
}

TEST_F(Files, data_goes_straight_into_the_reply) {
    peer->open(1, "hello");
    std::vector<std::byte> reply(200);
    const Buffer request = frame_of(5, Tread{1, 7, 5});
    std::size_t size = 0;
    peer->server->request(make_exchange(
        request.span(), reply, [&](std::size_t n) { size = n; }, nullptr));
    EXPECT_EQ(size, 16u);
    EXPECT_EQ(text_of(Bytes(reply).subspan(11, 5)), "world");
}

// The transport of a guest: requests and replies lie in pieces.
class Pieces final : public Exchange {
  public:
    struct Memory {
        std::vector<std::vector<std::byte>> pieces;
        std::vector<std::byte> whole = std::vector<std::byte>(1000);
        std::size_t size = 0;
        bool in_place = false;
    };
    Pieces(Bytes request, Memory& memory, std::vector<Bytes> rest = {})
        : request_(request), rest_(std::move(rest)), memory_(memory) {
        places_.assign(memory.pieces.begin(), memory.pieces.end());
    }
    Bytes request() const override { return request_; }
    std::span<const Bytes> request_rest() const override { return rest_; }
    std::span<std::byte> reply_space(std::size_t want) override {
        return std::span(memory_.whole).first(want);
    }
    std::span<const std::span<std::byte>> reply_places() override { return places_; }
    void done(std::size_t size) override { memory_.size = size; }
    void done_in_place(std::size_t size) override {
        memory_.size = size;
        memory_.in_place = true;
    }

  private:
    Bytes request_;
    std::vector<Bytes> rest_;
    Memory& memory_;
    std::vector<std::span<std::byte>> places_;
};

TEST_F(Files, what_is_at_hand_is_read_to_where_the_reply_lies) {
    peer->open(1, "hello");
    const auto read = [&](std::uint32_t count, std::vector<std::size_t> sizes) {
        Pieces::Memory memory;
        for (const std::size_t size : sizes) {
            memory.pieces.emplace_back(size, std::byte{'.'});
        }
        const Buffer request = frame_of(5, Tread{1, 7, count});
        peer->server->request(std::make_unique<Pieces>(request.span(), memory));
        std::string all;
        if (memory.in_place) {
            for (const auto& piece : memory.pieces) {
                all += text_of(piece);
            }
        } else {
            all = text_of(Bytes(memory.whole).first(memory.size));
        }
        return std::tuple(memory.in_place, memory.size, all);
    };
    const std::string head("\x10\0\0\0\x75\x05\0\x05\0\0\0", 11);
    EXPECT_EQ(read(5, {100}), std::tuple(false, 16u, head + "world"));
    world.hello->at_hand = true;
    EXPECT_EQ(read(5, {20}), std::tuple(true, 16u, head + "world...."));
    EXPECT_EQ(read(5, {4, 6, 3, 2, 9}), std::tuple(true, 16u, head + "world........"));
    EXPECT_EQ(read(5, {11, 5}), std::tuple(true, 16u, head + "world"));
    // Less room than was asked for; and no room for data at all, which the other way refuses.
    EXPECT_EQ(std::get<1>(read(5, {11, 3})), 14u);
    EXPECT_FALSE(std::get<0>(read(5, {11})));
    // At the end of the file.
    world.hello->data = "hello, ";
    EXPECT_EQ(std::get<1>(read(5, {50})), 11u);
}

TEST_F(Files, a_request_in_pieces_is_the_same_request) {
    peer->open(1, "hello", O_RDWR);
    peer->walk(0, 2, {"hello"});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.x", 5, 0});
    const auto ask = [&](const Buffer& frame, std::vector<std::size_t> sizes) {
        Pieces::Memory memory;
        std::vector<Bytes> rest;
        Bytes left = frame.span();
        for (const std::size_t size : sizes) {
            rest.push_back(left.first(size));
            left = left.subspan(size);
        }
        rest.push_back(left);
        const Bytes first = rest.front();
        rest.erase(rest.begin());
        peer->server->request(std::make_unique<Pieces>(first, memory, rest));
        return text_of(Bytes(memory.whole).first(memory.size));
    };
    const std::string written("\x0b\0\0\0\x77\x05\0\x05\0\0\0", 11);
    for (const bool at_hand : {false, true}) {
        world.hello->at_hand = at_hand;
        for (const auto& sizes : std::vector<std::vector<std::size_t>>{{23}, {25}, {23, 1, 0, 2}}) {
            world.hello->data = "hello, world";
            EXPECT_EQ(ask(frame_of(5, Twrite{1, 7, bytes_of("WORLD")}), sizes), written);
            EXPECT_EQ(world.hello->data, "hello, WORLD");
        }
        world.hello->at_hand = false;
    }
    // Other messages, and writes that no file takes.
    EXPECT_EQ(ask(frame_of(5, Twrite{2, 0, bytes_of("value")}), {23, 2}), written);
    EXPECT_EQ(ask(frame_of(5, Tread{1, 7, 5}), {7, 9}),
              std::string("\x10\0\0\0\x75\x05\0\x05\0\0\0WORLD", 16));
    EXPECT_EQ(ask(frame_of(5, Twrite{77, 0, bytes_of("value")}), {23, 2}),
              std::string("\x0b\0\0\0\x07\x05\0\x09\0\0\0", 11));  // EBADF
    EXPECT_EQ(peer->ends, 0);
    // The count is not what follows.
    Buffer wrong = frame_of(5, Twrite{1, 7, bytes_of("WORLD")});
    wrong.span()[19] = std::byte{4};
    EXPECT_EQ(ask(wrong, {23}), "");
    EXPECT_EQ(peer->ends, 1);
}

TEST_F(Files, write_changes_the_file) {
    peer->open(1, "hello", 2);
    EXPECT_EQ(peer->call<Rwrite>(Twrite{1, 7, bytes_of("there")}).count, 5u);
    EXPECT_EQ(world.hello->data, "hello, there\n");
    EXPECT_EQ(peer->error(Twrite{1, ~0ull, bytes_of("x")}), EFBIG);
    EXPECT_EQ(peer->error(Twrite{1, ~0ull >> 1, bytes_of("x")}), EFBIG);
    peer->call<Rfsync>(Tfsync{1, 1});
    peer->open(2, "hello", 2 | 01000);
    EXPECT_EQ(world.hello->data, "");
}

TEST_F(Files, create_opens_on_the_same_fid) {
    peer->call<Rattach>(Tattach{5, kNoFid, "", "", 1000});
    const auto made = peer->call<Rlcreate>(Tlcreate{5, "new", 2 | 0100 | 0200, 0100640, 50});
    EXPECT_EQ(made.qid.path, world.root->child("new")->identity().path);
    peer->call<Rwrite>(Twrite{5, 0, bytes_of("text")});
    const auto attr = peer->call<Rgetattr>(Tgetattr{5, kAttrBasic});
    EXPECT_EQ(attr.mode, unsigned{S_IFREG | 0640});
    EXPECT_EQ(attr.uid, 1000u);
    EXPECT_EQ(attr.gid, 50u);
    EXPECT_EQ(attr.size, 4u);
    EXPECT_EQ(peer->walk(5, 6, {}).qids.count, 0);

    peer->walk(0, 7, {});
    EXPECT_EQ(peer->error(Tlcreate{7, "new", 0200, 0600, 0}), EEXIST);
    EXPECT_EQ(peer->error(Tlcreate{7, "..", 0, 0600, 0}), EEXIST);
    EXPECT_EQ(peer->error(Tlcreate{7, "a/b", 0, 0600, 0}), ENOENT);
    EXPECT_EQ(peer->error(Tlcreate{6, "x", 0, 0600, 0}), ENOTDIR);
    peer->call<Rlcreate>(Tlcreate{7, "new", 0, 0600, 0});
    EXPECT_EQ(peer->read(7), "text");
}

TEST_F(Files, nonblocking_stream_reads_do_not_wait) {
    peer->open(1, "stream", 04000);
    EXPECT_EQ(peer->error(Tread{1, 0, 10}), EAGAIN);
    world.stream->feed("now");
    EXPECT_EQ(peer->read(1), "now");
}

TEST_F(Files, handles_end_with_their_fids) {
    peer->open(1, "hello");
    peer->walk(1, 2, {});
    EXPECT_EQ(world.hello->handles, 1);
    peer->call<Rclunk>(Tclunk{1});
    EXPECT_EQ(world.hello->handles, 0);
    peer->call<Rclunk>(Tclunk{2});
}

TEST_F(Files, locks_answer_with_a_status) {
    peer->open(1, "hello", 2);
    const auto other = Peer::attached(world.root, 65536, {.client = "other"});
    other->open(1, "hello", 2);
    const Tlock lock{1, kLockWrite, kLockFlagBlock, 0, 0, 100, "guest"};
    EXPECT_EQ(peer->call<Rlock>(lock).status, kLockSuccess);
    EXPECT_EQ(peer->call<Rlock>(lock).status, kLockSuccess);
    // The same names on another connection are somebody else's.
    EXPECT_EQ(other->call<Rlock>(lock).status, kLockBlocked);

    const auto found = other->call<Rgetlock>(Tgetlock{1, kLockUnlock, 0, 0, 100, "guest"});
    EXPECT_EQ(found.type, kLockWrite);
    EXPECT_EQ(found.client_id, "9p/guest");
    EXPECT_EQ(found.proc_id, 100u);
    const auto own = peer->call<Rgetlock>(Tgetlock{1, kLockRead, 0, 0, 100, "guest"});
    EXPECT_EQ(own.type, kLockUnlock);
    EXPECT_EQ(own.client_id, "guest");

    EXPECT_EQ(peer->call<Rlock>(Tlock{1, kLockUnlock, 0, 0, 0, 100, "guest"}).status, kLockSuccess);
    EXPECT_EQ(other->call<Rlock>(lock).status, kLockSuccess);
    EXPECT_EQ(peer->error(Tlock{1, 3, 0, 0, 0, 1, ""}), EINVAL);
    EXPECT_EQ(peer->error(Tlock{0, 0, 0, 0, 0, 1, ""}), EBADF);
}

TEST_F(Files, getattr_gives_everything_basic) {
    world.hello->attr.uid = 5;
    world.hello->attr.mtime = {12, 34};
    world.hello->attr.nlink = 3;
    peer->walk(0, 1, {"hello"});
    const auto attr = peer->call<Rgetattr>(Tgetattr{1, 0x3fff});
    EXPECT_EQ(attr.valid, kAttrBasic);
    EXPECT_EQ(attr.mode, unsigned{S_IFREG | 0644});
    EXPECT_EQ(attr.uid, 5u);
    EXPECT_EQ(attr.nlink, 3u);
    EXPECT_EQ(attr.size, 13u);
    EXPECT_EQ(attr.mtime_sec, 12u);
    EXPECT_EQ(attr.mtime_nsec, 34u);
    EXPECT_EQ(attr.qid.version, 7u);
}

TEST_F(Files, setattr_changes_what_its_mask_says) {
    peer->open(1, "hello", 2);
    Tsetattr m{1, kSetSize, 0777, 9, 9, 5, 0, 0, 0, 0};
    peer->call<Rsetattr>(m);
    EXPECT_EQ(world.hello->data, "hello");
    EXPECT_FALSE(world.hello->last_change.mode);
    m.valid = kSetMode | kSetUid | kSetGid | kSetAtime | kSetMtime | kSetMtimeValue;
    m.mtime_sec = static_cast<std::uint64_t>(-5);
    m.mtime_nsec = 6;
    peer->call<Rsetattr>(m);
    EXPECT_EQ(world.hello->attr.mode, unsigned{S_IFREG | 0777});
    EXPECT_EQ(world.hello->last_change.uid, 9u);
    EXPECT_TRUE(world.hello->last_change.atime->now);
    EXPECT_EQ(world.hello->attr.mtime.tv_sec, -5);
    EXPECT_EQ(world.hello->attr.mtime.tv_nsec, 6);
    m.mtime_nsec = 1'000'000'000;
    EXPECT_EQ(peer->error(m), EINVAL);
    m.valid = kSetCtime;
    peer->call<Rsetattr>(m);
}

TEST_F(Files, statfs_and_readlink) {
    const auto figures = peer->call<Rstatfs>(Tstatfs{0});
    EXPECT_EQ(figures.type, 0x01021997u);
    EXPECT_EQ(figures.blocks, 1000u);
    EXPECT_EQ(figures.namelen, 200u);
    peer->walk(0, 1, {"link"});
    EXPECT_EQ(peer->call<Rreadlink>(Treadlink{1}).target, "hello");
    EXPECT_EQ(peer->error(Treadlink{0}), EINVAL);
}

TEST_F(Files, xattr_is_read_through_a_fid_of_its_own) {
    world.hello->xattrs = {{"user.a", "value"}, {"user.b", ""}};
    peer->walk(0, 1, {"hello"});
    EXPECT_EQ(peer->call<Rxattrwalk>(Txattrwalk{1, 2, "user.a"}).size, 5u);
    EXPECT_EQ(peer->read(2), "value");
    EXPECT_EQ(peer->read(2, 3, 100), "ue");
    EXPECT_EQ(peer->read(2, 99), "");
    EXPECT_EQ(peer->call<Rxattrwalk>(Txattrwalk{1, 3, ""}).size, 14u);
    EXPECT_EQ(peer->read(3), std::string("user.a\0user.b\0", 14));
    EXPECT_EQ(peer->error(Txattrwalk{1, 4, "user.none"}), ENODATA);
    EXPECT_EQ(peer->error(Txattrwalk{1, 1, "user.a"}), EINVAL);
    EXPECT_EQ(peer->error(Txattrwalk{2, 4, "user.a"}), EBADF);
    EXPECT_EQ(peer->error(Peer::walk_message(2, 4, {})), EINVAL);
    peer->call<Rclunk>(Tclunk{2});
    peer->call<Rclunk>(Tclunk{3});
    EXPECT_EQ(peer->server->fids(), 2u);
}

TEST_F(Files, xattr_is_set_by_the_clunk) {
    peer->walk(0, 1, {"hello"});
    peer->walk(1, 2, {});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.a", 6, 0});
    peer->call<Rwrite>(Twrite{2, 0, bytes_of("abc")});
    EXPECT_EQ(peer->error(Twrite{2, 4, bytes_of("d")}), EINVAL);
    EXPECT_EQ(peer->error(Twrite{2, 3, bytes_of("defg")}), ENOSPC);
    peer->call<Rwrite>(Twrite{2, 3, bytes_of("def")});
    EXPECT_TRUE(world.hello->xattrs.empty());
    peer->call<Rclunk>(Tclunk{2});
    EXPECT_EQ(world.hello->xattrs["user.a"], "abcdef");

    peer->walk(1, 2, {});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.a", 3, XATTR_CREATE});
    peer->call<Rwrite>(Twrite{2, 0, bytes_of("xyz")});
    EXPECT_EQ(peer->error(Tclunk{2}), EEXIST);  // and the fid is gone all the same
    EXPECT_EQ(peer->error(Tclunk{2}), EBADF);

    peer->walk(1, 2, {});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.a", 3, 0});
    EXPECT_EQ(peer->error(Tclunk{2}), EINVAL);  // less than was announced
    EXPECT_EQ(world.hello->xattrs["user.a"], "abcdef");

    peer->walk(1, 2, {});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.empty", 0, 0});
    peer->call<Rclunk>(Tclunk{2});
    EXPECT_TRUE(world.hello->xattrs.contains("user.empty"));
    peer->walk(1, 2, {});
    peer->call<Rxattrcreate>(Txattrcreate{2, "user.empty", 0, XATTR_REPLACE});
    peer->call<Rclunk>(Tclunk{2});
    EXPECT_FALSE(world.hello->xattrs.contains("user.empty"));

    EXPECT_EQ(peer->error(Txattrcreate{1, "user.a", 65537, 0}), E2BIG);
    EXPECT_EQ(peer->error(Txattrcreate{1, "", 1, 0}), ERANGE);
    EXPECT_EQ(peer->error(Txattrcreate{1, "user.a", 1, 4}), EINVAL);
}

TEST_F(Files, readdir_gives_dots_first_and_types) {
    peer->walk(0, 1, {"dir"});
    peer->call<Rlopen>(Tlopen{1, 0200000});
    const auto list = records(peer->call<Rreaddir>(Treaddir{1, 0, 8192}).data);
    ASSERT_EQ(list.size(), 4u);
    EXPECT_EQ(list[0].name, ".");
    EXPECT_EQ(list[0].qid.path, world.dir->identity().path);
    EXPECT_EQ(list[1].name, "..");
    EXPECT_EQ(list[1].qid.path, world.root->identity().path);
    EXPECT_EQ(list[2].name, "inner");
    EXPECT_EQ(list[2].type, DT_REG);
    EXPECT_EQ(list[2].qid.path, world.inner->identity().path);
    EXPECT_EQ(list[3].name, "deep");
    EXPECT_EQ(list[3].type, DT_DIR);
    EXPECT_TRUE(peer->call<Rreaddir>(Treaddir{1, list[3].offset, 8192}).data.empty());
    EXPECT_EQ(records(peer->call<Rreaddir>(Treaddir{1, list[2].offset, 8192}).data)[0].name,
              "deep");
}

TEST_F(Files, readdir_never_splits_an_entry) {
    for (int i = 0; i < 3000; ++i) {
        world.deep->add("file" + std::to_string(i), S_IFREG | 0600);
    }
    peer->walk(0, 1, {"dir", "deep"});
    peer->call<Rlopen>(Tlopen{1, 0});
    for (const std::uint32_t count : {33u, 60u, 500u, 65535u}) {
        std::vector<std::string> names;
        for (std::uint64_t offset = 0;;) {
            const Bytes data = peer->call<Rreaddir>(Treaddir{1, offset, count}).data;
            EXPECT_LE(data.size(), count);
            if (data.empty()) {
                break;
            }
            for (const DirRecord& record : records(data)) {
                names.emplace_back(record.name);
                offset = record.offset;
            }
            peer->answers.clear();
        }
        ASSERT_EQ(names.size(), 3002u) << count;
        EXPECT_EQ(names[2], "file0");
        EXPECT_EQ(names.back(), "file2999");
    }
    // Too small for the next entry: an error, since no data would mean the end.
    EXPECT_EQ(peer->error(Treaddir{1, 0, 24}), EINVAL);
    EXPECT_EQ(peer->error(Treaddir{1, 2, 25}), EINVAL);
}

TEST_F(Files, things_are_made_in_directories) {
    peer->call<Rattach>(Tattach{5, kNoFid, "", "", 1000});
    EXPECT_EQ(peer->call<Rmkdir>(Tmkdir{5, "d", S_IFDIR | 0750, 20}).qid.type, kQtDir);
    EXPECT_EQ(world.root->mem("d")->attr.mode, unsigned{S_IFDIR | 0750});
    EXPECT_EQ(world.root->mem("d")->attr.uid, 1000u);
    EXPECT_EQ(world.root->mem("d")->attr.gid, 20u);
    EXPECT_EQ(peer->call<Rsymlink>(Tsymlink{5, "l", "to/where", 0}).qid.type, kQtSymlink);
    EXPECT_EQ(world.root->mem("l")->data, "to/where");
    peer->call<Rmknod>(Tmknod{5, "n", S_IFCHR | 0600, 4, 64, 0});
    EXPECT_EQ(world.root->mem("n")->attr.rdev, 0x440u);
    peer->call<Rmknod>(Tmknod{5, "f", 0600, 0, 0, 0});
    EXPECT_EQ(world.root->mem("f")->type(), unsigned{S_IFREG});
    peer->walk(0, 6, {"hello"});
    peer->call<Rlink>(Tlink{0, 6, "again"});
    EXPECT_EQ(world.root->child("again"), world.hello);

    EXPECT_EQ(peer->error(Tmkdir{5, "d", 0755, 0}), EEXIST);
    EXPECT_EQ(peer->error(Tmkdir{5, ".", 0755, 0}), EEXIST);
    EXPECT_EQ(peer->error(Tmkdir{5, std::string_view("a\0b", 3), 0755, 0}), ENOENT);
    EXPECT_EQ(peer->error(Tmkdir{6, "d", 0755, 0}), ENOTDIR);
    EXPECT_EQ(peer->error(Tsymlink{5, "e", "", 0}), ENOENT);
    EXPECT_EQ(peer->error(Tmknod{5, "x", S_IFDIR | 0700, 0, 0, 0}), EINVAL);
    EXPECT_EQ(peer->error(Tlink{0, 77, "x"}), EBADF);
}

TEST_F(Files, unlinkat_and_remove) {
    EXPECT_EQ(peer->error(Tunlinkat{0, "dir", 0}), EISDIR);
    EXPECT_EQ(peer->error(Tunlinkat{0, "hello", kUnlinkDirectory}), ENOTDIR);
    EXPECT_EQ(peer->error(Tunlinkat{0, "hello", 1}), EINVAL);
    EXPECT_EQ(peer->error(Tunlinkat{0, ".", kUnlinkDirectory}), EINVAL);
    EXPECT_EQ(peer->error(Tunlinkat{0, "..", kUnlinkDirectory}), ENOTEMPTY);
    peer->call<Runlinkat>(Tunlinkat{0, "hello", 0});
    EXPECT_FALSE(world.root->child("hello"));
    peer->walk(0, 1, {"dir", "inner"});
    peer->call<Rremove>(Tremove{1});
    EXPECT_FALSE(world.dir->child("inner"));
    EXPECT_EQ(peer->error(Tremove{1}), EBADF);
    EXPECT_EQ(peer->error(Tremove{0}), EBUSY);  // the root; clunked all the same
    EXPECT_EQ(peer->server->fids(), 0u);
}

TEST_F(Files, renamed_files_keep_their_fids) {
    peer->walk(0, 1, {"dir"});
    peer->walk(1, 2, {"inner"});
    peer->walk(1, 3, {"deep"});
    peer->call<Rrenameat>(Trenameat{1, "inner", 3, "moved"});
    // The fid follows its file: up from it is the new directory, and it is removed under its new
    // name.
    EXPECT_EQ(peer->call<Rgetattr>(Tgetattr{2, kAttrBasic}).qid.path, world.inner->identity().path);
    peer->call<Rrename>(Trename{2, 0, "top"});
    EXPECT_EQ(world.root->child("top"), world.inner);
    peer->call<Rremove>(Tremove{2});
    EXPECT_FALSE(world.root->child("top"));

    peer->call<Rrenameat>(Trenameat{1, "deep", 0, "deep"});
    EXPECT_EQ(peer->walk(3, 4, {".."}).qids.items[0].path, world.root->identity().path);
    EXPECT_EQ(peer->error(Trename{0, 1, "x"}), EBUSY);
    EXPECT_EQ(peer->error(Trenameat{0, "none", 0, "x"}), ENOENT);
    EXPECT_EQ(peer->error(Trenameat{0, "hello", 0, ".."}), EEXIST);
}

TEST_F(Files, very_deep_places_are_freed_without_recursion) {
    MemPtr at = world.deep;
    peer->walk(0, 1, {"dir", "deep"});
    for (int i = 0; i < 60'000; ++i) {
        if (i % 1000 == 0) {
            peer->answers.clear();
        }
        at->add("d", S_IFDIR | 0700);
        peer->walk(1, 1, {"d"});
        const MemPtr below = at->mem("d");
        at->entries.clear();  // or the tree itself would be freed recursively
        at = below;
    }
    peer->call<Rclunk>(Tclunk{1});
}

}  // namespace
}  // namespace ennead::p9::test
