// SPDX-License-Identifier: MIT
// 9P2000: the same operations as in 9P2000.L, with its own open, create and stat, and with words.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "synthfs/error_log.h"
#include "synthfs/tree.h"
#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

struct Plain {
    World world;
    std::unique_ptr<Peer> peer = Peer::plain(world.root);

    // The records of a directory's data; whole ones, or the test fails.
    static std::vector<std::pair<std::string, Stat>> records(const std::string& data) {
        std::vector<std::pair<std::string, Stat>> result;
        std::string_view rest = data;
        while (!rest.empty()) {
            std::uint16_t size = 0;
            Reader(bytes_of(rest)).field(size);
            const auto stat = decode_stat(rest.substr(0, size + 2u));
            if (!stat) {
                ADD_FAILURE() << "a record that is none";
                return result;
            }
            result.emplace_back(stat->name, *stat);
            rest.remove_prefix(size + 2u);
        }
        return result;
    }
    std::vector<std::string> names(std::uint32_t fid, std::uint32_t count) {
        std::vector<std::string> result;
        std::uint64_t offset = 0;
        for (std::string data; !(data = peer->read(fid, offset, count)).empty();) {
            for (auto& [name, stat] : records(data)) {
                result.push_back(name);
            }
            offset += data.size();
        }
        return result;
    }
    Stat stat(std::uint32_t fid) {
        bytes_ = std::string(peer->call<Rstat>(Tstat{fid}).stat);
        const auto stat = decode_stat(bytes_);
        EXPECT_TRUE(stat);
        return stat.value_or(Stat{});
    }
    std::string wstat(std::uint32_t fid, const Stat& wanted) {
        const std::string bytes = encode_stat(wanted);
        return peer->refusal(Twstat{fid, bytes});
    }

  private:
    std::string bytes_;
};

TEST(Plain, a_file_is_opened_read_and_written) {
    Plain p;
    p.peer->walk(0, 1, {"hello"});
    const auto opened = p.peer->call<Ropen>(Topen{1, kOpenReadWrite});
    EXPECT_EQ(opened.qid, (Qid{kQtFile, 7, p.world.hello->identity().path}));
    EXPECT_EQ(opened.iounit, 65536u - kIoHeaderSize);
    EXPECT_EQ(p.peer->read(1, 7), "world\n");
    EXPECT_EQ(p.peer->call<Rwrite>(Twrite{1, 0, bytes_of("J")}).count, 1u);
    EXPECT_EQ(p.world.hello->data, "Jello, world\n");
}

TEST(Plain, open_modes_are_the_host_s_flags) {
    const std::pair<int, int> modes[] = {{kOpenRead, O_RDONLY},
                                         {kOpenWrite, O_WRONLY},
                                         {kOpenReadWrite | kOpenCloseOnExec, O_RDWR},
                                         {kOpenExecute, O_RDONLY},
                                         {kOpenWrite | kOpenTruncate, O_WRONLY | O_TRUNC}};
    std::uint32_t fid = 10;
    Plain p;
    for (const auto& [mode, flags] : modes) {
        p.peer->open_plain(++fid, "hello", static_cast<std::uint8_t>(mode));
        EXPECT_EQ(p.world.hello->last_flags, flags) << mode;
    }
    p.peer->walk(0, 1, {"hello"});
    EXPECT_EQ(p.peer->refusal(Topen{1, 0x80}), "Invalid argument");
    p.peer->walk(0, 2, {"dir"});
    EXPECT_EQ(p.peer->refusal(Topen{2, kOpenWrite}), "Is a directory");
    EXPECT_EQ(p.peer->refusal(Twrite{11, 0, bytes_of("x")}), "Bad file descriptor");
}

TEST(Plain, messages_of_the_other_dialect_are_refused) {
    Plain p;
    p.peer->walk(0, 1, {"hello"});
    EXPECT_EQ(p.peer->refusal(Tlopen{1, 0}), "Operation not supported");
    EXPECT_EQ(p.peer->refusal(Tgetattr{1, kAttrBasic}), "Operation not supported");
    EXPECT_EQ(p.peer->ends, 0);
    // And after a new start the dialect is another one.
    p.peer->call<Rversion>(Tversion{8192, kVersion}, kNoTag);
    p.peer->call<Rattach>(Tattach{0, kNoFid, "", "", 0});
    p.peer->call<Rgetattr>(Tgetattr{0, kAttrBasic});
    EXPECT_EQ(p.peer->error(Tstat{0}), EOPNOTSUPP);
}

TEST(Plain, attaches_for_the_user_that_the_owner_says) {
    World world;
    Server::Options options;
    options.caller = synthfs::Caller{.uid = 1000, .gid = 100, .pid = 0};
    const auto peer = Peer::plain(world.root, 8192, options);
    peer->open_plain(1, "hello");
    EXPECT_EQ(world.hello->last_caller.uid, 1000u);
    EXPECT_EQ(world.hello->last_caller.gid, 100u);
    // One that names a user by number does not change it.
    const auto other = Peer::attached(world.root, 8192, options);
    other->open(1, "hello");
    EXPECT_EQ(world.hello->last_caller.uid, 1000u);
}

TEST(Plain, stat_tells_what_there_is) {
    Plain p;
    p.world.hello->attr.uid = 1000;
    p.world.hello->attr.gid = 100;
    p.world.hello->attr.mtime = {1'700'000'000, 5};
    p.peer->walk(0, 1, {"hello"});
    const Stat hello = p.stat(1);
    EXPECT_EQ(hello.name, "hello");
    EXPECT_EQ(hello.qid, (Qid{kQtFile, 7, p.world.hello->identity().path}));
    EXPECT_EQ(hello.mode, 0644u);
    EXPECT_EQ(hello.mtime, 1'700'000'000u);
    EXPECT_EQ(hello.length, 13u);
    EXPECT_EQ(hello.uid, "1000");
    EXPECT_EQ(hello.gid, "100");
    EXPECT_EQ(hello.muid, "1000");
    const Stat root = p.stat(0);
    EXPECT_EQ(root.name, "/");
    EXPECT_EQ(root.mode, std::uint32_t{kDmDir} | 0755u);
    EXPECT_EQ(root.length, 0u);
    p.peer->walk(0, 2, {"stream"});
    EXPECT_EQ(p.stat(2).mode, 0x40000000u | 0600u);
}

TEST(Plain, a_directory_is_read_in_whole_records) {
    Plain p;
    for (int i = 0; i < 200; ++i) {
        p.world.dir->add("entry" + std::to_string(i), S_IFREG | 0640, "12345");
    }
    p.peer->open_plain(1, "dir");
    std::vector<std::string> all = {"inner", "deep"};
    for (int i = 0; i < 200; ++i) {
        all.push_back("entry" + std::to_string(i));
    }
    EXPECT_EQ(p.names(1, 8192), all);
    EXPECT_EQ(p.names(1, 100), all);  // from the beginning again, one record at a time
    const auto first = Plain::records(p.peer->read(1, 0, 200));
    ASSERT_EQ(first.size(), 3u);
    EXPECT_EQ(first[0].second.length, 6u);
    EXPECT_EQ(first[1].second.mode, std::uint32_t{kDmDir} | 0755u);
    EXPECT_EQ(first[2].second.mode, 0640u);
}

TEST(Plain, a_directory_is_read_on_from_where_it_was_left) {
    Plain p;
    p.peer->open_plain(1, "dir");
    EXPECT_EQ(p.peer->refusal(Tread{1, 5, 8192}), "Invalid argument");
    EXPECT_EQ(p.peer->refusal(Tread{1, 0, 30}), "Message too long");
    const std::string data = p.peer->read(1, 0, 80);
    EXPECT_EQ(Plain::records(data).size(), 1u);
    EXPECT_EQ(p.peer->refusal(Tread{1, data.size() - 1, 8192}), "Invalid argument");
    EXPECT_EQ(p.peer->read(1, data.size(), 0), "");
    p.world.dir->add("new", S_IFREG | 0644);
    const auto rest = Plain::records(p.peer->read(1, data.size(), 8192));
    ASSERT_EQ(rest.size(), 2u);
    EXPECT_EQ(rest[0].first, "deep");
    EXPECT_EQ(rest[1].first, "new");
}

// A file whose attributes are long in coming.
class LateNode final : public synthfs::Node {
  public:
    synthfs::Identity identity() const override { return {source_, 1, 0}; }
    mode_t type() const override { return S_IFREG; }
    void getattr(RequestPtr, Reply<synthfs::Attr> reply) override {
        waiting.push_back(std::move(reply));
    }
    void open(RequestPtr, int, Reply<synthfs::HandlePtr> reply) override {
        reply(synthfs::error(EPERM));
    }
    std::deque<Reply<synthfs::Attr>> waiting;

  private:
    std::uint64_t source_ = synthfs::next_source();
};

TEST(Plain, an_entry_may_be_long_in_coming) {
    Plain p;
    const auto late = std::make_shared<LateNode>();
    p.world.dir->add("late", late);
    p.world.dir->add("last", S_IFREG | 0600);
    p.peer->open_plain(1, "dir");
    const auto read = [&](std::uint16_t tag) {
        p.peer->answers.clear();
        p.peer->send(Tread{1, 0, 8192}, tag);
        EXPECT_TRUE(p.peer->answers.empty());
        EXPECT_EQ(late->waiting.size(), 1u);
    };
    const auto answer = [&](synthfs::Result<synthfs::Attr> attr) {
        const auto reply = std::move(late->waiting.front());
        late->waiting.pop_front();
        reply(std::move(attr));
    };
    read(40);
    EXPECT_EQ(p.peer->refusal(Tread{1, 0, 8192}, 41), "Invalid argument");  // one at a time
    p.peer->answers.clear();
    synthfs::Attr attr;
    attr.mode = S_IFREG | 0444;
    answer(attr);
    ASSERT_EQ(p.peer->answers.size(), 1u);
    auto records = Plain::records(text_of(std::get<Rread>(p.peer->answers[0].frame.message).data));
    ASSERT_EQ(records.size(), 4u);
    EXPECT_EQ(records[2].first, "late");
    EXPECT_EQ(records[2].second.mode, 0444u);
    EXPECT_EQ(records[3].first, "last");

    read(42);
    answer(synthfs::error(EIO));  // left out
    records = Plain::records(text_of(std::get<Rread>(p.peer->answers[0].frame.message).data));
    ASSERT_EQ(records.size(), 3u);
    EXPECT_EQ(records[2].first, "last");

    read(43);
    p.peer->send(Tflush{43}, 44);
    EXPECT_TRUE(p.peer->answers.empty());
    answer(attr);
    ASSERT_EQ(p.peer->answers.size(), 2u);
    EXPECT_TRUE(p.peer->answers[0].dropped);
    EXPECT_EQ(p.peer->answers[1].frame.type, Type::rflush);
    read(45);  // the fid is as it was
    answer(attr);
    EXPECT_EQ(p.peer->answers.size(), 1u);
}

TEST(Plain, create_makes_files_and_directories) {
    Plain p;
    p.world.dir->attr.mode = S_IFDIR | 0750;
    p.peer->walk(0, 1, {"dir"});
    p.peer->call<Rcreate>(Tcreate{1, "new", 0666, kOpenReadWrite});
    p.peer->call<Rwrite>(Twrite{1, 0, bytes_of("text")});
    EXPECT_EQ(p.world.dir->mem("new")->data, "text");
    EXPECT_EQ(p.world.dir->mem("new")->attr.mode, mode_t{S_IFREG | 0640});
    EXPECT_EQ(p.stat(1).name, "new");

    p.peer->walk(0, 2, {"dir"});
    EXPECT_EQ(p.peer->call<Rcreate>(Tcreate{2, "sub", kDmDir | 0777, kOpenRead}).qid.type, kQtDir);
    EXPECT_EQ(p.world.dir->mem("sub")->attr.mode, mode_t{S_IFDIR | 0750});
    EXPECT_EQ(p.peer->read(2), "");

    p.peer->walk(0, 3, {"dir"});
    EXPECT_EQ(p.peer->refusal(Tcreate{3, "new", 0666, kOpenRead}), "File exists");
    EXPECT_EQ(p.peer->refusal(Tcreate{3, "x", kDmDir | 0777, kOpenWrite}), "Is a directory");
    EXPECT_EQ(p.peer->refusal(Tcreate{3, "x", 0x20000000 | 0666u, kOpenRead}),
              "Operation not supported");
    EXPECT_EQ(p.peer->refusal(Tcreate{3, "..", 0666, kOpenRead}), "File exists");
    EXPECT_EQ(p.peer->refusal(Tcreate{3, "x", 0666, 0x90}), "Invalid argument");
    p.peer->call<Rcreate>(Tcreate{3, "x", 0600, kOpenWrite});  // the fid is still good
}

TEST(Plain, what_is_to_be_removed_goes_with_its_fid) {
    Plain p;
    p.peer->walk(0, 1, {"dir"});
    p.peer->call<Rcreate>(Tcreate{1, "gone", 0666, kOpenWrite | kOpenRemoveOnClose});
    EXPECT_TRUE(p.world.dir->child("gone"));
    p.peer->call<Rclunk>(Tclunk{1});
    EXPECT_FALSE(p.world.dir->child("gone"));
    p.peer->open_plain(2, "hello", kOpenRead | kOpenRemoveOnClose);
    p.peer->walk(0, 3, {"dir"});
    EXPECT_EQ(p.peer->refusal(Topen{3, kOpenRemoveOnClose}), "Is a directory");
    EXPECT_TRUE(p.world.root->child("hello"));
    p.peer->server.reset();  // the connection's end clunks all
    EXPECT_FALSE(p.world.root->child("hello"));
}

TEST(Plain, wstat_changes_all_that_it_names) {
    Plain p;
    p.peer->walk(0, 1, {"hello"});
    Stat wanted;
    wanted.mode = 0600;
    wanted.length = 5;
    wanted.mtime = 1234;
    wanted.gid = "7";
    wanted.name = "renamed";
    EXPECT_EQ(p.wstat(1, wanted), "");
    EXPECT_EQ(p.world.root->child("renamed"), p.world.hello);
    EXPECT_FALSE(p.world.root->child("hello"));
    EXPECT_EQ(p.world.hello->attr.mode, mode_t{S_IFREG | 0600});
    EXPECT_EQ(p.world.hello->data, "hello");
    EXPECT_EQ(p.world.hello->attr.mtime.tv_sec, 1234);
    EXPECT_EQ(p.world.hello->attr.gid, 7u);
    EXPECT_EQ(p.stat(1).name, "renamed");
    // What was read may be sent back.
    const Stat same = p.stat(1);
    EXPECT_EQ(p.wstat(1, same), "");
}

TEST(Plain, wstat_changes_nothing_that_may_not_change) {
    Plain p;
    p.peer->walk(0, 1, {"hello"});
    p.peer->walk(0, 2, {"dir"});
    const auto refused = [&](std::uint32_t fid, auto change) {
        Stat wanted;
        change(wanted);
        return p.wstat(fid, wanted);
    };
    EXPECT_EQ(refused(1, [](Stat& s) { s.dev = 9; }), "Operation not permitted");
    EXPECT_EQ(refused(1, [](Stat& s) { s.qid = {0, 0, 0}; }), "Operation not permitted");
    EXPECT_EQ(refused(1, [](Stat& s) { s.mode = kDmDir | 0644; }), "Operation not permitted");
    EXPECT_EQ(refused(1, [](Stat& s) { s.muid = "somebody"; }), "Operation not permitted");
    EXPECT_EQ(refused(1, [](Stat& s) { s.gid = "staff"; }), "Invalid argument");
    EXPECT_EQ(refused(1, [](Stat& s) { s.name = "a/b"; }), "Invalid argument");
    EXPECT_EQ(refused(1, [](Stat& s) { s.name = "dir"; }), "File exists");
    EXPECT_EQ(refused(2, [](Stat& s) { s.length = 1; }), "Is a directory");
    EXPECT_EQ(refused(0, [](Stat& s) { s.name = "top"; }), "Device or resource busy");
    EXPECT_EQ(p.peer->refusal(Twstat{1, "junk"}), "Invalid argument");
    // The size cannot be had, so the name does not change either.
    EXPECT_EQ(refused(1,
                      [](Stat& s) {
                          s.name = "other";
                          s.length = MemNode::kMaxSize + 1;
                      }),
              "File too large");
    EXPECT_EQ(p.world.root->child("hello"), p.world.hello);
    EXPECT_FALSE(p.world.root->child("other"));
    EXPECT_EQ(p.stat(1).name, "hello");
    EXPECT_EQ(p.world.hello->attr.mode, mode_t{S_IFREG | 0644});
    EXPECT_EQ(p.world.hello->data, "hello, world\n");
}

TEST(Plain, remove_clunks_and_flush_drops) {
    Plain p;
    p.peer->walk(0, 1, {"hello"});
    p.peer->call<Rremove>(Tremove{1});
    EXPECT_FALSE(p.world.root->child("hello"));
    EXPECT_EQ(p.peer->refusal(Tstat{1}), "Bad file descriptor");
    p.peer->open_plain(2, "stream");
    p.peer->send(Tread{2, 0, 100}, 50);
    p.peer->answers.clear();
    p.peer->send(Tflush{50}, 51);
    ASSERT_EQ(p.peer->answers.size(), 2u);
    EXPECT_TRUE(p.peer->answers[0].dropped);
    EXPECT_EQ(p.peer->answers[1].frame.type, Type::rflush);
}

TEST(Plain, failures_have_the_words_of_the_error_file) {
    const auto errors = synthfs::ErrorLog::make(8);
    const auto root = synthfs::Directory::make({.name = "/", .errors = errors->sink()});
    const auto peer = Peer::plain(root);
    EXPECT_EQ(peer->refusal(Tcreate{0, "file", 0666, kOpenWrite}), "no file can be made here");
    EXPECT_NE(errors->text().find("EPERM / 'no file can be made here'"), std::string::npos)
        << errors->text();
    EXPECT_EQ(peer->refusal(Peer::walk_message(0, 1, {"nothing"})), "No such file or directory");
    // In the other dialect there is a number.
    const auto other = Peer::attached(root);
    EXPECT_EQ(other->error(Tmkdir{0, "d", 0755, 0}), EPERM);
}

TEST(Plain, words_fit_into_the_reply) {
    Plain p;
    EXPECT_EQ(p.peer->refusal(Tstat{77}, 1, 9 + 8), "Bad file");
    EXPECT_EQ(p.peer->ends, 0);
}

}  // namespace
}  // namespace ennead::p9::test
