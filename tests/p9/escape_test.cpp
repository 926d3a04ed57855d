// SPDX-License-Identifier: MIT
// A guest that tries to get out of what it was given, by every message that takes a name, while the
// host changes the tree under its hands.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "synthfs/host_dir.h"
#include "synthfs/overlay.h"
#include "tests/p9/peer.h"
#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::p9::test {
namespace {

using synthfs::test::TempDir;

constexpr std::uint32_t kRead = 0, kWrite = 1;

// `share` is given, as it is or as the base of an overlay; `secret` and `outside` beside it are
// not.
class EscapeTest : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        ASSERT_TRUE(host.usable());
        host.file("secret", "secret");
        host.file("outside/secret", "secret");
        host.dir("share/d/deep");
        host.file("share/d/secret", "mine");
        host.file("share/d/deep/secret", "mine");
        host.dir("scratch");
        peer = Peer::attached(tree());
    }
    synthfs::NodePtr tree(const char* scratch = "scratch") {
        if (std::string(GetParam()) == "host") {
            return synthfs::make_host_dir(host.fd("share")).value();
        }
        return synthfs::make_overlay({host.fd("share")}, host.fd(scratch)).value();
    }

    // What a walk to these names, an open and a read give; "" if any is refused.
    std::string cat(std::initializer_list<std::string_view> names, std::uint32_t from = 0) {
        std::string text;
        peer->send(Peer::walk_message(from, 100, names), 1);
        const auto* walked = std::get_if<Rwalk>(&peer->answers.back().frame.message);
        if (walked == nullptr || walked->qids.count != names.size()) {
            return "";
        }
        peer->send(Tlopen{100, kRead}, 1);
        if (std::holds_alternative<Rlopen>(peer->answers.back().frame.message)) {
            peer->send(Tread{100, 0, 100}, 1);
            if (const auto* got = std::get_if<Rread>(&peer->answers.back().frame.message)) {
                text = text_of(got->data);
            }
        }
        peer->send(Tclunk{100}, 1);
        peer->answers.clear();
        return text;
    }
    // The errno, or 0; the answers are forgotten.
    template <class T>
    int ask(const T& message) {
        const int errnum = peer->error(message);
        peer->answers.clear();
        return errnum;
    }
    void nothing_happened_outside() {
        EXPECT_EQ(host.text("secret"), "secret");
        EXPECT_EQ(host.text("outside/secret"), "secret");
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(host.path("outside"))) {
            names.push_back(entry.path().filename());
        }
        EXPECT_EQ(names, std::vector<std::string>{"secret"});
    }

    TempDir host;
    std::unique_ptr<Peer> peer;
};

INSTANTIATE_TEST_SUITE_P(Trees, EscapeTest, testing::Values("host", "overlay"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(EscapeTest, dots_stay_below_the_root) {
    peer->walk(0, 1, {"d", "deep"});
    EXPECT_EQ(cat({"..", "..", "..", "secret"}, 1), "");
    EXPECT_EQ(cat({"..", "..", "..", "..", "d", "secret"}, 1), "mine");
    EXPECT_EQ(cat({"..", "secret"}, 1), "mine");
    EXPECT_EQ(cat({"..", "secret"}), "");
    for (const std::string_view name : {"..", ".", "", "../secret", "d/../../secret", "/etc"}) {
        const std::string what(name);
        EXPECT_NE(ask(Tlcreate{1, name, O_CREAT | O_WRONLY, 0600, 0}), 0) << what;
        EXPECT_NE(ask(Tmkdir{1, name, 0755, 0}), 0) << what;
        EXPECT_NE(ask(Tsymlink{1, name, "x", 0}), 0) << what;
        EXPECT_NE(ask(Tmknod{1, name, S_IFREG | 0600, 0, 0, 0}), 0) << what;
        EXPECT_NE(ask(Tlink{1, 1, name}), 0) << what;
        EXPECT_NE(ask(Tunlinkat{1, name, 0}), 0) << what;
        EXPECT_NE(ask(Tunlinkat{1, name, kUnlinkDirectory}), 0) << what;
        EXPECT_NE(ask(Trenameat{1, "secret", 0, name}), 0) << what;
        EXPECT_NE(ask(Trenameat{0, name, 1, "got"}), 0) << what;
        EXPECT_NE(ask(Trename{1, 0, name}), 0) << what;
    }
    EXPECT_EQ(cat({"d", "deep", "secret"}), "mine");
    nothing_happened_outside();
}

// Wherever they lead, in the middle of a walk or at its end; also those that the guest makes.
TEST_P(EscapeTest, links_are_only_text) {
    std::vector<std::string> targets{"..",
                                     "../outside",
                                     "../secret",
                                     host.path("outside"),
                                     host.path("secret"),
                                     "/",
                                     "/proc/self/root",
                                     "/proc/self/cwd",
                                     "/proc/self/fd/0",
                                     "/proc/self/fd",
                                     "d/../../outside",
                                     "."};
    for (int fd = 3; fd < 12; ++fd) {
        targets.push_back("/proc/self/fd/" + std::to_string(fd));
    }
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const std::string ours = "host" + std::to_string(i), made = "guest" + std::to_string(i);
        host.symlink("share/" + ours, targets[i]);
        EXPECT_EQ(ask(Tsymlink{0, made, targets[i], 0}), 0) << targets[i];
        for (const std::string& name : {ours, made}) {
            EXPECT_EQ(cat({name, "secret"}), "") << targets[i];
            EXPECT_EQ(cat({name, "outside", "secret"}), "") << targets[i];
            EXPECT_EQ(cat({name}), "") << targets[i];
            EXPECT_EQ(cat({"d", "..", name, "..", "secret"}), "") << targets[i];
            peer->walk(0, 1, {name});
            EXPECT_EQ(peer->call<Rreadlink>(Treadlink{1}).target, targets[i]);
            EXPECT_NE(ask(Tlopen{1, kWrite | O_TRUNC}), 0) << targets[i];
            EXPECT_NE(ask(Tlcreate{1, "new", O_CREAT | O_WRONLY, 0600, 0}), 0) << targets[i];
            Tsetattr size{};
            size.fid = 1;
            size.valid = kSetSize;
            EXPECT_NE(ask(size), 0) << targets[i];
            ask(Tclunk{1});
            // Over it a file is created without following it.
            peer->walk(0, 1, {});
            EXPECT_NE(ask(Tlcreate{1, name, O_CREAT | O_WRONLY | O_TRUNC, 0600, 0}), 0);
            ask(Tclunk{1});
        }
    }
    nothing_happened_outside();
}

TEST_P(EscapeTest, device_nodes_of_the_host_are_not_opened) {
    if (geteuid() != 0 ||
        ::mknod(host.path("share/zero").c_str(), S_IFCHR | 0666, makedev(1, 5)) != 0) {
        GTEST_SKIP() << "no device node can be made here";
    }
    for (const std::uint32_t flags : {kRead, kWrite}) {
        peer->walk(0, 1, {"zero"});
        EXPECT_NE(ask(Tlopen{1, flags}), 0);
        ask(Tclunk{1});
    }
    EXPECT_EQ(cat({"zero"}), "");
}

// What is mounted below what was given is given with it; above it is what was above before.
TEST_P(EscapeTest, a_mount_point_below_leads_back_to_where_it_is) {
    host.dir("share/mounted");
    host.dir("scratch2");
    const pid_t child = fork();
    if (child == 0) {
        // Whatever is thrown must not lead back into the test.
        const auto body = [&]() noexcept {
            if (::unshare(CLONE_NEWNS) != 0 ||
                ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                ::mount("none", host.path("share/mounted").c_str(), "tmpfs", 0, nullptr) != 0) {
                return 77;
            }
            host.file("share/mounted/file", "mounted");
            peer = Peer::attached(tree("scratch2"));
            const bool good = cat({"mounted", "file"}) == "mounted" &&
                              cat({"mounted", "..", "d", "secret"}) == "mine" &&
                              cat({"mounted", "..", "..", "secret"}).empty();
            return good && !HasFailure() ? 0 : 1;
        };
        _exit(body());
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        GTEST_SKIP() << "nothing can be mounted here";
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A thread swaps a directory for links that lead out, moves it out of the share and back, and a
// file for hard and symbolic links; walks through it, fids held in it and changes meet what is
// inside.
TEST_P(EscapeTest, nothing_outside_is_reached_while_the_tree_changes) {
    std::atomic<bool> stop{false};
    std::thread attacker([&] {
        namespace fs = std::filesystem;
        const std::string d = host.path("share/d"), away = host.path("away"),
                          file = host.path("share/file");
        const std::string targets[] = {"..", "../outside", host.path("outside"), "/proc/self/cwd",
                                       host.path()};
        for (unsigned i = 0; !stop; ++i) {
            std::error_code ignored;
            fs::rename(d, i % 2 == 0 ? away : d + "away", ignored);
            fs::create_directory_symlink(targets[i % 5], d, ignored);
            fs::create_symlink("../secret", file, ignored);
            std::this_thread::yield();
            fs::remove(d, ignored);
            fs::remove(file, ignored);
            fs::rename(i % 2 == 0 ? away : d + "away", d, ignored);
            fs::create_hard_link(d + "/secret", file, ignored);
            std::this_thread::yield();
            fs::remove(file, ignored);
        }
    });
    peer->walk(0, 1, {"d"});
    peer->walk(0, 2, {"d", "deep"});
    int mine = 0, refused = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
    for (int i = 0; std::chrono::steady_clock::now() < until; ++i) {
        for (const std::string& text :
             {cat({"d", "secret"}), cat({"d", "deep", "secret"}), cat({"secret"}, 1),
              cat({"secret"}, 2), cat({"..", "secret"}, 2), cat({"..", "..", "d", "secret"}, 2),
              cat({"file"}), cat({"d", "deep", "..", "..", "..", "secret"})}) {
            EXPECT_NE(text, "secret");
            text == "mine" ? ++mine : ++refused;
        }
        // Changes through what is held; whether one succeeds is chance, where it goes is not.
        const std::string name = "made" + std::to_string(i);
        ask(Tmkdir{1, name, 0755, 0});
        ask(Tsymlink{2, "link", "..", 0});
        ask(Trenameat{1, name, 2, "moved"});
        ask(Tunlinkat{2, "moved", kUnlinkDirectory});
        ask(Tunlinkat{2, "link", 0});
        ask(Tunlinkat{1, name, kUnlinkDirectory});
        peer->send(Peer::walk_message(0, 3, {"d"}), 1);
        ask(Tlcreate{3, "new", O_CREAT | O_WRONLY | O_TRUNC, 0600, 0});
        ask(Tclunk{3});
        ask(Tunlinkat{1, "new", 0});
        Tsetattr cut{};
        cut.fid = 3;
        cut.valid = kSetSize;
        peer->send(Peer::walk_message(0, 3, {"file"}), 1);
        cut.size = 4;
        ask(cut);
        ask(Tclunk{3});
    }
    stop = true;
    attacker.join();
    EXPECT_GT(mine, 0);
    EXPECT_GT(refused, 0);
    nothing_happened_outside();
    EXPECT_FALSE(host.has("new"));
}

}  // namespace
}  // namespace ennead::p9::test
