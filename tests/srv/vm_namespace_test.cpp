// SPDX-License-Identifier: MIT
// From lines of `ns` to what a guest sees: the server's half and the VM process's, joined by the
// socket that joins them in life.
#include "srv/ennead/vm_namespace.h"

#include <sys/socket.h>

#include <chrono>

#include "srv/ennead-vm/guest_namespace.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::srv::test {
namespace {

namespace fs = std::filesystem;
using synthfs::NodePtr;
using synthfs::test::contents;
using synthfs::test::create;
using synthfs::test::err;
using synthfs::test::Names;
using synthfs::test::names;
using synthfs::test::TempDir;

class VmNamespaceTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!host.usable()) {
            GTEST_SKIP() << "no directory here keeps user extended attributes";
        }
        host.file("base/etc/hosts", "base");
        host.file("a/one", "one");
        host.file("b/two", "two");
        host.file("file", "");
        host.dir("vm");
        vm_dir = Fd(host.fd("vm"));
        server = std::make_unique<VmNamespace>(vm_dir.get());
    }
    void TearDown() override { link = nullptr; }

    // Runs the loop until `done`, or for as long as nothing may take.
    template <class Done>
    bool run_until(Done done) {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!done() && std::chrono::steady_clock::now() < limit) {
            io.restart();
            io.run_one_for(std::chrono::milliseconds(20));
        }
        return done();
    }

    [[nodiscard]] NamespaceContext context() const {
        return {.default_root = host.path("base"), .ram_size_bytes = 1 << 20, .hidden = hidden};
    }
    // @ stands for the test's directory.
    [[nodiscard]] std::string expand(std::string text) const {
        for (std::size_t at = 0; (at = text.find('@', at)) != text.npos;) {
            text.replace(at, 1, host.path());
        }
        return text;
    }
    // 0, or the errno. Without a process unless start() was called.
    int write(const std::string& text, bool replace = false) {
        int errnum = -1;
        VmNamespace::Send send;
        if (link) {
            send = [this](const NamespaceGrant& grant, synthfs::CheckedReply<> reply) {
                granted = grant.descriptors.size();
                link->send(grant, std::move(reply));
            };
        }
        server->change(synthfs::parse_commands(expand(text)).value(), replace, context(), send,
                       [&](synthfs::Checked<> done) {
                           errnum = done ? 0 : done.error().errnum;
                           said = done ? "" : done.error().text;
                       });
        EXPECT_TRUE(run_until([&] {
            serve();
            return errnum != -1;
        }));
        return errnum;
    }
    [[nodiscard]] std::string text() const { return server->text(host.path("base")); }
    // A process; 0, or the errno of what it was given first.
    int start() {
        link = nullptr;
        guest = nullptr;
        const auto grant = server->grant_all(context());
        if (!grant) {
            said = grant.error().text;
            return grant.error().errnum;
        }
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        link = std::make_unique<NamespaceLink>(io, Fd(ends[0]));
        process = Fd(ends[1]);
        guest = std::make_unique<GuestNamespace>(io, tree, nullptr);
        int errnum = -1;
        link->send(grant.value(), [&](synthfs::Checked<> done) {
            errnum = done ? 0 : done.error().errnum;
            said = done ? "" : done.error().text;
        });
        EXPECT_TRUE(run_until([&] {
            serve();
            return errnum != -1;
        }));
        return errnum;
    }
    // What VmProcess does.
    void serve() {
        if (!guest || hangs) {
            return;
        }
        auto message = receive_message(process.get(), true);
        if (message && !message.value().text.empty()) {
            guest->change(std::move(message.value()), [this](const synthfs::Checked<>& done) {
                EXPECT_TRUE(send_message(process.get(), encode_answer(done)));
            });
        }
    }
    std::string cat(const std::string& path) { return contents(guest->root(), path); }
    NodePtr at(const std::string& path) { return synthfs::test::walk(guest->root(), path).value(); }

    boost::asio::io_context io;
    TempDir host;
    Fd vm_dir;
    HiddenPlaces hidden;
    std::unique_ptr<VmNamespace> server;
    std::unique_ptr<NamespaceLink> link;
    Fd process;
    std::recursive_mutex tree;
    std::unique_ptr<GuestNamespace> guest;
    std::string said;
    std::size_t granted = 0;
    bool hangs = false;
};

TEST_F(VmNamespaceTest, is_the_default_root_at_first) {
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(cat("etc/hosts"), "base");
    EXPECT_EQ(err(create(guest->root(), "made")), 0);
    EXPECT_FALSE(host.has("base/made"));
    EXPECT_TRUE(host.has("vm/upper/root/made"));
}

TEST_F(VmNamespaceTest, what_is_bound_before_the_start_is_there_after_it) {
    ASSERT_EQ(write("bind @/a /src"), 0) << said;
    ASSERT_EQ(write("bind -b @/b /src"), 0) << said;
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(names(at("src")), (Names{"one", "two"}));
}

TEST_F(VmNamespaceTest, a_missing_source_is_refused_at_once) {
    EXPECT_EQ(write("bind @/missing /src"), ENOENT);
    EXPECT_NE(said.find(host.path("missing")), said.npos) << said;
    EXPECT_EQ(write("bind @/file /src"), ENOTDIR);
    EXPECT_EQ(write("bind @/file/below /src"), ENOTDIR);
    EXPECT_EQ(write("bind -o @/missing /src"), ENOENT);
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
    // And while it runs.
    ASSERT_EQ(start(), 0);
    EXPECT_EQ(write("bind @/missing /src"), ENOENT);
    EXPECT_EQ(write("bind @/a /etc/hosts"), ENOTDIR);
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
    EXPECT_EQ(cat("etc/hosts"), "base");
}

TEST_F(VmNamespaceTest, all_lines_of_a_message_or_none) {
    EXPECT_EQ(write("bind @/a /x\nbind @/missing /y"), ENOENT);
    EXPECT_EQ(write("bind @/a /x\nbind relative /y"), EINVAL);
    EXPECT_EQ(write("bind @/a /x\nunbind /y"), ENOENT);
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
    ASSERT_EQ(start(), 0);
    EXPECT_EQ(write("bind @/a /x\nbind @/missing /y"), ENOENT);
    EXPECT_EQ(synthfs::test::err(synthfs::test::walk(guest->root(), "x")), ENOENT);
    ASSERT_EQ(write("bind @/a /x\nbind @/b /y\nunbind /x"), 0);
    EXPECT_EQ(text(), expand("bind -o @/base /\nbind @/b /y\n"));
    EXPECT_EQ(cat("y/two"), "two");
}

TEST_F(VmNamespaceTest, a_running_guest_sees_binds_and_unbinds) {
    ASSERT_EQ(start(), 0);
    ASSERT_EQ(write("bind @/a /src"), 0) << said;
    EXPECT_EQ(granted, 1u);
    EXPECT_EQ(cat("src/one"), "one");
    ASSERT_EQ(write("bind -a @/b /src"), 0) << said;
    EXPECT_EQ(granted, 1u) << "what it has is not sent again";
    EXPECT_EQ(cat("src/two"), "two");
    const NodePtr held = at("src/one"), root = guest->root();
    ASSERT_EQ(write("unbind @/a /src"), 0) << said;
    EXPECT_EQ(granted, 0u);
    EXPECT_EQ(cat("src/one"), "errno 2");
    EXPECT_EQ(cat("src/two"), "two");
    EXPECT_EQ(err(synthfs::test::open(held, O_RDONLY)), ESTALE);
    ASSERT_EQ(write("unbind /src"), 0) << said;
    EXPECT_EQ(err(synthfs::test::walk(root, "src")), ENOENT);
}

TEST_F(VmNamespaceTest, replacing_keeps_what_stays) {
    ASSERT_EQ(start(), 0);
    ASSERT_EQ(write("bind '#ram' /r\nbind @/a /x"), 0) << said;
    EXPECT_EQ(err(create(at("r"), "kept")), 0);
    const NodePtr held = at("x/one");
    ASSERT_EQ(write(text() + "bind @/b /y\n", true), 0) << said;
    EXPECT_EQ(granted, 1u);
    EXPECT_EQ(cat("r/kept"), "");
    EXPECT_EQ(err(synthfs::test::open(held, O_RDONLY)), 0);
    ASSERT_EQ(write("bind @/b /y", true), 0) << said;
    EXPECT_EQ(text(), expand("bind -o @/base /\nbind @/b /y\n"));
    EXPECT_EQ(cat("r/kept"), "errno 2");
    EXPECT_EQ(cat("etc/hosts"), "base");
    ASSERT_EQ(write("", true), 0) << said;
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
}

TEST_F(VmNamespaceTest, what_an_overlay_was_given_stays_with_the_vm) {
    ASSERT_EQ(write("bind -o @/a /x"), 0);
    ASSERT_EQ(start(), 0);
    EXPECT_EQ(err(create(at("x"), "made")), 0);
    ASSERT_EQ(write("unbind /x"), 0);
    ASSERT_EQ(write("bind -o @/b /x"), 0) << said;
    EXPECT_EQ(names(at("x")), (Names{"two"}));
    ASSERT_EQ(write("bind -o @/a /x"), 0) << said;
    EXPECT_EQ(names(at("x")), (Names{"made", "one"}));
    guest = nullptr;
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(names(at("x")), (Names{"made", "one"}));
    EXPECT_FALSE(host.has("a/made"));
}

TEST_F(VmNamespaceTest, layers_are_merged_and_fixed_while_they_are_used) {
    ASSERT_EQ(write("bind -o @/a /x"), 0);
    ASSERT_EQ(start(), 0);
    EXPECT_EQ(write("bind -ob @/b /x"), EBUSY);
    EXPECT_NE(said.find("scratch layer"), said.npos) << said;
    EXPECT_EQ(names(at("x")), (Names{"one"}));
    EXPECT_EQ(text(), expand("bind -o @/base /\nbind -o @/a /x\n"));
    link = nullptr;
    guest = nullptr;
    ASSERT_EQ(write("bind -ob @/b /x"), 0);
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(names(at("x")), (Names{"one", "two"}));
}

TEST_F(VmNamespaceTest, a_read_only_overlay_needs_no_scratch_layer) {
    ASSERT_EQ(start(), 0);
    ASSERT_EQ(write("bind -or @/a /x\nbind -aor @/b /x"), 0) << said;
    EXPECT_EQ(granted, 2u);
    EXPECT_EQ(names(at("x")), (Names{"one", "two"}));
    EXPECT_EQ(err(create(at("x"), "made")), EROFS);
}

TEST_F(VmNamespaceTest, another_root_can_be_bound_and_taken_away) {
    ASSERT_EQ(start(), 0);
    ASSERT_EQ(write("bind -r @/a /"), 0) << said;
    EXPECT_EQ(names(guest->root()), (Names{"one"}));
    ASSERT_EQ(write("unbind /"), 0) << said;
    EXPECT_EQ(cat("etc/hosts"), "base");
    EXPECT_EQ(write("unbind /"), EBUSY);
}

TEST_F(VmNamespaceTest, what_it_prints_gives_another_vm_the_same) {
    ASSERT_EQ(write("bind @/a /src\nbind -bc '#ram' /src\nbind -or @/b /etc/deep"), 0) << said;
    host.dir("vm2");
    const Fd other_dir(host.fd("vm2"));
    const std::string lines = text();
    server = std::make_unique<VmNamespace>(other_dir.get());
    ASSERT_EQ(write(lines, true), 0) << said;
    EXPECT_EQ(text(), lines);
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(err(create(at("src"), "made")), 0);
    EXPECT_EQ(names(at("src")), (Names{"made", "one"}));
    EXPECT_EQ(cat("etc/deep/two"), "two");
}

// What has gone since it was bound does not keep others from being bound, but nothing starts so.
TEST_F(VmNamespaceTest, a_source_that_went_later_is_told_at_start) {
    ASSERT_EQ(write("bind @/a /x"), 0);
    fs::remove_all(host.path("a"));
    ASSERT_EQ(write("bind @/b /y"), 0) << said;
    EXPECT_EQ(start(), ENOENT);
    EXPECT_NE(said.find(host.path("a")), said.npos) << said;
    ASSERT_EQ(write("unbind /x"), 0);
    EXPECT_EQ(start(), 0) << said;
}

// Once it runs, names on the host do not matter any more.
TEST_F(VmNamespaceTest, what_was_granted_is_held) {
    ASSERT_EQ(write("bind @/a /x"), 0);
    ASSERT_EQ(start(), 0);
    fs::rename(host.path("a"), host.path("moved"));
    fs::create_directory_symlink(host.path("b"), host.path("a"));
    EXPECT_EQ(names(at("x")), (Names{"one"}));
    ASSERT_EQ(write("bind @/b /y"), 0) << said;
    EXPECT_EQ(names(at("x")), (Names{"one"}));
}

TEST_F(VmNamespaceTest, a_process_that_hangs_holds_up_its_changes_only) {
    ASSERT_EQ(start(), 0);
    hangs = true;
    std::vector<int> answers;
    for (const char* line : {"bind @/a /x", "bind @/b /y"}) {
        server->change(
            synthfs::parse_commands(expand(line)).value(), false, context(),
            [this](const NamespaceGrant& grant, synthfs::CheckedReply<> reply) {
                if (link) {
                    link->send(grant, std::move(reply));
                } else {
                    reply(synthfs::make_fault(ENODEV, "gone"));
                }
            },
            [&](synthfs::Checked<> done) { answers.push_back(done ? 0 : done.error().errnum); });
    }
    io.restart();
    io.run_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(answers.empty());
    auto ending = std::move(link);
    ending = nullptr;
    EXPECT_EQ(answers, (std::vector<int>{ENODEV, ENODEV}));
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
}

TEST_F(VmNamespaceTest, a_process_that_ends_answers_what_was_asked_of_it) {
    ASSERT_EQ(start(), 0);
    guest = nullptr;
    process = Fd();
    EXPECT_EQ(write("bind @/a /x"), ENODEV);
    EXPECT_EQ(text(), expand("bind -o @/base /\n"));
}

TEST_F(VmNamespaceTest, messages_that_make_no_sense_change_nothing) {
    ASSERT_EQ(start(), 0);
    const auto tell = [&](const std::string& text, std::vector<Fd> descriptors = {}) {
        int errnum = -1;
        guest->change({text, std::move(descriptors)}, [&](const synthfs::Checked<>& done) {
            errnum = done ? 0 : done.error().errnum;
        });
        return errnum;
    };
    EXPECT_EQ(tell("at /\nknown 99 -\n"), EPROTO);
    EXPECT_EQ(tell("at /\nhost 99 -\n"), EPROTO);
    EXPECT_EQ(tell("nonsense\n"), EINVAL);
    std::vector<Fd> one;
    one.emplace_back(host.fd("a"));
    EXPECT_EQ(tell("at /\nknown 1 -\n", std::move(one)), EPROTO);
    EXPECT_EQ(cat("etc/hosts"), "base");
}

// --- sources -------------------------------------------------------------------------------------

TEST_F(VmNamespaceTest, sources_are_found_through_links) {
    host.symlink("to_a", "a");
    host.symlink("absolute", host.path("to_a"));
    host.dir("deep/er");
    host.symlink("deep/er/up", "../../absolute");
    for (const char* path :
         {"to_a", "absolute", "deep/er/up", "deep/../a", "./a//", "deep/er/../../a"}) {
        const auto fd = open_source(host.path(path), "bind", {});
        ASSERT_TRUE(fd) << path;
        struct stat found {
        }, wanted{};
        EXPECT_EQ(fstat(fd.value().get(), &found), 0);
        EXPECT_EQ(::stat(host.path("a").c_str(), &wanted), 0);
        EXPECT_EQ(found.st_ino, wanted.st_ino) << path;
    }
    EXPECT_TRUE(open_source("/", "bind", {}));
    EXPECT_TRUE(open_source("/..", "bind", {}));
    host.symlink("dangling", "missing");
    host.symlink("loop", "loop");
    host.symlink("to_file", "file");
    EXPECT_EQ(open_source(host.path("dangling"), "bind", {}).error().errnum, ENOENT);
    EXPECT_EQ(open_source(host.path("loop"), "bind", {}).error().errnum, ELOOP);
    EXPECT_EQ(open_source(host.path("to_file"), "bind", {}).error().errnum, ENOTDIR);
    EXPECT_EQ(open_source(host.path("to_file/x"), "bind", {}).error().errnum, ENOTDIR);
}

TEST_F(VmNamespaceTest, files_are_found_in_the_same_way) {
    host.file("image", "contents");
    host.symlink("to_image", "image");
    const auto fd = open_host_file(host.path("to_image"), O_RDWR, "kernel", {});
    ASSERT_TRUE(fd);
    char text[16] = {};
    EXPECT_EQ(pread(fd.value().get(), text, sizeof text, 0), 8);
    EXPECT_EQ(pwrite(fd.value().get(), "C", 1, 0), 1);
    EXPECT_EQ(host.text("image"), "Contents");
    EXPECT_EQ(open_host_file(host.path("none"), O_RDONLY, "kernel", {}).error().errnum, ENOENT);
    EXPECT_EQ(open_host_file(host.path("a"), O_RDWR, "kernel", {}).error().errnum, EISDIR);
    struct stat st {};
    ASSERT_EQ(::stat(host.path("a").c_str(), &st), 0);
    hidden.directories = {{st.st_dev, st.st_ino}};
    EXPECT_EQ(open_host_file(host.path("a/one"), O_RDONLY, "kernel", hidden).error().errnum, ELOOP);
}

TEST_F(VmNamespaceTest, the_servers_own_places_are_a_cycle) {
    host.dir("state/1/upper");
    host.symlink("to_state", "state/1");
    struct stat st {};
    ASSERT_EQ(::stat(host.path("state").c_str(), &st), 0);
    hidden.directories = {{st.st_dev, st.st_ino}};
    EXPECT_EQ(write("bind @/state /x"), ELOOP);
    EXPECT_EQ(write("bind @/state/1 /x"), ELOOP);
    EXPECT_EQ(write("bind @/state/1/upper /x"), ELOOP);
    EXPECT_EQ(write("bind @/to_state /x"), ELOOP);
    EXPECT_EQ(write("bind @/state/../a /x"), ELOOP);
    // From above it shows, and is not entered.
    ASSERT_EQ(write("bind @ /x"), 0) << said;
    ASSERT_EQ(start(), 0) << said;
    EXPECT_EQ(err(synthfs::test::walk(guest->root(), "x/state")), EACCES);
    EXPECT_EQ(cat("x/a/one"), "one");
    hidden.tree_device = st.st_dev;
    link = nullptr;
    EXPECT_EQ(write("bind @/b /y"), ELOOP);
}

}  // namespace
}  // namespace ennead::srv::test
