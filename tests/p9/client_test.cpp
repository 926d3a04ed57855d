// SPDX-License-Identifier: MIT
// A client's nodes over a socketpair: every operation, cancellation, read-ahead, and servers that
// die or lie.
#include "p9/client.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <set>

#include "p9/stream.h"
#include "tests/p9/peer.h"
#include "tests/p9/test_tree.h"

namespace ennead::p9::test {
namespace {

using synthfs::Request;
using synthfs::Result;

RequestPtr request(bool nonblocking = false) {
    return std::make_shared<Request>(synthfs::Caller{}, nonblocking);
}

// An answer that may not have come yet.
template <class T>
struct Later {
    std::shared_ptr<std::optional<Result<T>>> result = std::make_shared<std::optional<Result<T>>>();

    Reply<T> reply() const {
        return [slot = result](Result<T> value) {
            EXPECT_FALSE(slot->has_value()) << "answered twice";
            slot->emplace(std::move(value));
        };
    }
    [[nodiscard]] bool there() const { return result->has_value(); }
    [[nodiscard]] int error() const {
        return !there() ? -1 : **result ? 0 : synthfs::to_errno((*result)->error());
    }
    [[nodiscard]] const auto& value() const { return (*result)->value(); }
};

class Connection : public testing::Test {
  protected:
    void SetUp() override { connect(65536); }

    void connect(std::uint32_t msize) {
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        Server::Options server_options;
        server_options.on_end = [this](std::string_view why) { server_end = why; };
        server = ServerConnection::start(adopt_socket(io, ends[0]), world.root, server_options);
        Client::Options options;
        options.msize = msize;
        options.on_end = [this](std::string_view why) { client_end = why; };
        Later<synthfs::NodePtr> ready;
        client = ClientConnection::start(adopt_socket(io, ends[1]), options, ready.reply());
        wait(ready);
        ASSERT_EQ(ready.error(), 0);
        root = ready.value();
    }

    // Runs the loop until `done`, or for as long as nothing may take.
    template <class Done>
    bool run_until(Done done) {
        io.restart();
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!done() && std::chrono::steady_clock::now() < limit) {
            io.run_one_for(std::chrono::milliseconds(100));
            io.restart();
        }
        return done();
    }
    // Until nothing more happens by itself.
    void settle() {
        io.restart();
        while (io.run_one_for(std::chrono::milliseconds(30)) != 0) {
        }
    }
    template <class T>
    void wait(const Later<T>& later) {
        EXPECT_TRUE(run_until([&] { return later.there(); }));
    }
    // Asks and waits: do_it([&](auto reply) { node->walk(request(), "x", reply); }).
    template <class T, class Ask>
    Later<T> ask(Ask act) {
        Later<T> later;
        act(later.reply());
        wait(later);
        return later;
    }
    synthfs::NodePtr walk(const synthfs::NodePtr& from, const std::string& name) {
        const auto found = ask<synthfs::NodePtr>([&](auto r) { from->walk(request(), name, r); });
        EXPECT_EQ(found.error(), 0) << name;
        return found.error() == 0 ? found.value() : nullptr;
    }
    synthfs::HandlePtr open(const std::string& name, int flags = O_RDONLY) {
        const auto node = walk(root, name);
        const auto opened =
            ask<synthfs::HandlePtr>([&](auto r) { node->open(request(), flags, r); });
        EXPECT_EQ(opened.error(), 0) << name;
        return opened.error() == 0 ? opened.value() : nullptr;
    }
    std::string read(const synthfs::HandlePtr& handle, std::size_t size, std::uint64_t offset = 0) {
        std::vector<std::byte> into(size);
        const auto got =
            ask<std::size_t>([&](auto r) { handle->read(request(), offset, into, r); });
        EXPECT_EQ(got.error(), 0);
        return got.error() == 0 ? text_of(Bytes(into).first(got.value())) : "";
    }

    boost::asio::io_context io;
    World world;
    std::shared_ptr<ServerConnection> server;
    std::shared_ptr<ClientConnection> client;
    synthfs::NodePtr root;
    std::string server_end, client_end;
};

TEST_F(Connection, nodes_show_the_remote_files) {
    EXPECT_EQ(root->type(), unsigned{S_IFDIR});
    const auto hello = walk(root, "hello");
    EXPECT_EQ(hello->type(), unsigned{S_IFREG});
    EXPECT_EQ(hello->identity().version, 7u);
    EXPECT_EQ(hello->identity().source, root->identity().source);
    EXPECT_NE(hello->identity().source, world.hello->identity().source);
    EXPECT_TRUE(hello->identity().same_file(walk(root, "hello")->identity()));
    EXPECT_EQ(walk(root, "fifo")->type(), unsigned{S_IFIFO});
    EXPECT_EQ(walk(root, "link")->type(), unsigned{S_IFLNK});
    EXPECT_TRUE(walk(root, "stream")->is_stream());
    EXPECT_FALSE(hello->is_stream());
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->walk(request(), "none", r); }).error(),
              ENOENT);
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { hello->walk(request(), "x", r); }).error(),
              ENOTDIR);
}

TEST_F(Connection, fids_go_with_their_nodes) {
    {
        const auto hello = walk(root, "hello");
        const auto handle = open("hello");
        settle();
        EXPECT_EQ(server->server()->fids(), 3u);
        EXPECT_EQ(client->client()->fids(), 3u);
        EXPECT_EQ(world.hello->handles, 1);
    }
    settle();
    EXPECT_EQ(server->server()->fids(), 1u);
    EXPECT_EQ(client->client()->fids(), 1u);
    EXPECT_EQ(client->client()->pending(), 0u);
    EXPECT_EQ(world.hello->handles, 0);
}

TEST_F(Connection, attributes_travel_both_ways) {
    const auto hello = walk(root, "hello");
    world.hello->attr.mtime = {5, 6};
    world.hello->attr.rdev = makedev(3, 4);
    auto attr = ask<synthfs::Attr>([&](auto r) { hello->getattr(request(), r); }).value();
    EXPECT_EQ(attr.mode, unsigned{S_IFREG | 0644});
    EXPECT_EQ(attr.size, 13u);
    EXPECT_EQ(attr.mtime.tv_nsec, 6);
    EXPECT_EQ(attr.rdev, makedev(3, 4));
    EXPECT_TRUE(attr.identity.same_file(hello->identity()));

    synthfs::SetAttr change;
    change.mode = 0600;
    change.size = 5;
    change.atime = {.now = true, .value = {}};
    change.mtime = {.now = false, .value = {-7, 8}};
    EXPECT_EQ(ask<void>([&](auto r) { hello->setattr(request(), change, r); }).error(), 0);
    EXPECT_EQ(world.hello->data, "hello");
    EXPECT_EQ(world.hello->attr.mode, unsigned{S_IFREG | 0600});
    EXPECT_EQ(world.hello->attr.mtime.tv_sec, -7);
    EXPECT_TRUE(world.hello->last_change.atime->now);
    EXPECT_FALSE(world.hello->last_change.uid);

    EXPECT_EQ(ask<synthfs::StatFs>([&](auto r) { root->statfs(request(), r); }).value().blocks,
              1000u);
    const auto link = walk(root, "link");
    EXPECT_EQ(ask<std::string>([&](auto r) { link->readlink(request(), r); }).value(), "hello");
}

TEST_F(Connection, files_are_made_moved_and_removed) {
    const auto made = ask<synthfs::Created>(
        [&](auto r) { root->create(request(), "new", O_RDWR | O_EXCL, 0640, 12, r); });
    ASSERT_EQ(made.error(), 0);
    EXPECT_EQ(ask<std::size_t>([&](auto r) {
                  made.value().handle->write(request(), 0, bytes_of("text"), r);
              }).value(),
              4u);
    EXPECT_EQ(world.root->mem("new")->data, "text");
    EXPECT_EQ(world.root->mem("new")->attr.gid, 12u);
    EXPECT_EQ(ask<synthfs::Created>([&](auto r) {
                  root->create(request(), "new", O_RDWR | O_EXCL, 0640, 12, r);
              }).error(),
              EEXIST);
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->mkdir(request(), "d", 0700, 0, r); })
                  .value()
                  ->type(),
              unsigned{S_IFDIR});
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->symlink(request(), "l", "to", 0, r); })
                  .value()
                  ->type(),
              unsigned{S_IFLNK});
    EXPECT_EQ(ask<synthfs::NodePtr>(
                  [&](auto r) { root->mknod(request(), "n", S_IFBLK | 0600, makedev(8, 1), 0, r); })
                  .value()
                  ->type(),
              unsigned{S_IFBLK});
    EXPECT_EQ(world.root->mem("n")->attr.rdev, makedev(8, 1));
    const auto dir = walk(root, "d");
    EXPECT_EQ(
        ask<void>([&](auto r) { dir->link(request(), "again", made.value().node, r); }).error(), 0);
    EXPECT_EQ(ask<void>([&](auto r) { root->rename(request(), "new", dir, "moved", r); }).error(),
              0);
    EXPECT_EQ(world.root->mem("d")->child("moved"), world.root->mem("d")->child("again"));
    EXPECT_EQ(ask<void>([&](auto r) { dir->unlink(request(), "moved", false, r); }).error(), 0);
    EXPECT_EQ(ask<void>([&](auto r) { root->unlink(request(), "d", false, r); }).error(), EISDIR);
    EXPECT_EQ(ask<void>([&](auto r) { root->unlink(request(), "d", true, r); }).error(), 0);
    // A node from elsewhere has no fid here.
    EXPECT_EQ(ask<void>([&](auto r) { root->link(request(), "x", world.hello, r); }).error(),
              EXDEV);
    EXPECT_EQ(ask<void>([&](auto r) { root->rename(request(), "n", world.dir, "x", r); }).error(),
              EXDEV);
}

TEST_F(Connection, xattrs) {
    const auto hello = walk(root, "hello");
    const auto set = [&](const std::string& name, const std::string& value) {
        return ask<void>([&](auto r) { hello->setxattr(request(), name, value, 0, r); }).error();
    };
    const std::string large(65536, 'v');
    EXPECT_EQ(set("user.small", "v"), 0);
    EXPECT_EQ(set("user.empty", ""), 0);
    EXPECT_EQ(set("user.large", large), 0);  // more than one message
    EXPECT_EQ(
        ask<std::string>([&](auto r) { hello->getxattr(request(), "user.large", r); }).value(),
        large);
    EXPECT_EQ(ask<std::string>([&](auto r) { hello->getxattr(request(), "user.none", r); }).error(),
              ENODATA);
    EXPECT_EQ(ask<void>([&](auto r) { hello->removexattr(request(), "user.small", r); }).error(),
              0);
    EXPECT_EQ(ask<void>([&](auto r) { hello->removexattr(request(), "user.small", r); }).error(),
              ENODATA);
    EXPECT_EQ(
        ask<std::vector<std::string>>([&](auto r) { hello->listxattr(request(), r); }).value(),
        (std::vector<std::string>{"user.empty", "user.large"}));
    settle();
    EXPECT_EQ(server->server()->fids(), 2u);
    EXPECT_EQ(client->client()->fids(), 2u);
}

TEST_F(Connection, locks) {
    const auto a = open("hello", O_RDWR), b = open("hello", O_RDWR);
    synthfs::Lock lock{synthfs::Lock::Kind::write, 0, 0, 1, "one"};
    EXPECT_EQ(ask<void>([&](auto r) { a->lock(request(), lock, r); }).error(), 0);
    lock.pid = 2;
    EXPECT_EQ(ask<void>([&](auto r) { b->lock(request(), lock, r); }).error(), EAGAIN);
    const auto held = ask<synthfs::Lock>([&](auto r) { b->getlock(request(), lock, r); }).value();
    EXPECT_EQ(held.pid, 1u);
    EXPECT_EQ(held.kind, synthfs::Lock::Kind::write);
    EXPECT_EQ(held.client, "one");
}

TEST_F(Connection, large_reads_and_writes_take_many_messages) {
    std::string data(300'000, ' ');
    for (std::size_t i = 0; i < data.size(); ++i) {
        data[i] = static_cast<char>(i * 2654435761u >> 13);
    }
    const auto file = open("hello", O_RDWR);
    EXPECT_EQ(
        ask<std::size_t>([&](auto r) { file->write(request(), 0, bytes_of(data), r); }).value(),
        data.size());
    EXPECT_EQ(world.hello->data, data);
    EXPECT_EQ(read(file, data.size()), data);
    EXPECT_EQ(read(file, 400'000), data);
    world.hello->most_per_read = 1000;  // a server that gives less than was asked
    EXPECT_EQ(read(file, 5000, 100), data.substr(100, 5000));
    EXPECT_EQ(ask<void>([&](auto r) { file->fsync(request(), true, r); }).error(), 0);
}

TEST_F(Connection, directory_of_five_thousand) {
    for (int i = 0; i < 5000; ++i) {
        world.deep->add("entry-" + std::to_string(i), S_IFREG | 0600);
    }
    const auto deep = walk(walk(root, "dir"), "deep");
    const auto handle =
        ask<synthfs::HandlePtr>([&](auto r) { deep->open(request(), O_RDONLY, r); }).value();
    for (const std::size_t most : {1000, 333}) {
        std::set<std::string> names;
        std::uint64_t offset = 0;
        for (;;) {
            const auto entries = ask<std::vector<synthfs::DirEntry>>(
                [&](auto r) { handle->readdir(request(), offset, most, r); });
            ASSERT_EQ(entries.error(), 0);
            ASSERT_LE(entries.value().size(), most);
            if (entries.value().empty()) {
                break;
            }
            for (const auto& entry : entries.value()) {
                EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
                EXPECT_EQ(entry.type, unsigned{S_IFREG});
                offset = entry.next_offset;
            }
        }
        EXPECT_EQ(names.size(), 5000u);
        EXPECT_FALSE(names.contains("."));
    }
    const auto one =
        ask<std::vector<synthfs::DirEntry>>([&](auto r) { handle->readdir(request(), 0, 1, r); });
    ASSERT_EQ(one.value().size(), 1u);
    EXPECT_EQ(one.value()[0].name, "entry-0");
}

TEST_F(Connection, empty_directory_has_no_entries) {
    const auto deep = walk(walk(root, "dir"), "deep");
    const auto handle =
        ask<synthfs::HandlePtr>([&](auto r) { deep->open(request(), O_RDONLY, r); }).value();
    EXPECT_TRUE(
        ask<std::vector<synthfs::DirEntry>>([&](auto r) { handle->readdir(request(), 0, 100, r); })
            .value()
            .empty());
}

TEST_F(Connection, cancelled_read_answers_eintr_after_the_flush) {
    const auto stream = open("stream");
    std::vector<std::byte> into(100);
    const auto asked = request();
    Later<std::size_t> got;
    stream->read(asked, 0, into, got.reply());
    ASSERT_TRUE(run_until([&] { return !world.stream->waiting.empty(); }));
    asked->cancel();
    EXPECT_FALSE(got.there());  // `into` is still in use
    wait(got);
    EXPECT_EQ(got.error(), EINTR);
    settle();
    EXPECT_EQ(client->client()->pending(), 0u);
    world.stream->feed("later");
    EXPECT_EQ(read(stream, 100), "later");
}

TEST_F(Connection, answer_that_overtakes_the_flush_wins) {
    world.stream->answer_cancelled = false;
    const auto stream = open("stream");
    std::vector<std::byte> into(100);
    const auto asked = request();
    Later<std::size_t> got;
    stream->read(asked, 0, into, got.reply());
    ASSERT_TRUE(run_until([&] { return !world.stream->waiting.empty(); }));
    asked->cancel();
    ASSERT_TRUE(run_until([&] { return world.stream->cancelled == 1; }));
    world.stream->feed("saved");
    wait(got);
    EXPECT_EQ(got.error(), 0);
    EXPECT_EQ(text_of(Bytes(into).first(5)), "saved");
    settle();
    EXPECT_EQ(client->client()->pending(), 0u);
}

TEST_F(Connection, cancelled_before_it_was_asked) {
    const auto asked = request();
    asked->cancel();
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->walk(asked, "hello", r); }).error(), EINTR);
}

TEST_F(Connection, poll_reads_one_block_ahead) {
    const auto stream = open("stream", O_RDWR);
    int told = 0;
    EXPECT_EQ(stream->poll([&] { ++told; }), unsigned{POLLOUT});
    settle();
    EXPECT_EQ(told, 0);
    world.stream->feed("0123456789");
    ASSERT_TRUE(run_until([&] { return told == 1; }));
    EXPECT_EQ(stream->poll({}), unsigned{POLLIN | POLLOUT});
    // The block is served in pieces, and only then the server is asked again.
    EXPECT_EQ(read(stream, 4), "0123");
    EXPECT_EQ(stream->poll({}), unsigned{POLLIN | POLLOUT});
    EXPECT_EQ(read(stream, 100), "456789");
    world.stream->feed("more");
    EXPECT_EQ(read(stream, 100), "more");
    EXPECT_EQ(told, 1);
    world.stream->finish();
    stream->poll([&] { ++told; });
    ASSERT_TRUE(run_until([&] { return told == 2; }));
    EXPECT_EQ(stream->poll({}), unsigned{POLLIN | POLLOUT | POLLHUP});
    EXPECT_EQ(read(stream, 100), "");
}

TEST_F(Connection, readers_wait_for_the_block_read_ahead) {
    const auto stream = open("stream");
    stream->poll({});
    std::vector<std::byte> a(3), b(100);
    Later<std::size_t> got_a, got_b;
    const auto asked = request();
    Later<std::size_t> got_c;
    std::vector<std::byte> c(10);
    stream->read(asked, 0, c, got_c.reply());
    stream->read(request(), 0, a, got_a.reply());
    stream->read(request(), 0, b, got_b.reply());
    asked->cancel();
    EXPECT_EQ(got_c.error(), EINTR);  // nothing to flush: the block stays asked for
    settle();
    EXPECT_FALSE(got_a.there());
    world.stream->feed("abcdef");
    wait(got_b);
    EXPECT_EQ(text_of(Bytes(a)), "abc");
    EXPECT_EQ(text_of(Bytes(b).first(got_b.value())), "def");
}

TEST_F(Connection, poll_during_a_read_is_told_of_what_comes_after) {
    const auto stream = open("stream");
    std::vector<std::byte> into(100);
    Later<std::size_t> got;
    stream->read(request(), 0, into, got.reply());
    int told = 0;
    EXPECT_EQ(stream->poll([&] { ++told; }), 0u);
    world.stream->feed("first");
    wait(got);
    settle();
    EXPECT_EQ(told, 0);
    world.stream->feed("second");
    ASSERT_TRUE(run_until([&] { return told == 1; }));
    EXPECT_EQ(read(stream, 100), "second");
}

TEST_F(Connection, nonblocking_read_starts_the_read_ahead) {
    const auto stream = open("stream");
    std::vector<std::byte> into(100);
    const auto try_read = [&] {
        return ask<std::size_t>([&](auto r) { stream->read(request(true), 0, into, r); });
    };
    EXPECT_EQ(try_read().error(), EAGAIN);
    world.stream->feed("now");
    settle();
    const auto got = try_read();
    ASSERT_EQ(got.error(), 0);
    EXPECT_EQ(text_of(Bytes(into).first(got.value())), "now");
    EXPECT_EQ(try_read().error(), EAGAIN);
}

TEST_F(Connection, a_server_that_hangs_holds_nobody_up) {
    const auto stream = open("stream");
    std::vector<std::byte> into(16);
    Later<std::size_t> waiting;
    stream->read(request(), 0, into, waiting.reply());
    settle();
    EXPECT_FALSE(client->client()->owed());
    // Sent, and the loop does not run.
    const auto asked = request();
    Later<synthfs::NodePtr> walked, refused;
    Later<synthfs::Attr> attr;
    root->walk(asked, "hello", walked.reply());
    root->getattr(request(), attr.reply());
    EXPECT_TRUE(client->client()->owed());
    client->client()->stall(ETIMEDOUT, "it hangs");
    EXPECT_FALSE(client->client()->owed());
    EXPECT_EQ(walked.error(), ETIMEDOUT);
    EXPECT_EQ(asked->words(), "it hangs");
    EXPECT_EQ(attr.error(), ETIMEDOUT);
    root->walk(request(), "dir", refused.reply());
    EXPECT_EQ(refused.error(), ETIMEDOUT);
    EXPECT_FALSE(waiting.there());
    // Its late answers are nobody's, and it is used as before.
    settle();
    EXPECT_EQ(client_end, "");
    EXPECT_EQ(walk(root, "hello")->type(), mode_t{S_IFREG});
    EXPECT_EQ(walk(walk(root, "dir"), "inner")->type(), mode_t{S_IFREG});
    world.stream->feed("abc");
    wait(waiting);
    EXPECT_EQ(waiting.error(), 0);
    EXPECT_EQ(waiting.value(), 3u);
}

TEST_F(Connection, a_read_of_a_stream_can_be_called_off_though_the_server_hangs) {
    const auto stream = open("stream");
    std::vector<std::byte> into(16);
    const auto before = request(), meanwhile = request();
    Later<std::size_t> first, second;
    stream->read(before, 0, into, first.reply());
    stream->read(meanwhile, 0, into, second.reply());
    settle();
    before->cancel();
    EXPECT_FALSE(first.there());  // the flush is owed
    EXPECT_TRUE(client->client()->owed());
    client->client()->stall(ETIMEDOUT, "it hangs");
    EXPECT_EQ(first.error(), EINTR);
    EXPECT_FALSE(second.there());
    meanwhile->cancel();
    EXPECT_EQ(second.error(), EINTR);
    settle();
    EXPECT_EQ(client_end, "");
    EXPECT_EQ(world.stream->cancelled, 2);
    world.stream->feed("abc");
    EXPECT_EQ(read(stream, 16), "abc");
}

TEST_F(Connection, dead_server_fails_everything) {
    const auto hello = walk(root, "hello");
    const auto stream = open("stream");
    std::vector<std::byte> into(10);
    Later<std::size_t> got;
    stream->read(request(), 0, into, got.reply());
    ASSERT_TRUE(run_until([&] { return !world.stream->waiting.empty(); }));
    server.reset();
    wait(got);
    EXPECT_EQ(got.error(), ENODEV);
    EXPECT_TRUE(run_until([&] { return !client_end.empty(); }));
    EXPECT_EQ(ask<synthfs::Attr>([&](auto r) { hello->getattr(request(), r); }).error(), ENODEV);
    EXPECT_EQ(stream->poll({}), unsigned{POLLIN | POLLERR});
    EXPECT_EQ(client->client(), nullptr);
    client.reset();
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->walk(request(), "hello", r); }).error(),
              ENODEV);
}

TEST_F(Connection, leaving_client_frees_the_server_s_side) {
    const auto hello = open("hello");
    std::vector<std::byte> into(10);
    Later<std::size_t> got;
    open("stream")->read(request(), 0, into, got.reply());
    ASSERT_TRUE(run_until([&] { return !world.stream->waiting.empty(); }));
    client.reset();
    EXPECT_EQ(got.error(), ENODEV);
    EXPECT_TRUE(client_end.empty());
    EXPECT_TRUE(run_until([&] { return !server_end.empty(); }));
    EXPECT_EQ(world.stream->cancelled, 1);
    EXPECT_EQ(world.hello->handles, 0);
    EXPECT_EQ(server->server(), nullptr);
}

TEST_F(Connection, connection_may_be_dropped_when_told_of_its_end) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    std::shared_ptr<ClientConnection> other;
    bool ended = false;
    Client::Options options;
    options.on_end = [&](std::string_view) {
        other.reset();
        ended = true;
    };
    Later<synthfs::NodePtr> ready;
    other = ClientConnection::start(adopt_socket(io, ends[0]), options, ready.reply());
    ::close(ends[1]);
    wait(ready);
    EXPECT_EQ(ready.error(), ENODEV);
    EXPECT_TRUE(run_until([&] { return ended; }));
}

TEST_F(Connection, smallest_msize_works) {
    client.reset();
    root.reset();
    connect(kMinMsize);
    world.hello->data = std::string(20'000, 'q');
    EXPECT_EQ(read(open("hello"), 30'000), world.hello->data);
    for (int i = 0; i < 500; ++i) {
        world.dir->add("x" + std::to_string(i), S_IFREG);
    }
    const auto handle = open("dir");
    std::size_t count = 0;
    for (std::uint64_t offset = 0;;) {
        const auto entries = ask<std::vector<synthfs::DirEntry>>(
            [&](auto r) { handle->readdir(request(), offset, 1000, r); });
        if (entries.error() != 0 || entries.value().empty()) {
            break;
        }
        count += entries.value().size();
        offset = entries.value().back().next_offset;
    }
    EXPECT_EQ(count, 502u);
    const std::string name(5000, 'n');
    EXPECT_EQ(ask<synthfs::NodePtr>([&](auto r) { root->walk(request(), name, r); }).error(),
              ENAMETOOLONG);
}

TEST_F(Connection, server_stops_listening_to_who_does_not_read) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    const auto deaf = ServerConnection::start(adopt_socket(io, ends[0]), world.root);
    world.hello->data = std::string(60'000, 'z');
    const auto put = [&](const Buffer& frame) {
        return ::send(ends[1], frame.span().data(), frame.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(frame.size());
    };
    EXPECT_TRUE(put(frame_of(kNoTag, Tversion{65536, kVersion})));
    EXPECT_TRUE(put(frame_of(1, Tattach{0, kNoFid, "", "", 0})));
    EXPECT_TRUE(put(frame_of(1, Peer::walk_message(0, 1, {"hello"}))));
    EXPECT_TRUE(put(frame_of(1, Tlopen{1, 0})));
    std::uint64_t asked = 0;
    for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 100 && put(frame_of(2, Tread{1, 0, 60'000})); ++i) {
            ++asked;
        }
        io.restart();
        io.poll();
    }
    const auto served = deaf->server()->counters().requests;
    EXPECT_LT(served, 200u);  // 4 MiB of answers, and what the socket itself takes
    EXPECT_GT(asked, served);
    // Once it reads, all its answers come.
    std::uint64_t answers = 0, bytes = 0;
    std::vector<char> buffer(1 << 20);
    const std::uint64_t expected = asked * (60'000 + 11);
    for (int idle = 0; bytes < expected && idle < 200; ++idle) {
        io.restart();
        io.run_one_for(std::chrono::milliseconds(1));
        for (ssize_t n; (n = ::read(ends[1], buffer.data(), buffer.size())) > 0; idle = 0) {
            bytes += static_cast<std::uint64_t>(n);
            ++answers;
        }
    }
    EXPECT_GE(bytes, expected);
    ::close(ends[1]);
}

// A server written by the test: what an honest one would not say.
class Liar : public testing::Test {
  protected:
    void SetUp() override {
        client = std::make_unique<Client>(
            [this](Buffer frame) {
                const auto decoded = decode(frame.span());
                asked.push_back(decoded.value().type);
                tag = decoded.value().tag;
            },
            Client::Options{.lost_errno = ECONNRESET,
                            .on_end = [this](std::string_view why) { reason = why; }});
        client->connect(ready.reply());
    }
    template <class M>
    void say(const M& message) {
        const Buffer frame = frame_of(tag, message);
        client->receive(frame.span());
    }
    void attach() {
        say(Rversion{8192, kVersion});
        say(Rattach{{kQtDir, 0, 1}});
        ASSERT_EQ(ready.error(), 0);
    }

    std::unique_ptr<Client> client;
    std::vector<Type> asked;
    std::uint16_t tag = 0;
    Later<synthfs::NodePtr> ready;
    std::string reason;
};

TEST_F(Liar, other_versions_are_refused) {
    say(Rversion{8192, "unknown"});
    EXPECT_EQ(ready.error(), EPROTONOSUPPORT);
    EXPECT_TRUE(client->ended());
}

TEST_F(Liar, larger_msize_is_refused) {
    say(Rversion{1 << 24, kVersion});
    EXPECT_EQ(ready.error(), EPROTONOSUPPORT);
}

TEST_F(Liar, unknown_tags_end_the_connection) {
    attach();
    say(Rclunk{});
    EXPECT_FALSE(reason.empty());
    EXPECT_EQ(ready.value()->type(), unsigned{S_IFDIR});
    Later<synthfs::Attr> attr;
    ready.value()->getattr(request(), attr.reply());
    EXPECT_EQ(attr.error(), ECONNRESET);
}

TEST_F(Liar, replies_of_another_type_end_the_connection) {
    attach();
    Later<synthfs::Attr> attr;
    ready.value()->getattr(request(), attr.reply());
    say(Rclunk{});
    EXPECT_EQ(attr.error(), ECONNRESET);
    EXPECT_FALSE(reason.empty());
}

TEST_F(Liar, more_qids_than_names_end_the_connection) {
    attach();
    Later<synthfs::NodePtr> node;
    ready.value()->walk(request(), "x", node.reply());
    Rwalk two;
    two.qids.push({});
    two.qids.push({});
    say(two);
    EXPECT_NE(node.error(), 0);
    EXPECT_TRUE(client->ended());
}

TEST_F(Liar, errors_out_of_range_are_eio) {
    attach();
    for (const std::uint32_t ecode : {0u, 512u, 0xffffffffu}) {
        Later<synthfs::Attr> attr;
        ready.value()->getattr(request(), attr.reply());
        say(Rlerror{ecode});
        EXPECT_EQ(attr.error(), EIO);
    }
}

TEST_F(Liar, more_data_than_asked_ends_the_connection) {
    attach();
    Later<synthfs::HandlePtr> handle;
    ready.value()->open(request(), O_RDONLY, handle.reply());
    say(Rwalk{});
    say(Rlopen{});
    ASSERT_EQ(handle.error(), 0);
    std::vector<std::byte> into(4);
    Later<std::size_t> got;
    handle.value()->read(request(), 0, into, got.reply());
    say(Rread{bytes_of("12345")});
    EXPECT_EQ(got.error(), EIO);
    EXPECT_TRUE(client->ended());
}

TEST_F(Liar, names_that_are_none_are_left_out) {
    attach();
    Later<synthfs::HandlePtr> handle;
    ready.value()->open(request(), O_RDONLY, handle.reply());
    say(Rwalk{});
    say(Rlopen{});
    std::vector<std::byte> data(1000);
    Writer writer(data);
    std::uint64_t offset = 0;
    for (const std::string_view name : {".", "a/b", "", "..", "good"}) {
        const DirRecord record{{}, ++offset, DT_UNKNOWN, name};
        DirRecord::fields(record, writer);
    }
    Later<std::vector<synthfs::DirEntry>> entries;
    handle.value()->readdir(request(), 0, 100, entries.reply());
    say(Rreaddir{Bytes(data).first(writer.size())});
    ASSERT_EQ(entries.error(), 0);
    ASSERT_EQ(entries.value().size(), 1u);
    EXPECT_EQ(entries.value()[0].name, "good");
    EXPECT_EQ(entries.value()[0].next_offset, 5u);

    // An entry that leads nowhere would be read for ever.
    Later<std::vector<synthfs::DirEntry>> looped;
    handle.value()->readdir(request(), 0, 100, looped.reply());
    Writer again(data);
    const DirRecord endless{{}, 0, DT_REG, "x"};
    DirRecord::fields(endless, again);
    say(Rreaddir{Bytes(data).first(again.size())});
    EXPECT_EQ(looped.error(), EIO);
    EXPECT_TRUE(client->ended());
}

TEST_F(Liar, junk_ends_the_connection) {
    attach();
    client->receive(bytes_of("junk that is no frame"));
    EXPECT_TRUE(client->ended());
}

TEST_F(Connection, the_owner_of_the_other_side_can_be_shown_as_ours) {
    world.hello->attr.uid = 1000;
    world.hello->attr.gid = 100;
    world.inner->attr.uid = 5;
    world.inner->attr.gid = 6;
    client->client()->map_owner(
        {.remote_uid = 1000, .local_uid = 42, .remote_gid = 100, .local_gid = 43});
    const auto attr = [&](const synthfs::NodePtr& node) {
        const auto found = ask<synthfs::Attr>([&](auto r) { node->getattr(request(), r); });
        return found.value();
    };
    const auto hello = walk(root, "hello"), inner = walk(walk(root, "dir"), "inner");
    EXPECT_EQ(attr(hello).uid, 42u);
    EXPECT_EQ(attr(hello).gid, 43u);
    EXPECT_EQ(attr(inner).uid, 5u);
    EXPECT_EQ(attr(inner).gid, 6u);
    synthfs::SetAttr change;
    change.uid = 42;
    change.gid = 43;
    EXPECT_EQ(ask<void>([&](auto r) { inner->setattr(request(), change, r); }).error(), 0);
    EXPECT_EQ(world.inner->attr.uid, 1000u);
    EXPECT_EQ(world.inner->attr.gid, 100u);
    EXPECT_EQ(
        ask<synthfs::NodePtr>([&](auto r) { root->mkdir(request(), "d", 0755, 43, r); }).error(),
        0);
    EXPECT_EQ(world.root->mem("d")->attr.gid, 100u);
}

}  // namespace
}  // namespace ennead::p9::test
